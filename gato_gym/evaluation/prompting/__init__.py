"""What a demonstration is worth: its own, none, or that of another task."""
