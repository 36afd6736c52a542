"""The page that `gato-gym report` writes: what a run reached, how, and from what, in one file.

source.py reads the run's folder; scores.py, curves.py, corpus.py, speech.py and media.py make the
parts; figures.py and theme.py draw; page.py puts them into page.html. No torch here but in what
lets the agent play: attention.py and speech.py, when they are asked to.
"""
