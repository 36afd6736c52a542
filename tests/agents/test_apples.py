"""The scripted forager: all apples in order, also after it was pushed around."""

import gymnasium
import numpy as np
import pytest

from gato_gym.agents.experts import expert_for, load_expert
from gato_gym.agents.experts.apples import ScriptedForager
from gato_gym.envs.order_of_apples import ENV_ID
from gato_gym.errors import UnknownTaskError


@pytest.fixture(scope="module")
def env():
    # The forager does not look: the smallest picture is quickest.
    return gymnasium.make(ENV_ID, image_size=(16, 16), disable_env_checker=True)


def play(env, seed, disturb=None):
    expert = load_expert(expert_for(ENV_ID))
    expert.reset(env)
    observation, info = env.reset(seed=seed)
    total, over = 0.0, False
    for step in range(900):
        action = expert.act(observation)
        replaced = disturb(step) if disturb else None
        observation, reward, terminated, truncated, info = env.step(
            action if replaced is None else replaced
        )
        total += reward
        over = terminated or truncated
        if over:
            break
    return total, step + 1, info["success"]


@pytest.mark.parametrize("seed", range(5))
def test_takes_all_apples_in_order(env, seed):
    total, steps, success = play(env, seed)
    assert (total, success) == (19.0, True)
    assert steps < 600


def test_finds_its_way_again_after_bursts_of_random_actions(env):
    """It keeps clear of gold itself; a burst may still push it onto one, which costs 4 of 19."""
    rng = np.random.default_rng(1)
    noise = {step for start in range(10, 900, 40) for step in range(start, start + 5)}
    total, steps, _ = play(env, 21, lambda step: int(rng.integers(8)) if step in noise else None)
    assert total >= 15.0
    assert steps < 900


def test_is_a_function_of_the_state(env):
    expert, other = ScriptedForager(), ScriptedForager()
    env.reset(seed=9)
    expert.reset(env)
    for _ in range(60):
        action = expert.act(None)
        other.reset(env)
        assert other.act(None) == action
        env.step(action)


def test_refuses_other_tasks():
    with pytest.raises(UnknownTaskError, match="not 'CartPole-v1'"):
        ScriptedForager().reset(gymnasium.make("CartPole-v1"))
    with pytest.raises(ValueError, match="reset"):
        ScriptedForager().act(None)
