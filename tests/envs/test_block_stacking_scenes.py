"""Scattered episodes show any moment of the work; the locating task asks where the blocks are."""

import gymnasium
import numpy as np
import pytest

pytest.importorskip("mujoco")

from gato_gym.envs.block_stacking import register_block_stacking, scene
from gato_gym.envs.block_stacking.env import BlockStackingEnv
from gato_gym.envs.block_stacking.locating import FAR, LOCATED, BlockLocatingEnv
from gato_gym.envs.block_stacking.tasks import LOCATE_ID, SCENES
from gato_gym.envs.families.block_stacking import FAMILY

register_block_stacking()

UP = np.array([0, 0, 1, 0, -1], np.float32)
NOTHING = np.zeros(8, np.float32)


def scattered(env, seed, steps):
    """The observations of a scattered episode, and its situations."""
    env.scatter()
    observation, _ = env.reset(seed=seed)
    seen = [(observation, env.situation())]
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(UP)
        assert (reward, terminated, truncated) == (0.0, False, False)
        seen.append((observation, env.situation()))
    return seen


@pytest.fixture(scope="module")
def moments():
    env = BlockStackingEnv()
    yield scattered(env, seed=0, steps=400)
    env.close()


def test_every_step_shows_another_moment(moments):
    places = np.array([observation["proprioception"][:3] for observation, _ in moments])
    assert len(np.unique(places.round(4), axis=0)) > 0.99 * len(moments)
    assert all(
        not moment.touches("red", "blue") or moment.tops["red"] > 0.09 for _, moment in moments
    )


def test_all_parts_of_the_work_come_up(moments):
    held = np.mean([moment.grasped == "red" for _, moment in moments])
    stacked = np.mean([moment.touches("red", "blue") for _, moment in moments])
    inside = np.mean(
        [
            np.linalg.norm(moment.pinch - moment.positions["red"]) < 0.03 and not moment.grasped
            for _, moment in moments
        ]
    )
    assert 0.18 < held < 0.32
    assert 0.05 < stacked < 0.20
    assert inside > 0.10
    assert not any(moment.grasped == "blue" for _, moment in moments)
    assert all(moment.bottoms[c] > -0.003 for _, moment in moments for c in ("red", "blue"))
    centres = np.array([list(moment.positions.values()) for _, moment in moments])
    assert np.all(centres[..., :2] > np.array(scene.WORKSPACE_LOW[:2]) - 0.02)
    assert np.all(centres < np.array(scene.WORKSPACE_HIGH) + 0.02)


def test_a_seed_repeats_them_and_the_next_episode_is_an_ordinary_one():
    env = BlockStackingEnv()
    first, again = (scattered(env, seed=3, steps=5) for _ in range(2))
    for (one, _), (other, _) in zip(first, again, strict=True):
        for key, value in one.items():
            np.testing.assert_array_equal(value, other[key])
    env.reset(seed=3)
    rises = [env.step(UP)[0]["proprioception"][2] for _ in range(5)]
    assert np.all(np.diff(rises) > 0.0)
    env.close()


def test_the_instructed_pair_is_what_is_at_work():
    env = BlockStackingEnv(task="Instructed")
    held = set()
    for seed in range(12):
        for _, moment in scattered(env, seed, steps=15):
            assert moment.grasped in ("", env.pair[0])
            held.add(moment.grasped)
    assert held == {"", "red", "blue", "green"}
    env.close()


def test_objects_that_are_dropped_are_refused():
    env = BlockStackingEnv(task="Triplet1")
    with pytest.raises(ValueError, match="Triplet1 cannot be scattered"):
        env.scatter()
    env.close()


@pytest.fixture(scope="module")
def locating():
    env = BlockLocatingEnv(renderer="raycast")
    yield env
    env.close()


def test_the_locating_task_is_registered_and_described():
    assert LOCATE_ID in FAMILY.ids()
    env = gymnasium.make(LOCATE_ID, renderer="raycast")
    assert env.spec.max_episode_steps == SCENES
    assert FAMILY.facts(env) == {"has_success": False, "control_hz": 20.0, "horizon": SCENES}
    observation, _ = env.reset(seed=0)
    assert set(observation) == {"proprioception", "front_left", "front_right"}
    assert env.action_space.shape == (8,)
    env.close()


def test_the_answer_is_where_the_blocks_are(locating):
    locating.reset(seed=1)
    for _ in range(5):
        answer, (pinch, yaw) = locating.answer(), locating._pinch()
        for part, pose in zip(answer.reshape(2, 4), locating.sensors.poses.values(), strict=True):
            np.testing.assert_allclose(pinch + FAR * part[:3], pose[:3], atol=1e-6)
            # Turned as told, the fingers are along one of the cube's sides.
            told = yaw + part[3] * np.pi / 4
            turn = 2 * np.arctan2(pose[6], pose[3]) - told
            assert abs(np.sin(2 * turn)) < 1e-6
        locating.step(NOTHING)


def test_an_episode_of_right_answers_returns_1_and_ends(locating):
    locating.reset(seed=2)
    total, ended = 0.0, []
    for _ in range(SCENES):
        _, reward, terminated, _, _ = locating.step(locating.answer())
        total += reward
        ended.append(terminated)
    assert total == pytest.approx(1.0)
    assert ended == [False] * (SCENES - 1) + [True]


@pytest.mark.parametrize("block", [0, 1])
def test_each_block_counts_as_far_as_it_is_told_within_15_mm(locating, block):
    locating.reset(seed=3)
    for off, right in ((0.9, True), (1.1, False)):
        answer = locating.answer()
        answer[4 * block] += off * LOCATED / FAR * (1 if answer[4 * block] < 0 else -1)
        _, reward, *_ = locating.step(answer)
        assert reward * SCENES == pytest.approx(1.0 if right else 0.5)


@pytest.mark.parametrize("action", [np.zeros(5), np.full(8, np.nan)])
def test_a_wrong_action_is_refused(locating, action):
    locating.reset(seed=0)
    with pytest.raises(ValueError, match="the action"):
        locating.step(action)


def test_a_held_block_is_between_the_fingers_and_off_the_table(moments):
    for observation, moment in moments:
        if moment.grasped:
            assert np.linalg.norm(moment.pinch - moment.positions["red"]) < 0.02
            assert observation["proprioception"][6] == 1.0
            assert moment.bottoms["red"] < scene.WORKSPACE_HIGH[2]
