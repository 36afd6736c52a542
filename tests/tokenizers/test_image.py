"""Patches and their positions against the paper's worked example (appendix C.3)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_gym.tokenizers.image import (
    POSITION_BINS,
    acting_positions,
    patch_intervals,
    patchify,
    training_positions,
    unpatchify,
)

sides = st.integers(1, 12).map(lambda n: 16 * n)


def test_intervals_of_the_worked_example():
    intervals = patch_intervals(64, 80)
    assert intervals.shape == (20, 4)
    rows, columns = [0, 32, 64, 96, 128], [0, 26, 51, 77, 102, 128]
    expected = [
        [rows[r], rows[r + 1], columns[c], columns[c + 1]] for r in range(4) for c in range(5)
    ]
    assert intervals.tolist() == expected
    # Pixel rows [16, 32) and columns [32, 48): second row, third column.
    assert intervals[1 * 5 + 2].tolist() == [32, 64, 51, 77]
    assert acting_positions(intervals)[1 * 5 + 2].tolist() == [48, 64]


def test_training_draws_cover_the_half_open_interval():
    intervals = patch_intervals(64, 80)
    rng = np.random.default_rng(0)
    drawn = np.stack([training_positions(intervals, rng) for _ in range(2000)])
    for patch, (top, bottom, left, right) in enumerate(intervals.tolist()):
        assert set(drawn[:, patch, 0]) == set(range(top, bottom))
        assert set(drawn[:, patch, 1]) == set(range(left, right))
    middle = drawn[:, 0, 0].mean()
    assert abs(middle - 15.5) < 1  # uniform on 0..31: standard error 0.2


@given(sides, sides, st.integers(0, 2**32 - 1))
def test_positions_stay_in_the_interval_and_the_table(height, width, seed):
    intervals = patch_intervals(height, width)
    for drawn in (
        acting_positions(intervals),
        training_positions(intervals, np.random.default_rng(seed)),
    ):
        assert drawn.shape == (height * width // 256, 2)
        assert (drawn >= intervals[:, [0, 2]]).all()
        assert (drawn <= intervals[:, [1, 3]]).all()
        assert drawn.max() <= POSITION_BINS - 1 == 127


def test_more_patches_than_bins():
    """A strip of 200 patches has empty intervals; the index still lies in the table."""
    intervals = patch_intervals(16, 3200)
    drawn = training_positions(intervals, np.random.default_rng(0))
    assert drawn.min() >= 0 and drawn.max() <= 127


def test_one_patch_acts_in_the_middle():
    assert acting_positions(patch_intervals(16, 16)).tolist() == [[64, 64]]


def test_raster_order():
    image = np.zeros((32, 48, 3), np.uint8)
    for row in range(2):
        for column in range(3):
            image[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 10 * row + column
    patches = patchify(image)
    assert patches.shape == (6, 16, 16, 3)
    assert patches[:, 0, 0, 0].tolist() == [0, 1, 2, 10, 11, 12]
    assert (patches == patches[:, :1, :1, :1]).all()


def test_pixels_inside_a_patch_keep_their_place():
    image = np.random.default_rng(0).integers(0, 256, (64, 80, 3)).astype(np.uint8)
    np.testing.assert_array_equal(patchify(image)[1 * 5 + 2], image[16:32, 32:48])


@given(st.lists(st.integers(1, 2), max_size=2), sides, sides)
def test_unpatchify_inverts(lead, height, width):
    shape = (*lead, height, width, 3)
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    patches = patchify(images)
    assert patches.dtype == np.uint8
    np.testing.assert_array_equal(unpatchify(patches, height, width), images)


@pytest.mark.parametrize("shape", [(63, 80, 3), (64, 81, 3), (8, 8, 3)])
def test_sides_must_divide(shape):
    with pytest.raises(ValueError, match="multiples of 16"):
        patchify(np.zeros(shape, np.uint8))
