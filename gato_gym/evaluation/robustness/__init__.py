"""How much of a score is left when the task is not quite the one that was trained."""
