import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from gato_gym.envs import make
from gato_gym.envs.families.robotics import FAMILY
from gato_gym.types import flatten_observation

pytest.importorskip("gymnasium_robotics")
FAMILY.register()


def play(env: gym.Env, seed: int, steps: int = 30) -> list[Any]:
    """Observations and rewards of the first steps of an episode of fixed random actions."""
    env.action_space.seed(0)
    seen = list(flatten_observation(env.reset(seed=seed)[0]).values())
    for _ in range(steps):
        observation, reward, _, _, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        assert type(info["success"]) is bool
        seen += [*flatten_observation(observation).values(), reward]
    return seen


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def test_ids_are_distinct_and_the_newest_versions():
    ids = FAMILY.ids()
    assert len(ids) == len(set(ids)) == 36
    for task in ids:
        spec = gym.registry[task]
        versions = [other.version for other in gym.registry.values() if other.name == spec.name]
        assert spec.version == max(versions)
        assert FAMILY.owns(task)
    assert not any(map(FAMILY.owns, ("Ant-v5", "Meta-World/reach-v3", "Meta-World/FetchReach-v4")))


def test_what_is_left_out_is_the_same_task():
    for thing in ("Block", "Egg", "Pen"):
        plain, full = (gym.registry[f"HandManipulate{thing}{end}-v1"] for end in ("", "Full"))
        assert (plain.entry_point, plain.kwargs) == (full.entry_point, full.kwargs)
    mazes = [gym.make(f"PointMaze_Open{end}-v3") for end in ("", "_Diverse_GR")]
    places = [
        [maze.unwrapped.maze.unique_goal_locations, maze.unwrapped.maze.unique_reset_locations]
        for maze in mazes
    ]
    assert np.array_equal(*places)
    for maze in mazes:
        Path(maze.unwrapped.tmp_xml_file_path).unlink()


# One of each kind. The manipulating hand keeps its solver's state from episode to episode.
@pytest.mark.parametrize(
    "task",
    [
        "FetchPush-v4",
        "HandReach-v3",
        "HandManipulateBlock-v1",
        "AdroitHandPen-v1",
        "FrankaKitchen-v1",
        "PointMaze_Medium_Diverse_GR-v3",
        "AntMaze_UMaze-v5",
    ],
)
def test_a_seed_gives_one_episode_whatever_was_played_before(task):
    # The checker looks at the environment before it is mended.
    first, second = (make(task, disable_env_checker=True) for _ in range(2))
    episode = play(first, seed=3)
    assert not same(episode, play(first, seed=11))
    assert same(episode, play(first, seed=3))
    play(second, seed=7)
    assert same(episode, play(second, seed=3))
    facts = FAMILY.facts(first)
    assert facts["has_success"] and 12 < facts["control_hz"] <= 100
    first.close()
    second.close()


def test_the_kitchen_succeeds_when_everything_is_done():
    things = ["microwave", "slide cabinet"]
    env = make("FrankaKitchen-v1", tasks_to_complete=things, disable_env_checker=True)
    before, _ = env.reset(seed=0)
    still = np.zeros(9, np.float32)
    positions = env.unwrapped.data.qpos
    positions[22] = -0.75  # the microwave's door
    _, reward, terminated, _, info = env.step(still)
    assert (reward, terminated, info["success"]) == (1.0, False, False)
    positions[19] = 0.37  # the cabinet's
    after, reward, terminated, _, info = env.step(still)
    assert (reward, terminated, info["success"]) == (1.0, True, True)
    assert before["desired_goal"]["microwave"] is not after["desired_goal"]["microwave"]
    env.close()


def test_a_maze_leaves_no_file_behind():
    env = make("PointMaze_UMaze-v3")
    assert not Path(env.unwrapped.tmp_xml_file_path).exists()
    env.close()


def test_registering_is_silent_without_a_gl_library():
    code = (
        "from gato_gym.envs.families import farama, robotics, meta_world\n"
        "for family in (*farama.FAMILIES, robotics.FAMILY, meta_world.FAMILY):\n"
        "    if not family.missing: family.register()\n"
    )
    # Hardly a machine has OSMesa; there `import mujoco` alone would fail.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "MUJOCO_GL": "osmesa"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
