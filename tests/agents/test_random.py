"""The random player."""

import gymnasium as gym
import numpy as np
import pytest

from gato_gym import envs
from gato_gym.agents import Agent, RandomAgent
from gato_gym.testing import sample_tasks


def actions(agent, env, episodes=2, steps=20):
    played = []
    for _ in range(episodes):
        agent.reset(env)
        played.append([agent.act(None) for _ in range(steps)])
    return np.array(played)


@pytest.mark.parametrize("spec", sample_tasks(), ids=lambda spec: spec.id)
def test_actions_are_legal_and_seeded(spec):
    env = envs.make(spec.id)
    first = actions(RandomAgent(seed=1), env)
    assert all(env.action_space.contains(action) for action in first.reshape(40, *first.shape[2:]))
    assert np.array_equal(first, actions(RandomAgent(seed=1), env))
    assert not np.array_equal(first, actions(RandomAgent(seed=2), env))
    assert not np.array_equal(first[0], first[1]), "episodes must differ"
    env.close()


def test_the_environments_own_generator_is_left_alone():
    env = gym.make("CartPole-v1")
    env.action_space.seed(0)
    expected = [env.action_space.sample() for _ in range(10)]
    env.action_space.seed(0)
    actions(RandomAgent(seed=3), env)
    assert [env.action_space.sample() for _ in range(10)] == expected


def test_act_before_reset_is_an_error():
    with pytest.raises(RuntimeError, match=r"agent\.reset"):
        RandomAgent().act(None)


def test_it_is_an_agent():
    assert isinstance(RandomAgent(), Agent)
