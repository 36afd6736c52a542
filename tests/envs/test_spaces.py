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
        (spaces.Box(-1, np.inf, (2,), np.float32), r"spaces.Box\(-1, 1, \(2,\)\)"),
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


class Still(gym.Env):
    """Observes one value for ever and keeps the last action it was given."""

    def __init__(self, observation, space, action_space=None):
        self.value, self.observation_space = observation, space
        self.action_space = action_space or spaces.Discrete(2)
        self.taken = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.value, {}

    def step(self, action):
        self.taken = action
        return self.value, 0.0, False, False, {}


def bytes_box(*shape):
    return spaces.Box(0, 255, shape, np.uint8)


@pytest.mark.parametrize("key", [None, "camera"])
@pytest.mark.parametrize(
    ("space", "shape"),
    [
        (bytes_box(3, 32, 48), (32, 48, 3)),
        (bytes_box(1, 32, 48), (32, 48, 3)),
        (bytes_box(32, 48), (32, 48, 3)),
        (bytes_box(32, 48, 1), (32, 48, 3)),
        (bytes_box(32, 48, 4), (32, 48, 3)),
        (bytes_box(8, 8, 3), (16, 16, 3)),
        (bytes_box(9, 24, 3), (18, 48, 3)),
        (spaces.Discrete(5000, start=-10), (2,)),
        (spaces.Discrete(5, start=-2), ()),
    ],
)
def test_the_line_of_code_mends_the_observation(key, space, shape):
    whole = space if key is None else spaces.Dict({key: space, "x": spaces.Discrete(2)})
    sample = whole.sample()
    with pytest.raises(UnsupportedSpaceError) as caught:
        observation_specs(whole)
    assert key is None or f"observation space {key!r}" in str(caught.value)
    scope = {"gymnasium": gym, "np": np, "spaces": spaces, "env": Still(sample, whole)}
    mended = eval(caught.value.fix, scope)
    leaf = observation_specs(mended.observation_space)[0]
    assert leaf.key == (key or "observation")
    observation, _ = mended.reset()
    assert mended.observation_space.contains(observation)
    assert np.shape(flatten_observation(observation)[leaf.key]) == shape


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-np.inf, np.inf, (2,), np.float32),
        spaces.Box(-2, 5, (2,), np.int64),
        spaces.Discrete(5, start=3),
        spaces.MultiDiscrete([3, 4], start=[1, 2]),
        spaces.Discrete(3000),
    ],
)
def test_the_line_of_code_mends_the_action(space):
    with pytest.raises(UnsupportedSpaceError) as caught:
        action_spec(space)
    env = Still(0, spaces.Discrete(2), space)
    mended = eval(caught.value.fix, {"gymnasium": gym, "np": np, "spaces": spaces, "env": env})
    action_spec(mended.action_space)
    mended.action_space.seed(0)
    mended.reset()
    for _ in range(20):
        mended.step(mended.action_space.sample())
        assert space.contains(np.asarray(env.taken, space.dtype))


def test_deep_keys_are_told_in_words():
    space = spaces.Dict(a=spaces.Dict(b=bytes_box(3, 32, 32)))
    with pytest.raises(UnsupportedSpaceError, match=r"turn 'a/b' into spaces\.Box"):
        observation_specs(space)


@pytest.mark.parametrize(("levels", "fits"), [(16, True), (17, False), (40, False)])
def test_nesting_has_a_limit(levels, fits):
    space = spaces.Discrete(2)
    for _ in range(levels):
        space = spaces.Dict(a=space)
    if fits:
        assert len(observation_specs(space)) == 1
        return
    with pytest.raises(UnsupportedSpaceError, match="deeper than 16 levels") as caught:
        observation_specs(space)
    assert len(str(caught.value)) < 800


def test_text_needs_letters():
    with pytest.raises(UnsupportedSpaceError, match=r"has no charset.*charset=string\.printable"):
        observation_specs(spaces.Dict(goal=spaces.Text(9, charset="")))


def test_symbols_are_no_small_picture():
    """MiniGrid's 7 x 7 view, and larger ones that say how many symbols there are."""
    assert observation_specs(bytes_box(7, 7, 3))[0].kind == "discrete"
    assert observation_specs(spaces.Box(0, 10, (9, 9, 3), np.uint8))[0].kind == "discrete"
