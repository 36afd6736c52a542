"""Minari at the edge: its data sets into a corpus and back, lossless. Nothing here can run code.

Minari's own package is imported when one of these functions is called, not before.
"""
