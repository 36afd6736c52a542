"""What a Gymnasium space is to Gato: an image, continuous numbers, discrete numbers or text.

Another package's space is supported by registering it:

    @observation_specs.register
    def _(space: MissionSpace, key: str = ROOT_KEY) -> tuple[ObservationSpec, ...]:
        return (ObservationSpec(key, "text", ()),)
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from gato_gym.envs.images import default_size
from gato_gym.envs.space_advice import (
    DISCRETE_VALUES,
    digits_action_advice,
    digits_advice,
    integer_action_advice,
    picture_advice,
    start_advice,
    transform_action,
    unsupported,
)
from gato_gym.types import PATCH_SIDE, ROOT_KEY, ActionSpec, ObservationSpec

MAX_DEPTH = 16
"""Levels of Dict and Tuple that an observation may have."""

MOST_REPLY = 256
"""Tokens of the longest action that is text."""


@singledispatch
def observation_specs(space: gym.Space, key: str = ROOT_KEY) -> tuple[ObservationSpec, ...]:
    """The leaves of an observation space, sorted by key.

    Images get `default_size`. Raises `UnsupportedSpaceError` for a space without tokens.
    """
    if isinstance(space, spaces.Sequence | spaces.Graph):
        problem, fix = "has no fixed length", "observe a fixed number of items"
    elif isinstance(space, spaces.OneOf):
        problem, fix = "changes its form", "observe a Dict of all its forms"
    else:
        problem, fix = "is of no kind that has tokens", "turn it into a supported one"
    raise unsupported(
        "observation",
        space,
        problem,
        f"{fix}: gymnasium.wrappers.TransformObservation(env, function, new_space)",
        key,
    )


@observation_specs.register
def _(space: spaces.Box, key: str = ROOT_KEY) -> tuple[ObservationSpec, ...]:
    if 0 in space.shape:
        raise unsupported("observation", space, "holds nothing", "leave it out", key)
    if space.dtype == np.uint8:
        advice = picture_advice(space, key)
        if advice is not None:
            raise unsupported("observation", space, *advice, key)
    if is_image(space):
        return (ObservationSpec(key, "image", (*default_size(*space.shape[:2]), 3)),)
    if space.dtype is not None and space.dtype.kind == "f":
        return (ObservationSpec(key, "continuous", space.shape),)
    # Integers outside of the discrete range are told apart by magnitude, as floats are.
    fits = bool((space.low >= 0).all() and (space.high < DISCRETE_VALUES).all())
    return (ObservationSpec(key, "discrete" if fits else "continuous", space.shape),)


@observation_specs.register(spaces.Discrete)
@observation_specs.register(spaces.MultiDiscrete)
@observation_specs.register(spaces.MultiBinary)
def _(space: Any, key: str = ROOT_KEY) -> tuple[ObservationSpec, ...]:
    low, count = _range(space)
    if (low < 0).any() or (low + count > DISCRETE_VALUES).any():
        raise unsupported(
            "observation",
            space,
            f"has values outside of [0, {DISCRETE_VALUES})",
            digits_advice(space, key),
            key,
        )
    return (ObservationSpec(key, "discrete", space.shape),)


@observation_specs.register
def _(space: spaces.Text, key: str = ROOT_KEY) -> tuple[ObservationSpec, ...]:
    if not space.character_set:
        fix = f"name its letters: spaces.Text({space.max_length}, charset=string.printable)"
        raise unsupported("observation", space, "has no charset", fix, key)
    return (ObservationSpec(key, "text", ()),)


@observation_specs.register(spaces.Dict)
@observation_specs.register(spaces.Tuple)
def _(space: Any, key: str = ROOT_KEY) -> tuple[ObservationSpec, ...]:
    if key != ROOT_KEY and key.count("/") + 2 > MAX_DEPTH:
        raise unsupported(
            "observation",
            space,
            f"is nested deeper than {MAX_DEPTH} levels",
            "gymnasium.wrappers.FlattenObservation(env), or a flatter Dict",
            key,
        )
    children = space.items() if isinstance(space, spaces.Dict) else named(space).items()
    # The root key is no prefix, as in `flatten_observation`.
    prefix = "" if key == ROOT_KEY else f"{key}/"
    leaves = [
        leaf for name, child in children for leaf in observation_specs(child, f"{prefix}{name}")
    ]
    keys = [leaf.key for leaf in leaves]
    twice = next((name for name in keys if keys.count(name) > 1), None)
    if twice is not None:
        fix = 'rename a key: "/" joins the keys of nested mappings'
        raise unsupported("observation", space, f"has two parts called {twice!r}", fix, key)
    if not leaves:
        raise unsupported("observation", space, "holds nothing", "observe something", key)
    return tuple(sorted(leaves, key=lambda leaf: leaf.key))


def action_spec(space: gym.Space) -> ActionSpec:
    """What an action is made of; raises `UnsupportedSpaceError` for a space without tokens."""
    problem = fix = ""
    if isinstance(space, spaces.Box):
        if space.dtype is None or space.dtype.kind != "f":
            problem, fix = "is a Box of integers", integer_action_advice(space)
        elif not space.is_bounded("both"):
            problem, fix = (
                "is not bounded",
                transform_action("a", f"spaces.Box(-1, 1, {space.shape})"),
            )
        else:
            return ActionSpec("continuous", int(np.prod(space.shape, dtype=int)))
    elif isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        low, count = _range(space)
        if low.any():
            problem, fix = "must start at 0", start_advice(space)
        elif (count > DISCRETE_VALUES).any():
            problem = f"has more than {DISCRETE_VALUES} values"
            fix = digits_action_advice(space)
        else:
            return ActionSpec("discrete", count.size, tuple(int(n) for n in count))
    elif isinstance(space, spaces.Text):
        return ActionSpec("text", reply_tokens(space.max_length))
    else:
        problem = "is no plain action"
        fix = "gymnasium.wrappers.TransformAction(env, function, a MultiDiscrete or bounded Box)"
    raise unsupported("action", space, problem, fix)


def reply_tokens(letters: int) -> int:
    """Tokens that a reply of at most so many letters may take, its end included.

    English takes one for three to four letters (of 1,024 pieces; of 32,000 fewer). What needs more,
    e.g. rare letters, which take one token per byte, is cut.
    """
    return min(MOST_REPLY, -(-letters // 2) + 1)


def action_element(space: Any, numbers: np.ndarray) -> Any:
    """(A,) decoded numbers as an element of an action space.

    Args:
        space: Discrete, MultiDiscrete, MultiBinary or a bounded Box, which need not be [-1, 1].
        numbers: integers, or floats in [-1, 1] for a Box.
    """
    if isinstance(space, spaces.Box):
        half = (space.high.astype(np.float64) - space.low) / 2
        return (space.low + (numbers.reshape(space.shape) + 1) * half).astype(space.dtype)
    if isinstance(space, spaces.Discrete):
        return space.dtype.type(numbers[0])
    return numbers.reshape(space.shape).astype(space.dtype)


def standard_actions(space: spaces.Box, actions: np.ndarray) -> np.ndarray:
    """(T, *shape) actions of a bounded Box on the scale of the wrapped one: [-1, 1], float64.

    The inverse of what `make` does to a continuous action before the environment sees it. A number
    with no range (low equals high) becomes 0; actions outside of the Box come out outside of
    [-1, 1].
    """
    if (space.low == -1).all() and (space.high == 1).all():
        return actions.astype(np.float64)
    low, width = space.low.astype(np.float64), space.high.astype(np.float64) - space.low
    scaled = (actions - low) * 2 / np.where(width > 0, width, 1) - 1
    return np.where(width > 0, scaled, 0.0)


def is_image(space: gym.Space) -> bool:
    """Whether a space holds RGB images.

    A (7, 7, 3) array of bytes is MiniGrid's table of symbols: below the side of a patch it is none.
    """
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and is_image_shape(space.shape)


def is_image_shape(shape: tuple[int, ...]) -> bool:
    """Whether bytes of this shape are an RGB image, see `is_image`."""
    return len(shape) == 3 and shape[2] == 3 and min(shape[:2]) >= PATCH_SIDE


def image_leaves(space: gym.Space, key: str = ROOT_KEY) -> dict[str, tuple[int, int]]:
    """Key -> (height, width) of the images in an observation space, as they are now."""
    if isinstance(space, spaces.Dict):
        prefix = "" if key == ROOT_KEY else f"{key}/"
        found: dict[str, tuple[int, int]] = {}
        for name, child in space.items():
            found.update(image_leaves(child, f"{prefix}{name}"))
        return found
    return {key: space.shape[:2]} if is_image(space) else {}  # type: ignore[index, dict-item]


def _range(space: Any) -> tuple[np.ndarray, np.ndarray]:
    """Smallest value and number of values of each number, flattened row-major."""
    if isinstance(space, spaces.Discrete):
        return np.array([space.start]), np.array([space.n])
    if isinstance(space, spaces.MultiDiscrete):
        return space.start.reshape(-1), space.nvec.reshape(-1)
    count = int(np.prod(space.shape))
    return np.zeros(count, int), np.full(count, 2)


def named(items: Any) -> dict[str, Any]:
    """A tuple as a mapping; keys are indices, padded so that their order is the tuple's."""
    width = len(str(len(items) - 1))
    return {f"{index:0{width}d}": item for index, item in enumerate(items)}


def has_tuple(space: gym.Space) -> bool:
    """Whether a Tuple is anywhere in a space."""
    if isinstance(space, spaces.Dict):
        return any(has_tuple(child) for child in space.values())
    return isinstance(space, spaces.Tuple)


class TuplesToDicts(gym.ObservationWrapper, gym.utils.RecordConstructorArgs):
    """Turns the tuples of an observation into mappings, see `named`."""

    def __init__(self, env: gym.Env) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        self.observation_space = self._space(env.observation_space)

    def observation(self, observation: Any) -> Any:
        """The same observation without tuples."""
        if isinstance(observation, tuple):
            observation = named(observation)
        if isinstance(observation, dict):
            return {name: self.observation(child) for name, child in observation.items()}
        return observation

    def _space(self, space: gym.Space) -> gym.Space:
        if isinstance(space, spaces.Tuple):
            space = spaces.Dict(named(space.spaces))
        if isinstance(space, spaces.Dict):
            return spaces.Dict({name: self._space(child) for name, child in space.items()})
        return space
