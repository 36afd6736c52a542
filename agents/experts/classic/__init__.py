"""Controllers of Gymnasium's classic control and its lunar lander that need no training.

lattice.py solves small continuous tasks by dynamic programming, control.py holds a controller per
task, expert.py is the agent.
"""
