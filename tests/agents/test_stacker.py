"""The scripted expert stacks, recovers, and acts on the state observation alone."""

import numpy as np
import pytest

pytest.importorskip("mujoco")

from gato_gym.agents.experts.stacker import ScriptedStacker
from gato_gym.envs.block_stacking.env import BlockStackingEnv


@pytest.fixture(scope="module")
def env():
    made = BlockStackingEnv()
    yield made
    made.close()


def run(env, seed, disturb=None):
    """Steps until success, at most 400; `disturb(step)` may replace the action."""
    expert = ScriptedStacker()
    expert.reset(env)
    observation, _ = env.reset(seed=seed)
    actions = []
    for step in range(400):
        action = expert.act(observation)
        actions.append(action)
        replaced = disturb(step) if disturb else None
        observation, _, terminated, _, _ = env.step(action if replaced is None else replaced)
        if terminated:
            break
    return terminated, np.array(actions)


@pytest.mark.parametrize("seed", range(6))
def test_stacks_within_200_steps(env, seed):
    success, actions = run(env, seed)
    assert success
    assert len(actions) < 200
    tenths = actions.astype(np.float64) * 10
    np.testing.assert_allclose(tenths, np.round(tenths), atol=1e-5)
    assert set(np.unique(actions[:, 4])) == {-1.0, 1.0}
    assert actions.dtype == np.float32


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_recovers_from_bursts_of_random_actions(env, seed):
    rng = np.random.default_rng(seed)
    noise = {step for start in range(10, 200, 25) for step in range(start, start + 5)}
    success, _ = run(
        env, seed, lambda step: rng.uniform(-1, 1, 5).astype(np.float32) if step in noise else None
    )
    assert success


def test_picks_a_dropped_cube_up_again(env):
    """The gripper is forced open while it carries red."""
    drop = np.array([0, 0, 0, 0, -1], np.float32)
    dropped = []

    def disturb(step):
        if env.situation().grasping and env.situation().red[2] > 0.07 and len(dropped) < 1:
            dropped.append(step)
        return drop if dropped and step < dropped[0] + 10 else None

    success, actions = run(env, 7, disturb)
    assert dropped
    assert success
    assert len(actions) > dropped[0] + 10


def test_needs_no_memory_and_no_environment_for_state_observations(env):
    observation, _ = env.reset(seed=5)
    expert = ScriptedStacker()
    for _ in range(60):
        action = expert.act(observation)
        assert np.array_equal(action, ScriptedStacker().act(observation))
        observation, *_ = env.step(action)


def test_reads_the_state_behind_pixels():
    pixels = BlockStackingEnv(observation="pixels", image_size=(16, 16), renderer="raycast")
    observation, _ = pixels.reset(seed=3)
    expert = ScriptedStacker()
    with pytest.raises(ValueError, match=r"reset\(env\)"):
        expert.act(observation)
    expert.reset(pixels)
    state_env = BlockStackingEnv()
    state, _ = state_env.reset(seed=3)
    assert np.array_equal(expert.act(observation), ScriptedStacker().act(state))
