"""What is wrong with a space that has no tokens, and the line of code that mends it.

The lines use `gymnasium`, `np` (NumPy) and `spaces` (gymnasium.spaces), as Gymnasium's own examples
do.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium import spaces

from gato_gym.errors import UnsupportedSpaceError
from gato_gym.types import PATCH_SIDE, ROOT_KEY

# Discrete tokens are the integers [0, 1024) (paper section 2.1).
DISCRETE_VALUES = 1024

SUPPORTED_OBSERVATIONS = (
    "Box of uint8 (height, width, 3) of at least 16 x 16, Box of floats or integers, Discrete, "
    "MultiDiscrete, MultiBinary, Text, and Dict or Tuple of these"
)
SUPPORTED_ACTIONS = "Discrete, MultiDiscrete, MultiBinary, bounded Box of floats"

# A uint8 (height, width, 3) array with fewer rows or columns is a table of symbols, as MiniGrid's.
SMALLEST_PICTURE = 8
LONGEST_NAME = 160  # characters of a space in a message


def unsupported(
    what: str, space: gym.Space, problem: str, fix: str, key: str = ROOT_KEY
) -> UnsupportedSpaceError:
    """The error for a space without tokens.

    Args:
        what: "observation" or "action".
        space: the offending one, which may be a part of the whole.
        problem: what is wrong with it, continuing "Box(...)".
        fix: a line of code, or words.
        key: where it is in the observation.
    """
    supported = SUPPORTED_ACTIONS if what == "action" else SUPPORTED_OBSERVATIONS
    where = "" if key == ROOT_KEY else f" {shortened(key)!r}"
    error = UnsupportedSpaceError(
        f"{what} space{where} {shortened(str(space))} {problem}: Gato has no tokens for it. "
        f"Fix: {fix}. Supported: {supported}"
    )
    error.fix = fix
    return error


def shortened(text: str) -> str:
    """A text with its middle left out if it is long."""
    return text if len(text) <= LONGEST_NAME else f"{text[:100]} ... {text[-50:]}"


def transform_observation(key: str, expression: str, space: str) -> str:
    """The line that replaces a leaf `x` by `expression`, which has the new `space`."""
    if key == ROOT_KEY:
        return f"gymnasium.wrappers.TransformObservation(env, lambda x: {expression}, {space})"
    if "/" in key:
        return (
            f"turn {shortened(key)!r} into {space} by lambda x: {expression}, "
            "with gymnasium.wrappers.TransformObservation"
        )
    changed = f"{{**o, {key!r}: (lambda x: {expression})(o[{key!r}])}}"
    whole = f"spaces.Dict({{**env.observation_space, {key!r}: {space}}})"
    return f"gymnasium.wrappers.TransformObservation(env, lambda o: {changed}, {whole})"


def transform_action(expression: str, space: str) -> str:
    """The line that turns an action `a` of the new `space` into one of the environment."""
    return f"gymnasium.wrappers.TransformAction(env, lambda a: {expression}, {space})"


def picture_advice(space: spaces.Box, key: str) -> tuple[str, str] | None:
    """Problem and fix of a uint8 Box that looks like a picture of another layout, else None."""
    shape = space.shape
    large = [side >= PATCH_SIDE for side in shape]

    def image(height: int, width: int) -> str:
        return f"spaces.Box(0, 255, ({height}, {width}, 3), np.uint8)"

    if len(shape) == 2 and all(large):
        problem = "is a grey picture, Gato sees (height, width, 3)"
        expression = "np.repeat(x[..., None], 3, axis=2)"
        return problem, transform_observation(key, expression, image(*shape))
    if len(shape) != 3:
        return None
    if all(large[:2]) and shape[2] in (1, 4):
        grey = shape[2] == 1
        problem = f"is a{' grey' if grey else 'n RGBA'} picture, Gato sees (height, width, 3)"
        expression = "np.repeat(x, 3, axis=2)" if grey else "x[..., :3]"
        return problem, transform_observation(key, expression, image(*shape[:2]))
    if all(large[1:]) and shape[0] in (1, 3):
        problem = "is a picture with its channels first, Gato sees (height, width, 3)"
        expression = "np.repeat(x, 3, axis=0)" if shape[0] == 1 else "x"
        expression = f"{expression}.transpose(1, 2, 0)"
        return problem, transform_observation(key, expression, image(*shape[1:]))
    if sum(large) > 1 and shape[2] != 3:
        problem = "is a stack of pictures, Gato sees one (height, width, 3)"
        return problem, transform_observation(key, "the_last_frame(x)", image(64, 64))
    picture = shape[2] == 3 and bool((space.high == 255).all())
    if picture and min(shape[:2]) >= SMALLEST_PICTURE and not all(large[:2]):
        times = -(-PATCH_SIDE // min(shape[:2]))
        problem = (
            f"is a picture of {shape[0]} x {shape[1]}, smaller than a patch of "
            f"{PATCH_SIDE} x {PATCH_SIDE} (a table of symbols would declare how many there are, "
            "not 255)"
        )
        expression = f"x.repeat({times}, 0).repeat({times}, 1)"
        larger = image(shape[0] * times, shape[1] * times)
        return problem, transform_observation(key, expression, larger)
    return None


def digits_advice(space: Any, key: str) -> str:
    """How numbers outside of the discrete range are observed."""
    if not isinstance(space, spaces.Discrete):
        return "shift the values to start at 0, and split large ones into digits"
    shift = f"(x - {space.start})" if space.start else "x"
    if space.n <= DISCRETE_VALUES:
        return transform_observation(key, shift, f"spaces.Discrete({space.n})")
    high = -(-int(space.n) // DISCRETE_VALUES)
    return transform_observation(
        key,
        f"np.array(divmod({shift}, {DISCRETE_VALUES}))",
        f"spaces.MultiDiscrete([{high}, {DISCRETE_VALUES}])",
    )


def integer_action_advice(space: spaces.Box) -> str:
    """How a Box of integers becomes an action."""
    if not space.is_bounded("both") or space.low.size > 16:
        return "declare the integers as a MultiDiscrete"
    counts = (space.high.astype(int) - space.low + 1).tolist()
    return transform_action(
        f"a + np.array({space.low.tolist()})", f"spaces.MultiDiscrete({counts})"
    )


def start_advice(space: Any) -> str:
    """How numbers that do not start at 0 become an action."""
    if isinstance(space, spaces.Discrete):
        return transform_action(f"a + {space.start}", f"spaces.Discrete({space.n})")
    low, counts = space.start.tolist(), space.nvec.tolist()
    return transform_action(f"a + np.array({low})", f"spaces.MultiDiscrete({counts})")


def digits_action_advice(space: Any) -> str:
    """How a number with many values becomes an action."""
    if not isinstance(space, spaces.Discrete):
        return "split each number into two digits of a longer MultiDiscrete"
    high = -(-int(space.n) // DISCRETE_VALUES)
    return transform_action(
        f"min(int(a[0]) * {DISCRETE_VALUES} + int(a[1]), {space.n - 1})",
        f"spaces.MultiDiscrete([{high}, {DISCRETE_VALUES}])",
    )
