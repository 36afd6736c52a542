"""Plans in grid worlds (MiniGrid and BabyAI) from full knowledge of the grid.

scene.py reads the grid and finds the cheapest way, goals.py says what a task wants, planner.py
makes the next few actions of it, expert.py is the agent.
"""
