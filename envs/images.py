"""Images are brought to their task's size by area averaging, the same way everywhere."""

from __future__ import annotations

import operator
import threading
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from PIL import Image

from gato_gym.envs.shrink import FrameShrinker, is_halved
from gato_gym.errors import InvalidObservationError
from gato_gym.types import PATCH_SIDE, ROOT_KEY

# The paper's worked example: 4 x 5 patches (appendix C.3).
MAX_SIZE = (64, 80)


def checked_size(size: Any) -> tuple[int, int]:
    """(height, width) as two ints.

    Raises:
        InvalidObservationError: it is no pair of positive multiples of 16.
    """
    try:
        height, width = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1 or height % PATCH_SIDE or width % PATCH_SIDE:
        raise InvalidObservationError(
            f"image_size is {size!r}; expected (height, width), multiples of {PATCH_SIDE}"
        )
    return height, width


def default_size(height: int, width: int) -> tuple[int, int]:
    """The size an image has in a task that names none.

    Shrunk to fit into 64 x 80 with its aspect kept, then each side rounded to the nearest multiple
    of 16. Small images stay as they are but for the rounding.
    """
    scale = min(1.0, MAX_SIZE[0] / height, MAX_SIZE[1] / width)
    return _nearest_multiple(height * scale), _nearest_multiple(width * scale)


def _nearest_multiple(side: float) -> int:
    return PATCH_SIDE * max(1, int(side / PATCH_SIDE + 0.5))


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A uint8 (height, width, 3) image with `size` = (height, width), by Pillow's box filter.

    Where the sides divide exactly, each pixel is the rounded mean of a block.
    """
    if image.shape[:2] == size:
        return image
    if is_halved(image.shape[:2], size) and image.flags.c_contiguous:
        return _shrinker(image.shape[:2], size)(image)
    height, width = size
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


_own = threading.local()


def _shrinker(shape: tuple[int, int], size: tuple[int, int]) -> FrameShrinker:
    """This thread's shrinker for a pair of sizes."""
    kept = vars(_own).setdefault("shrinkers", {})
    if (shape, size) not in kept:
        kept[shape, size] = FrameShrinker(shape, size)
    return kept[shape, size]


class ResizeImages(gym.ObservationWrapper, gym.utils.RecordConstructorArgs):
    """Resizes the images of an observation; all other leaves pass untouched.

    Args:
        env: observations are an image or a (nested) Dict that holds images.
        sizes: (height, width) by flat key, see `gato_gym.types.flatten_observation`.
    """

    def __init__(self, env: gym.Env, sizes: Mapping[str, tuple[int, int]]) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, sizes=dict(sizes))
        gym.ObservationWrapper.__init__(self, env)
        self.sizes = {key: (int(height), int(width)) for key, (height, width) in sizes.items()}
        self.observation_space = self._space(env.observation_space, "")

    def observation(self, observation: Any) -> Any:
        """The same observation with its images resized."""
        return self._leaves(observation, "")

    def _leaves(self, node: Any, key: str) -> Any:
        if isinstance(node, Mapping):
            return {name: self._leaves(child, _join(key, name)) for name, child in node.items()}
        size = self.sizes.get(key or ROOT_KEY)
        return node if size is None else resize_image(node, size)

    def _space(self, node: gym.Space, key: str) -> gym.Space:
        if isinstance(node, gym.spaces.Dict):
            return gym.spaces.Dict(
                {name: self._space(child, _join(key, name)) for name, child in node.items()}
            )
        size = self.sizes.get(key or ROOT_KEY)
        return node if size is None else gym.spaces.Box(0, 255, (*size, 3), np.uint8)


def _join(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name
