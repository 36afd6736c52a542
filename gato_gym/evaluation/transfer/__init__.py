"""The transfer study: what is learned before, and what that is worth on tasks held out of it."""
