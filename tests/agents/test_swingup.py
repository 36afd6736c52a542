"""The swing-up controller stays up, whatever the variant shows."""

import numpy as np
import pytest

from gato_gym import envs
from gato_gym.agents.experts import load_expert
from gato_gym.evaluation.rollout import rollout


@pytest.mark.parametrize("variant", ["", "-random-small"])
def test_it_swings_up_and_stays(variant):
    env = envs.make(f"dm_control/pendulum-swingup{variant}-v0")
    agent = load_expert("analytic/pendulum")
    results = rollout(env, agent, episodes=3, seed=20)
    assert min(result.episode_return for result in results) > 400
    env.close()


def test_pixels_change_nothing_for_it():
    played = []
    for variant in ("", "-pixels"):
        env, agent = (
            envs.make(f"dm_control/pendulum-swingup{variant}-v0"),
            load_expert("analytic/pendulum"),
        )
        agent.reset(env)
        observation, _ = env.reset(seed=3)
        actions = []
        for _ in range(20):
            actions.append(agent.act(observation))
            observation = env.step(actions[-1])[0]
        played.append(np.array(actions))
        env.close()
    np.testing.assert_array_equal(*played)
