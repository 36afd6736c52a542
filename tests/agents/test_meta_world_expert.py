"""Meta-World's scripted policies play our version of its tasks."""

import numpy as np
import pytest

from gato_gym import envs
from gato_gym.agents.experts import load_expert
from gato_gym.errors import UnknownTaskError
from gato_gym.evaluation.rollout import rollout


@pytest.mark.parametrize("task", ["reach", "door-open", "assembly"])
def test_solves(task):
    env = envs.make(f"Meta-World/{task}-v3")
    expert = load_expert(f"Meta-World/{task}-v3")
    results = rollout(env, expert, episodes=2, seed=0)
    env.close()
    assert all(result.episode_return > 1000 for result in results)


def test_actions_are_legal_and_of_the_task():
    env = envs.make("Meta-World/button-press-v3")
    expert = load_expert("scripted/meta_world")
    expert.reset(env)
    observation, _ = env.reset(seed=1)
    successes = []
    for _ in range(150):
        action = expert.act(observation)
        assert action in env.action_space
        observation, _, _, _, info = env.step(action)
        successes.append(info["success"])
    env.close()
    assert any(successes)


def test_other_environments_are_refused():
    env = envs.make("CartPole-v1")
    with pytest.raises(UnknownTaskError, match="CartPole-v1"):
        load_expert("scripted/meta_world").reset(env)
    with pytest.raises(RuntimeError, match="reset"):
        load_expert("scripted/meta_world").act(np.zeros(21))
