"""The environment's contract: spaces, errors, determinism, limits, success."""

import re
import sys

import gymnasium
import numpy as np
import pytest

pytest.importorskip("mujoco")

from gymnasium.utils.env_checker import check_env

from gato_gym.envs.block_stacking import ENV_ID, register_block_stacking, scene
from gato_gym.envs.block_stacking.env import STEPS_TO_HOLD, BlockStackingEnv
from gato_gym.envs.rendering import physics
from gato_gym.errors import MissingExtraError

register_block_stacking()


@pytest.fixture(scope="module")
def env():
    made = BlockStackingEnv()
    yield made
    made.close()


def put(env, cube, position):
    """Moves a cube to a position above the table's origin, upright and at rest."""
    env.data.joint(cube).qpos[:] = [*position, 1, 0, 0, 0]
    env.data.joint(cube).qvel[:] = 0


def go(env, target, grip, steps=120):
    """Moves the pinch point to a position; the last step's results."""
    for _ in range(steps):
        error = target - env.controller.pose()[0]
        done = env.step([*np.clip(error / 0.01, -1, 1), 0.0, grip])
        if np.abs(error).max() < 0.001:
            break
    return done


def put_stack(env):
    """Red on blue in the middle of the tray, the arm high above."""
    env.reset(seed=0)
    env.controller.place(np.array([0.5, 0.1, 0.22]), 0.0)
    put(env, "blue", (0.55, 0.0, 0.025))
    put(env, "red", (0.55, 0.0, 0.0751))


@pytest.mark.parametrize("observation", ["state", "pixels"])
def test_gymnasium_checker(observation):
    made = gymnasium.make(
        ENV_ID,
        render_mode="rgb_array",
        observation=observation,
        width=48,
        height=32,
        renderer="raycast",
    )
    check_env(made.unwrapped)


def test_stable_baselines_checker():
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(BlockStackingEnv(observation="pixels", renderer="raycast"))


def test_registered_horizon_is_400_steps():
    made = gymnasium.make(ENV_ID, terminate_on_success=False)
    made.reset(seed=1)
    for step in range(1, 401):
        *_, terminated, truncated, _ = made.step(np.zeros(5, np.float32))
        assert not terminated
        assert truncated == (step == 400)


def test_same_seed_and_actions_repeat_bit_by_bit():
    actions = np.random.default_rng(5).uniform(-1, 1, (1000, 5)).astype(np.float32)
    actions[:, 2] -= 0.3  # low enough to hit cubes

    def roll(made):
        observation, _ = made.reset(seed=11)
        trace = [np.concatenate(list(observation.values()))]
        for action in actions:
            observation, *_ = made.step(action)
            trace.append(np.concatenate(list(observation.values())))
        return np.array(trace)

    used = BlockStackingEnv(terminate_on_success=False)
    used.reset(seed=12)
    for action in actions[:50]:
        used.step(action)
    first = roll(used)  # nothing survives the reset
    assert np.array_equal(first, roll(BlockStackingEnv(terminate_on_success=False)))
    assert np.ptp(first[:, 0]) > 0.1


def test_resets_differ_by_seed_and_stay_apart(env):
    starts = []
    for seed in range(40):
        observation, info = env.reset(seed=seed)
        red, blue = observation["red"], observation["blue"]
        assert np.linalg.norm((red - blue)[:2]) > 0.08
        assert red[3] >= 0
        assert not info["success"]
        assert env.observation_space.contains(observation)
        starts.append(np.concatenate([red, blue]))
    assert np.std(starts, axis=0)[:3].min() > 0.02


@pytest.mark.parametrize("index", range(5))
def test_action_that_is_not_finite_is_refused(env, index):
    env.reset(seed=0)
    for value in (np.nan, np.inf):
        action = np.zeros(5, np.float32)
        action[index] = value
        with pytest.raises(ValueError, match="not finite"):
            env.step(action)


@pytest.mark.parametrize("shape", [(4,), (6,), (1, 5), ()])
def test_action_of_another_shape_is_refused(env, shape):
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected \(5,\)"):
        env.step(np.zeros(shape, np.float32))


def test_missing_mujoco_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(MissingExtraError, match=re.escape('pip install "gato-gym[mujoco]"')):
        physics.load_mujoco()


@pytest.mark.parametrize(
    "option",
    [
        {"task": "Triplet6"},
        {"observation": "both"},
        {"reward": "dense"},
        {"render_mode": "human"},
        {"camera": "top"},
    ],
)
def test_unknown_option_names_the_valid_ones(option):
    with pytest.raises(ValueError, match="expected one of"):
        BlockStackingEnv(**option)


def test_actions_move_the_pinch_as_documented(env):
    for axis in range(3):
        env.reset(seed=4)
        env.controller.place(np.array(scene.WORKSPACE_CENTRE), 0.2)
        start, yaw = env.controller.pose()
        action = np.zeros(5)
        action[axis] = 0.5
        for _ in range(20):
            env.step(action)
        end, yaw_after = env.controller.pose()
        expected = np.zeros(3)
        expected[axis] = 0.05  # half of 0.10 m/s for one second
        np.testing.assert_allclose(end - start, expected, atol=0.003)
        assert abs(yaw_after - yaw) < 0.01
    for _ in range(20):
        observation, *_ = env.step(np.array([0, 0, 0, -0.5, 1.0]))
    assert env.controller.pose()[1] - yaw_after == pytest.approx(-0.5, abs=0.02)
    assert observation["proprioception"][5] < 0.1  # closed


