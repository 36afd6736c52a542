"""Episodes on disk, and their way to the model as windows of tokens (paper sections 2.1, 3)."""
