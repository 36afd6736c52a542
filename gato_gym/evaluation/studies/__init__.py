"""What studies of many trainings share: cached units, folders, processes, pictures."""