@pytest.mark.parametrize(("hand", "block"), [(0.0, 0.3), (0.7, 0.3), (-0.7, 0.7)])
def test_a_block_is_seen_from_the_fingers(env, hand, block):
    """Its place along the axes that actions move along, its orientation from where the yaw is."""
    env.reset(seed=4)
    env.controller.place(np.array(scene.WORKSPACE_CENTRE), hand)
    env.data.joint("red").qpos[:] = [0.6, 0.1, 0.1, np.cos(block / 2), 0, 0, np.sin(block / 2)]
    seen = env.state_observation()["red"]
    pinch, yaw = env.controller.pose()
    place = env.sensors.poses["red"][:3]
    np.testing.assert_allclose(seen[:3], np.subtract(place, pinch), atol=1e-6)
    half = (block - yaw) / 2
    np.testing.assert_allclose(seen[3:], [np.cos(half), 0, 0, np.sin(half)], atol=1e-6)


def test_any_orientation_comes_back_from_what_is_seen(env):
    random = np.random.default_rng(0)
    for yaw in (-1.2, 0.4):
        env.reset(seed=4)
        env.controller.place(np.array(scene.WORKSPACE_CENTRE), yaw)
        quaternion = random.normal(size=4)
        env.data.joint("blue").qpos[3:] = quaternion
        seen = env.state_observation()["blue"][3:].astype(float)
        assert seen[0] >= 0
        turn = np.array([np.cos(env.controller.pose()[1] / 2), 0, 0, 0])
        turn[3] = np.sin(env.controller.pose()[1] / 2)
        again = np.empty(4)
        physics.mujoco.mju_mulQuat(again, turn, seen)
        np.testing.assert_allclose(
            abs(again @ quaternion) / np.linalg.norm(quaternion), 1.0, atol=1e-6
        )


def test_pinch_stays_in_the_workspace_box_and_upright(env):
    rng = np.random.default_rng(0)
    low, high = np.array(scene.WORKSPACE_LOW), np.array(scene.WORKSPACE_HIGH)
    for seed in range(6):
        env.reset(seed=seed)
        direction = rng.choice([-1.0, 1.0], 4)
        for _ in range(90):
            env.step(np.array([*direction, -1.0]))
            position, yaw = env.controller.pose()
            assert (position > low - 0.004).all()
            assert (position < high + 0.004).all()
            assert abs(yaw) < np.pi / 2 + 0.02
            assert env.data.site_xmat[env.controller.site][8] > 0.999


def test_stack_ends_the_episode_after_one_second(env):
    put_stack(env)
    idle = np.array([0, 0, 0, 0, -1.0])
    held = 0
    for _ in range(60):
        _, reward, terminated, _, info = env.step(idle)
        held = held + 1 if info["success"] else 0
        assert reward == float(info["success"])
        if terminated:
            break
    assert terminated
    assert held == STEPS_TO_HOLD


def test_without_terminate_on_success_the_stack_goes_on():
    made = BlockStackingEnv(terminate_on_success=False)
    put_stack(made)
    ends = [made.step(np.array([0, 0, 0, 0, -1.0]))[2] for _ in range(40)]
    assert not any(ends)


def test_success_requires_letting_go(env):
    """Red is carried onto blue by friction alone, and pays only once the fingers open."""
    env.reset(seed=2)
    put(env, "blue", (0.58, 0.0, 0.025))
    put(env, "red", (0.45, 0.0, 0.025))
    env.controller.place(np.array([0.45, 0.0, 0.028]), 0.0)
    for _ in range(10):
        env.step([0, 0, 0, 0, 1.0])
    assert env.situation().grasped == "red"
    go(env, np.array([0.45, 0.0, 0.10]), 1.0)
    go(env, np.array([0.58, 0.0, 0.10]), 1.0)
    on_top = go(env, np.array([0.58, 0.0, 0.0765]), 1.0)
    situation = env.situation()
    assert situation.touches("red", "blue")
    assert situation.touches("red", "robot")
    assert on_top[1] == 0.0
    assert not on_top[4]["success"]
    for _ in range(10):
        let_go = env.step([0, 0, 0, 0, -1.0])
    assert let_go[1] == 1.0
    assert let_go[4]["success"] is True


def test_a_grip_holds_by_friction_for_a_whole_episode(env):
    env.reset(seed=2)
    put(env, "blue", (0.60, 0.1, 0.025))
    put(env, "red", (0.45, 0.0, 0.025))
    env.controller.place(np.array([0.45, 0.0, 0.028]), 0.0)
    for _ in range(10):
        env.step([0, 0, 0, 0, 1.0])
    go(env, np.array([0.45, 0.0, 0.15]), 1.0)
    before = env.state_observation()["red"][:3]
    for _ in range(200):
        observation, *_ = env.step([0, 0, 0, 0, 1.0])
        assert observation["proprioception"][6] == 1.0
    assert np.abs(observation["red"][:3] - before).max() < 0.002
    for _ in range(10):
        observation, *_ = env.step([0, 0, 0, 0, -1.0])
    assert observation["proprioception"][6] == 0.0
    assert observation["red"][2] < -0.05  # it fell
