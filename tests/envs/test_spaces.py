"""Gymnasium spaces -> specs, and the errors for those that have none."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from gato_gym.envs.spaces import TuplesToDicts, action_spec, named, observation_specs
from gato_gym.errors import UnsupportedSpaceError
from gato_gym.types import ActionSpec, ObservationSpec, flatten_observation


@pytest.mark.parametrize(
    ("space", "kind", "shape"),
    [
        (spaces.Box(0, 255, (64, 80, 3), np.uint8), "image", (64, 80, 3)),
        (spaces.Box(0, 255, (96, 96, 3), np.uint8), "image", (64, 64, 3)),
        (spaces.Box(-np.inf, np.inf, (2, 3), np.float32), "continuous", (2, 3)),
        (spaces.Box(-1, 1, (), np.float64), "continuous", ()),
        (spaces.Box(0, 255, (128,), np.uint8), "discrete", (128,)),
        (spaces.Box(0, 10, (7, 7, 3), np.uint8), "discrete", (7, 7, 3)),
        (spaces.Box(-5, 5, (4,), np.int64), "continuous", (4,)),
        (spaces.Box(0, 1024, (4,), np.int64), "continuous", (4,)),
        (spaces.Discrete(1024), "discrete", ()),
        (spaces.Discrete(4, start=3), "discrete", ()),
        (spaces.MultiDiscrete([[2, 3], [4, 5]]), "discrete", (2, 2)),
        (spaces.MultiBinary((2, 2)), "discrete", (2, 2)),
        (spaces.Text(20), "text", ()),
    ],
)
def test_leaf(space, kind, shape):
    assert observation_specs(space) == (ObservationSpec("observation", kind, shape),)


def test_nested_leaves_are_keyed_and_sorted_as_observations_are():
    space = spaces.Dict(
        {
            "z": spaces.Discrete(3),
            "observation": spaces.Box(-1, 1, (2,), np.float32),
            "a": spaces.Dict({"y": spaces.MultiBinary(2), "b": spaces.Text(4)}),
        }
    )
    keys = [leaf.key for leaf in observation_specs(space)]
    assert keys == ["a/b", "a/y", "observation", "z"]
    assert keys == list(flatten_observation(space.sample()))


def test_tuple_keys_keep_the_order_of_the_tuple():
    keys = list(named(tuple(range(11))))
    assert keys == sorted(keys)
    assert keys[0] == "00"
    space = spaces.Tuple([spaces.Discrete(n + 1) for n in range(11)])
    assert [leaf.key for leaf in observation_specs(space)] == keys


class Nested(gym.Env):
    observation_space = spaces.Dict(
        {"pair": spaces.Tuple([spaces.Discrete(3), spaces.Tuple([spaces.MultiBinary(2)])])}
    )
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"pair": (np.int64(2), (np.array([0, 1], np.int8),))}, {}


def test_tuples_to_dicts():
    env = TuplesToDicts(Nested())
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert list(flatten_observation(observation)) == ["pair/0", "pair/1/0"]


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        (spaces.Graph(spaces.Discrete(2), None), "Graph"),
        (spaces.Sequence(spaces.Discrete(2)), "Sequence"),
        (spaces.Discrete(1025), r"\[0, 1024\)"),
        (spaces.Discrete(3, start=-1), r"\[0, 1024\)"),
        (spaces.Box(0, 255, (84, 84), np.uint8), r"\(height, width, 3\)"),
        (spaces.Box(0, 255, (3, 64, 64), np.uint8), r"\(height, width, 3\)"),
        (spaces.Dict({"a": spaces.Dict({"b": spaces.Sequence(spaces.Text(2))})}), "Sequence"),
    ],
)
def test_unsupported_observation(space, problem):
    with pytest.raises(UnsupportedSpaceError, match=problem) as caught:
        observation_specs(space)
    assert "Supported: Box of uint8" in str(caught.value)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (spaces.Discrete(18), ActionSpec("discrete", 1, (18,))),
        (spaces.MultiDiscrete([[2, 3], [4, 5]]), ActionSpec("discrete", 4, (2, 3, 4, 5))),
        (spaces.MultiBinary(3), ActionSpec("discrete", 3, (2, 2, 2))),
        (spaces.Box(-2, 7, (2, 2), np.float32), ActionSpec("continuous", 4)),
    ],
)
def test_action(space, expected):
    assert action_spec(space) == expected


@pytest.mark.parametrize(
    ("space", "fix"),
    [
        (spaces.Box(-1, np.inf, (2,), np.float32), "RescaleAction"),
        (spaces.Box(0, 5, (2,), np.int32), "MultiDiscrete"),
        (spaces.Discrete(1025), "MultiDiscrete"),
        (spaces.MultiDiscrete([2, 2000]), "MultiDiscrete"),
        (spaces.Discrete(2, start=1), "start at 0"),
        (spaces.Dict({"a": spaces.Discrete(2)}), "TransformAction"),
    ],
)
def test_unsupported_action_says_the_fix(space, fix):
    with pytest.raises(UnsupportedSpaceError, match=fix) as caught:
        action_spec(space)
    assert "Supported: Discrete" in str(caught.value)
