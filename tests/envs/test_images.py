"""Images are averaged over areas, exactly."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from gato_gym.envs.images import ResizeImages, default_size, resize_image


def test_exact_multiples_are_block_means():
    image = np.random.default_rng(0).integers(0, 256, (128, 240, 3), dtype=np.uint8)
    blocks = image.reshape(64, 2, 80, 3, 3).astype(np.float64).mean(axis=(1, 3))
    resized = resize_image(image, (64, 80))
    assert resized.shape == (64, 80, 3)
    assert resized.dtype == np.uint8
    # Pillow works in fixed point, one axis after the other, and rounds after each: up to one level.
    assert np.abs(resized - blocks).max() <= 1.0


def test_constant_blocks_are_exact():
    small = np.random.default_rng(1).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    large = small.repeat(16, axis=0).repeat(16, axis=1)
    assert np.array_equal(resize_image(large, (4, 5)), small)
    assert np.array_equal(resize_image(small, (64, 80)), large)


def test_right_size_is_untouched():
    image = np.zeros((64, 80, 3), np.uint8)
    assert resize_image(image, (64, 80)) is image


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((210, 160), (64, 48)),
        ((96, 96), (64, 64)),
        ((64, 80), (64, 80)),
        ((64, 64), (64, 64)),
        ((56, 56), (64, 64)),
        ((16, 16), (16, 16)),
        ((40, 400), (16, 80)),
        ((400, 600), (48, 80)),
    ],
)
def test_default_size(size, expected):
    assert default_size(*size) == expected


class Cameras(gym.Env):
    observation_space = spaces.Dict(
        {
            "hand": spaces.Box(-1, 1, (2,), np.float32),
            "views": spaces.Dict({"left": spaces.Box(0, 255, (32, 32, 3), np.uint8)}),
        }
    )
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}


def test_only_the_named_leaves_are_resized():
    env = ResizeImages(Cameras(), {"views/left": (16, 16)})
    observation, _ = env.reset(seed=0)
    assert observation["views"]["left"].shape == (16, 16, 3)
    assert observation["hand"].shape == (2,)
    assert env.observation_space.contains(observation)
