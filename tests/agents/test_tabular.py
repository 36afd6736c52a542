"""Dynamic programming over toy texts: the values it promises are the ones that are played."""

import numpy as np
import pytest

from gato_gym import envs
from gato_gym.agents.experts import load_expert, tabular
from gato_gym.evaluation.rollout import rollout


def mean_return(task, episodes, seed=0):
    env = envs.make(task)
    results = rollout(env, load_expert("planner/toy_text"), episodes=episodes, seed=seed)
    env.close()
    return np.mean([result.episode_return for result in results])


def test_walks_along_the_cliff():
    assert mean_return("CliffWalking-v1", 2) == -13


def test_drives_every_passenger_home():
    assert 6.5 < mean_return("Taxi-v4", 60) < 9.5


@pytest.mark.parametrize(("task", "least"), [("FrozenLake-v1", 0.62), ("FrozenLake8x8-v1", 0.82)])
def test_keeps_on_the_ice(task, least):
    assert mean_return(task, 200) > least


def test_what_is_left_of_the_time_decides():
    # From state 0: a sure 1 two steps away (action 0), or half a chance of it at once (action 1).
    table = (
        (((1.0, 1, 0.0, False),), ((0.5, 2, 1.0, True), (0.5, 2, 0.0, True))),
        (((1.0, 2, 1.0, True),), ((1.0, 2, 0.0, True),)),
        (((1.0, 2, 0.0, True),), ((1.0, 2, 0.0, True),)),
    )
    best = tabular.best_actions(table, 2)
    assert best[0, 0] == 0
    assert best[1, 0] == 1


def hand(total, dealer, ace):
    return tabular.blackjack_action({"0": total, "1": dealer, "2": ace})


def test_blackjack_is_played_as_in_the_book():
    """Sutton and Barto, Reinforcement Learning, figure 5.2."""
    for dealer in range(1, 11):
        assert hand(11, dealer, 0) == tabular.HIT
        assert hand(17, dealer, 0) == tabular.STICK
        assert hand(17, dealer, 1) == tabular.HIT
        assert hand(19, dealer, 1) == tabular.STICK
    assert [hand(13, dealer, 0) for dealer in range(1, 11)] == [1, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert [hand(12, dealer, 0) for dealer in range(1, 11)] == [1, 1, 1, 0, 0, 0, 1, 1, 1, 1]


def test_the_dealer_ends_somewhere():
    for card in range(1, 11):
        ends = tabular._dealer(*tabular._drawn(0, False, card))
        assert sum(ends.values()) == pytest.approx(1)
        assert min(ends) >= tabular.DEALER_STANDS


def test_loses_little_at_blackjack():
    assert mean_return("Blackjack-v1", 1500) > -0.12
