"""Patches that stand in several places are kept once; arrays are filled up to few sizes."""

from dataclasses import fields

import numpy as np
import pytest

from gato_gym.data import packing
from gato_gym.data.packing import Document, Window, bucket, bucketed, distinct, pack
from gato_gym.tokenizers.timestep import TokenSequence


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


def test_buckets_are_few_and_waste_little():
    sizes = [bucket(count) for count in range(5000)]
    assert sizes[:10] == [0, 1, 2, 3, 4, 6, 6, 8, 8, 12]
    for count, size in enumerate(sizes):
        assert count <= size and (size - count) <= size / 3
        assert bucket(size) == size
    assert len(set(sizes)) == 26


def window(patches, rows=2):
    """Rows of one document: `patches` marks, then a separator and an action."""
    marks = np.full(patches, -1, np.int32)
    ids = np.concatenate([marks, [2048, 5]]).astype(np.int32)
    rng = np.random.default_rng(patches)
    one = TokenSequence(
        ids=ids,
        local=np.arange(len(ids), dtype=np.int16),
        targets=np.where(ids == 5, 5, -1).astype(np.int32),
        patches=rng.integers(0, 256, (patches, 16, 16, 3)).astype(np.uint8),
        intervals=np.tile(np.array([[0, 128, 0, 128]], np.int16), (patches, 1)),
    )
    documents, numbers = [[Document(0, [one])]] * rows, range(rows)
    rngs = [np.random.default_rng(number) for number in numbers]
    return pack(len(ids) + 1, documents, numbers, [("a",)] * rows, rngs)


@pytest.mark.parametrize("patches", [0, 1, 5, 8])
def test_what_is_filled_up_changes_nothing(patches):
    plain = window(patches)
    filled = bucketed(plain)
    marks, size = len(plain.marks), bucket(2 * patches)
    assert len(filled.patches) == bucket(patches)  # both rows have the same ones
    assert len(filled.pixels) == len(filled.positions) == len(filled.marks) == size
    assert filled.queries.shape == filled.targets.shape == (2, 1)
    assert (filled.marks[marks:] == plain.ids.size).all()
    # As a model lays patches out, with a place behind the last token for what is too much.
    laid = np.zeros((2, plain.ids.size + 1, 16, 16, 3), np.uint8)
    for canvas, each in zip(laid, (plain, filled), strict=True):
        canvas[each.marks] = each.patches[each.pixels]
    np.testing.assert_array_equal(laid[0, :-1], laid[1, :-1])
    for field in fields(Window):
        before, after = getattr(plain, field.name), getattr(filled, field.name)
        if isinstance(before, np.ndarray):
            assert after.dtype == before.dtype
            kept = tuple(slice(0, n) for n in before.shape)
            np.testing.assert_array_equal(after[kept], before, err_msg=field.name)
        else:
            assert after == before


def test_queries_are_filled_up_without_targets():
    one = TokenSequence(
        ids=np.tile([7, 2048, 5], 5).astype(np.int32),
        local=np.zeros(15, np.int16),
        targets=np.tile([-1, -1, 5], 5).astype(np.int32),
        patches=np.zeros((0, 16, 16, 3), np.uint8),
        intervals=np.zeros((0, 4), np.int16),
    )
    plain = pack(16, [[Document(3, [one])]], [9], [("a",)], [np.random.default_rng(0)])
    filled = bucketed(plain)
    assert plain.targets.shape == (1, 5) and filled.targets.shape == (1, 6)
    assert filled.target_count == plain.target_count == 5
    assert filled.targets[0, 5] == -1 and filled.queries[0, 5] == filled.tasks[0, 5] == 0
