"""Playing, scoring, showing: the rollout loop, its observers, videos and scores."""
