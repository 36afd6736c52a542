"""The quick box filter gives Pillow's bytes, for frames and for screens of colour numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gato_gym.envs.images import resize_image
from gato_gym.envs.shrink import FrameShrinker, PaletteShrinker, is_halved, windows

# Heights of screens of ale-py, and one where the rows stay as they are.
SIZES = [
    ((210, 160), (64, 80)),
    ((214, 160), (64, 80)),
    ((220, 160), (64, 80)),
    ((64, 32), (64, 16)),
]


def by_pillow(image, size):
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX))


def pictures(shape, seed):
    """Noise; two neighbouring levels, where rounding decides; extremes; flat areas."""
    rng = np.random.default_rng(seed)
    yield rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    yield rng.integers(0, 2, (*shape, 3), dtype=np.uint8) + np.uint8(rng.integers(255))
    yield rng.choice(np.array([0, 255], np.uint8), (*shape, 3))
    yield np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), (*shape, 3)).copy()


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_frames_are_pillows(shape, size):
    assert is_halved(shape, size)
    shrink = FrameShrinker(shape, size)
    for image in pictures(shape, seed=0):
        np.testing.assert_array_equal(shrink(image), by_pillow(image, size))


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_screens_are_pillows(shape, size):
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    shrink = PaletteShrinker(shape, size)
    for count in (2, 7, 256):
        screen = rng.integers(0, count, shape, dtype=np.uint8)
        assert shrink(screen) is None, "these colours are new"
        shrink.learn(screen, colours[screen])
        np.testing.assert_array_equal(shrink(screen), by_pillow(colours[screen], size))


@given(st.integers(16, 260), st.sampled_from([16, 32, 48, 64, 96]), st.integers(0, 2**32 - 1))
def test_any_height_is_pillows(height, rows, seed):
    """Whichever way is taken: `resize_image` is Pillow's box filter."""
    image = np.random.default_rng(seed).integers(0, 256, (height, 64, 3), dtype=np.uint8)
    resized = resize_image(image, (rows, 32))
    np.testing.assert_array_equal(resized, by_pillow(image, (rows, 32)))


def test_results_are_not_overwritten():
    image = np.random.default_rng(2).integers(0, 256, (210, 160, 3), dtype=np.uint8)
    first = resize_image(image, (64, 80))
    kept = first.copy()
    resize_image(255 - image, (64, 80))
    np.testing.assert_array_equal(first, kept)


def test_views_with_gaps_are_resized_too():
    image = np.random.default_rng(3).integers(0, 256, (420, 160, 3), dtype=np.uint8)[::2]
    assert not image.flags.c_contiguous
    np.testing.assert_array_equal(resize_image(image, (64, 80)), by_pillow(image, (64, 80)))


@pytest.mark.parametrize(
    ("shape", "size"), [((210, 161), (64, 80)), ((60, 160), (64, 80)), ((640, 160), (64, 80))]
)
def test_other_sizes_are_left_to_pillow(shape, size):
    assert not is_halved(shape, size)


@pytest.mark.parametrize(("length", "count"), [(210, 64), (250, 64), (64, 64), (100, 7)])
def test_windows_cover_each_line_once(length, count):
    starts, sizes = windows(length, count)
    assert starts[0] == 0 and starts[-1] + sizes[-1] == length
    np.testing.assert_array_equal(starts[1:], (starts + sizes)[:-1])
