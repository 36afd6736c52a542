"""Players of POPGym's tasks. They know what a player with a perfect memory knows.

cards.py plays the games of cards, boards.py battleship, mines.py the mine sweeper, bandit.py the
slot machines; expert.py is the agent, which also balances POPGym's poles and pendulums.
"""
