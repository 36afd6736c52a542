"""The scaling study: networks of several sizes on the same tokens, and how well they play."""
