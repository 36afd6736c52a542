import warnings

import gymnasium as gym
import numpy as np
import pytest

from gato_gym.envs import make
from gato_gym.envs.families.meta_world import (
    FAMILY,
    HORIZON,
    UPSIDE_DOWN,
    MetaWorld,
    full_observation,
)

pytest.importorskip("metaworld")
FAMILY.register()


def play(env: gym.Env, seed: int, steps: int = 20) -> np.ndarray:
    """Observations of the first steps of an episode of fixed random actions, one per row."""
    env.action_space.seed(0)
    seen = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        assert type(info["success"]) is bool and type(reward) is float
        assert not (terminated or truncated)
        seen.append(observation)
    return np.array(seen)


def test_all_fifty_tasks_are_registered():
    ids = FAMILY.ids()
    assert len(ids) == len(set(ids)) == 50
    assert all(FAMILY.owns(task) and task in gym.registry for task in ids)
    assert gym.registry["Meta-World/assembly-v3"].max_episode_steps == HORIZON


# Basketball rejects layouts that do not fit; the door's goal hangs on the model, not on the data.
@pytest.mark.parametrize("task", ["basketball-v3", "door-open-v3", "reach-v3"])
def test_a_seed_gives_one_layout_and_one_episode(task):
    first, second = (make(f"Meta-World/{task}") for _ in range(2))
    episode = play(first, seed=3)
    other = play(first, seed=5)
    assert not np.array_equal(episode[0], other[0])
    assert np.array_equal(episode, play(first, seed=3))
    play(second, seed=7)
    assert np.array_equal(episode, play(second, seed=3))
    assert not np.array_equal(second.reset()[0], second.reset()[0])
    first.close()
    second.close()


# The stick has an object to move beside itself.
@pytest.mark.parametrize(("task", "objects"), [("reach-v3", 1), ("stick-push-v3", 2)])
def test_everything_is_seen_from_the_hand_and_as_meta_world_says_on_request(task, objects):
    env, raw = make(f"Meta-World/{task}"), make(f"Meta-World/{task}", raw=True)
    seen, world = play(env, seed=1), play(raw, seed=1)
    assert seen.shape[1] == 10 + 7 * objects and world.shape[1] == 39
    assert np.array_equal(world[1:, 18:36], world[:-1, :18])
    assert np.array_equal(world[-1, 36:], env.unwrapped.arm._target_pos)
    assert np.array_equal(full_observation(env), world[-1])
    hand, goal = world[:, :3], world[:, 36:]
    assert np.array_equal(seen[:, :4], world[:, :4])
    for number in range(objects):
        place, quaternion = 4 + 7 * number, 7 + 7 * number
        assert np.array_equal(seen[:, place:quaternion], world[:, place:quaternion] - hand)
        assert np.array_equal(
            seen[:, quaternion : quaternion + 4], world[:, quaternion : quaternion + 4]
        )
    assert np.array_equal(seen[:, -6:-3], goal - hand)
    assert np.array_equal(seen[:, -3:], goal - world[:, 4:7])
    if objects == 1:
        assert not world[:, 11:18].any()  # what is left out says nothing
    env.close()
    raw.close()


@pytest.mark.parametrize("task", FAMILY.ids())
def test_what_is_left_out_of_an_observation_is_empty(task):
    """Tasks know how many objects they have before their first episode."""
    env = make(task)
    env.reset(seed=0)
    seen = full_observation(env)
    assert env.observation_space.shape == (24 if seen[11:18].any() else 17,)
    env.close()


@pytest.mark.parametrize("task", ["reach-v3", "drawer-open-v3", "pick-place-v3"])
def test_the_scripted_policy_solves_it(task):
    from metaworld.policies import ENV_POLICY_MAP

    env = make(f"Meta-World/{task}")
    policy = ENV_POLICY_MAP[task]()
    env.reset(seed=0)
    for _ in range(150):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the policies warn that they aim beyond [-1, 1]
            action = policy.get_action(full_observation(env)).clip(-1, 1)
        _, reward, _, _, info = env.step(action.astype(np.float32))
        if info["success"]:
            break
    assert info["success"] and reward > 5
    env.close()


def test_only_the_time_limit_ends_an_episode():
    env = make("Meta-World/handle-press-v3", max_episode_steps=HORIZON + 3)
    env.reset(seed=0)
    ends = [env.step(np.zeros(4, np.float32))[2:4] for _ in range(HORIZON + 3)]
    assert ends == [(False, False)] * (HORIZON + 2) + [(False, True)]
    assert FAMILY.facts(env) == {"control_hz": 80.0, "has_success": True}
    env.close()


def test_frames_need_no_gl(monkeypatch):
    monkeypatch.setenv("GATO_GYM_RENDERER", "raycast")
    env = make("Meta-World/reach-v3", render_mode="rgb_array", width=64, height=48)
    env.reset(seed=0)
    frame = env.render()
    assert frame.shape == (48, 64, 3) and frame.dtype == np.uint8
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 50
    env.close()


def test_frames_stand_upright():
    env = MetaWorld("reach-v3")
    env.reset(seed=0)
    model, data = env.arm.model, env.arm.data
    for index in range(model.ncam):
        up = data.cam_xmat[index].reshape(3, 3)[2, 1]  # how far the picture's upper edge is up
        assert (up < -0.1) == (model.camera(index).name in UPSIDE_DOWN)
    env.close()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'juggle-v3'"):
        MetaWorld("juggle-v3")
    with pytest.raises(ValueError, match="'human'"):
        MetaWorld("reach-v3", render_mode="human")
