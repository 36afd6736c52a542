"""Images <-> 16 x 16 patches in raster order, and where each lies (section 2.1, appendix C.3).

Patches stay uint8 until the device; they have no ids.
"""

from __future__ import annotations

import numpy as np

from gato_gym.types import PATCH_SIDE

POSITION_BINS = 128


def patchify(images: np.ndarray) -> np.ndarray:
    """(..., H, W, 3) -> (..., P, 16, 16, 3), patches in raster order; sides must divide by 16."""
    *lead, height, width, channels = images.shape
    rows, columns = height // PATCH_SIDE, width // PATCH_SIDE
    if rows * PATCH_SIDE != height or columns * PATCH_SIDE != width:
        raise ValueError(
            f"image of {height} x {width}: both sides must be multiples of {PATCH_SIDE}"
        )
    grid = images.reshape(*lead, rows, PATCH_SIDE, columns, PATCH_SIDE, channels)
    return grid.swapaxes(-3, -4).reshape(*lead, rows * columns, PATCH_SIDE, PATCH_SIDE, channels)


def unpatchify(patches: np.ndarray, height: int, width: int) -> np.ndarray:
    """Inverse of `patchify`: (..., P, 16, 16, 3) -> (..., height, width, 3)."""
    *lead, _, _, _, channels = patches.shape
    grid = patches.reshape(
        *lead, height // PATCH_SIDE, width // PATCH_SIDE, PATCH_SIDE, PATCH_SIDE, channels
    )
    return grid.swapaxes(-4, -3).reshape(*lead, height, width, channels)


def patch_intervals(height: int, width: int) -> np.ndarray:
    """(P, 4) int16: first and last row bin, first and last column bin of each patch, in 0..128.

    Pixel intervals are divided by the image's sides and rounded to 128ths: in an image of 64 rows
    and 80 columns the patch in the second row and third column has rows 32..64 and columns 51..77.
    """
    rows = np.rint(np.arange(0, height + 1, PATCH_SIDE) / height * POSITION_BINS)
    columns = np.rint(np.arange(0, width + 1, PATCH_SIDE) / width * POSITION_BINS)
    row, column = np.divmod(np.arange((len(rows) - 1) * (len(columns) - 1)), len(columns) - 1)
    return np.stack(
        [rows[row], rows[row + 1], columns[column], columns[column + 1]], axis=1
    ).astype(np.int16)


def acting_positions(intervals: np.ndarray) -> np.ndarray:
    """(P, 2) row and column index when acting: the rounded mean of the interval (appendix C.3)."""
    middle = (intervals.reshape(-1, 2, 2).astype(np.int32).sum(-1) + 1) // 2
    return np.minimum(middle, POSITION_BINS - 1)


def training_positions(intervals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(P, 2) row and column index in training: uniform in the interval (appendix C.3)."""
    pairs = intervals.reshape(-1, 2, 2).astype(np.int32)
    drawn = rng.integers(pairs[..., 0], np.maximum(pairs[..., 1], pairs[..., 0] + 1))
    return np.minimum(drawn, POSITION_BINS - 1).astype(np.int32)
