"""`agent.follow`: the episode goes on with what somebody else did."""

import gymnasium
import numpy as np
import pytest

from gato_gym import GatoAgent, envs
from gato_gym.errors import InvalidObservationError

TASKS = (
    *("CartPole-v1", "ALE/Boxing-v5", "gato_gym/BlockStacking-v0"),
    *("gato_gym/BabyAI-GoToObj-pixels-v0", "text/dialogue"),
)


@pytest.fixture(scope="module")
def agent():
    return GatoAgent.from_pretrained()


def play(agent, env, choose, steps=6):
    """The next action of an agent that was there for some steps."""
    agent.reset(env)
    obs, _ = env.reset(seed=3)
    for step in range(steps):
        obs, _, terminated, truncated, _ = env.step(choose(obs, step))
        if terminated or truncated:
            break
    return agent.act(obs)


@pytest.mark.parametrize("task", TASKS)
def test_following_itself_is_acting(agent, task):
    env = envs.make(task)
    done = []

    def act(obs, step):
        done.append(agent.act(obs))
        return done[-1]

    def follow(obs, step):
        agent.follow(obs, done[step])
        return done[step]

    np.testing.assert_array_equal(play(agent, env, act), play(agent, env, follow))


def test_an_action_of_a_plain_environment_is_read_on_its_own_scale(agent):
    plain, scaled = gymnasium.make("Pendulum-v1"), envs.make("Pendulum-v1")

    def follow(torque):
        def choose(obs, step):
            agent.follow(obs, np.array([torque], np.float32))
            return np.array([torque], np.float32)

        return choose

    np.testing.assert_allclose(
        play(agent, plain, follow(1.0)), 2 * play(agent, scaled, follow(0.5)), rtol=1e-6
    )


def test_what_is_no_action_is_refused_and_leaves_the_episode(agent):
    env = envs.make("CartPole-v1")
    agent.reset(env)
    obs, _ = env.reset(seed=0)
    for action in (2, -1, np.array([0, 1]), "left"):
        with pytest.raises(InvalidObservationError, match="CartPole-v1: actions of"):
            agent.follow(obs, action)
    assert env.action_space.contains(agent.act(obs))
