"""Patches that stand in several places are kept once; arrays are filled up to few sizes."""

import numpy as np
import pytest

from gato_gym.data import packing
from gato_gym.data.packing import distinct


@pytest.mark.parametrize("multipliers", [packing._MULTIPLIERS, np.zeros(96, np.uint64)])
def test_patches_survive_deduplication(multipliers, monkeypatch):
    """With zeros all patches have the same hash."""
    monkeypatch.setattr(packing, "_MULTIPLIERS", multipliers)
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (9, 16, 16, 3)).astype(np.uint8)
    base[1] = base[0]
    base[1, 15, 15, 2] ^= 1  # differ in the last byte only
    base[2], base[3] = 0, 0
    base[3, 0, 0, 0] = 1
    patches = base[rng.integers(0, 9, 200)]
    unique, which = distinct(patches)
    assert len(unique) == 9
    assert unique.dtype == np.uint8
    np.testing.assert_array_equal(unique[which], patches)


def test_no_patches():
    unique, which = distinct(np.zeros((0, 16, 16, 3), np.uint8))
    assert unique.shape == (0, 16, 16, 3) and which.shape == (0,)
