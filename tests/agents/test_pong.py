"""The player of Pong wins more points than it loses, and plays nothing else."""

import pytest
from gymnasium.wrappers import TimeLimit

from gato_gym import envs
from gato_gym.agents.experts import expert_for, load_expert
from gato_gym.errors import UnknownTaskError
from gato_gym.evaluation.rollout import rollout

TASK = "ALE/Pong-v5"


def test_it_wins_more_points_than_it_loses():
    assert expert_for(TASK) == "scripted/pong"
    env = TimeLimit(envs.make(TASK), 2500)
    results = rollout(env, load_expert(TASK), episodes=2, seed=20)
    # One that does nothing has lost by 21 to 0 after some 800 steps.
    assert all(result.length == 2500 for result in results)
    assert sum(result.episode_return for result in results) > 0
    env.close()


def test_another_game_is_refused():
    env = envs.make("ALE/Boxing-v5")
    with pytest.raises(UnknownTaskError, match="scripted/pong plays"):
        load_expert("scripted/pong").reset(env)
    env.close()


def test_it_needs_a_reset():
    with pytest.raises(RuntimeError, match="reset"):
        load_expert("scripted/pong").act(None)
