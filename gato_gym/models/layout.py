"""What one pass of the acting network computes, laid out as arrays.

Shapes: R rows of B, N new tokens of all of them, T the most of one row, W wanted predictions per
row, P patches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gato_gym.tokenizers.vocabulary import PATCH

NO_PATCHES = np.zeros((0, 16, 16, 3), np.uint8)
NO_PLACES = np.zeros((0, 2), np.int64)
NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Feed:
    """New tokens of some rows, row after row.

    rows      (R,) which rows of the cache, ascending
    counts    (R,) how many tokens of each, at least 1
    ids       (N,) PATCH where an image patch stands
    local     (N,) rows of the local position table
    first     (N,) the first position that each token sees
    patches   (P, 16, 16, 3) uint8, in the order of their marks
    places    (P, 2) row and column index of each patch
    wanted    W: predictions after the last W tokens of each row; a shorter row repeats its first
    """

    rows: np.ndarray
    counts: np.ndarray
    ids: np.ndarray
    local: np.ndarray
    first: np.ndarray
    patches: np.ndarray = field(default_factory=lambda: NO_PATCHES)
    places: np.ndarray = field(default_factory=lambda: NO_PLACES)
    wanted: int = 1


@dataclass(frozen=True)
class Layout:
    """A feed with everything that follows from it.

    rows        of the cache; None = all
    width       T
    wanted      W
    used        C, slots that are looked at
    ids, local, positions, first, row_of    (N,)
    pixels, marks     (P,) which patch stands at which token
    places            (P, 2)
    asked             (R * W,) tokens whose predictions are wanted
    grid, real        (R * T,) the token at each place of a rectangle of rows, shorter rows repeat
                      their last one, and (N,) the place of each token; empty where rows are alike
    patches           (P, 16, 16, 3) uint8
    """

    rows: tuple[int, ...] | None
    width: int
    wanted: int
    used: int
    ids: np.ndarray
    local: np.ndarray
    positions: np.ndarray
    first: np.ndarray
    row_of: np.ndarray
    pixels: np.ndarray
    marks: np.ndarray
    places: np.ndarray
    asked: np.ndarray
    grid: np.ndarray
    real: np.ndarray
    patches: np.ndarray

    INTEGERS = (
        *("ids", "local", "positions", "first", "row_of", "pixels", "marks", "places", "asked"),
        *("grid", "real"),
    )

    @classmethod
    def of(cls, feed: Feed, positions: np.ndarray, rows: int, used: int) -> Layout:
        """Lay a feed out.

        Args:
            feed: new tokens.
            positions: (N,) in their streams.
            rows: B of the cache.
            used: slots of it that hold tokens, the new ones among them.
        """
        counts, width = feed.counts, int(feed.counts.max())
        ends = np.cumsum(counts)
        starts = ends - counts
        asked = ends[:, None] - feed.wanted + np.arange(feed.wanted)
        grid = real = NONE
        if len(counts) > 1 and (counts != width).any():
            steps = np.arange(width)
            grid = (starts[:, None] + np.minimum(steps, counts[:, None] - 1)).flatten()
            real = np.flatnonzero(steps < counts[:, None])
        return cls(
            rows=None if len(feed.rows) == rows else tuple(feed.rows.tolist()),
            width=width,
            wanted=feed.wanted,
            used=used,
            ids=feed.ids,
            local=feed.local,
            positions=positions,
            first=feed.first,
            row_of=np.repeat(feed.rows, counts),
            pixels=np.arange(len(feed.patches)),
            marks=np.flatnonzero(feed.ids == PATCH),
            places=feed.places,
            asked=np.maximum(asked, starts[:, None]).flatten(),
            grid=grid,
            real=real,
            patches=feed.patches,
        )

    def integers(self) -> np.ndarray:
        """All whole numbers in one array, so that they travel at once; `views` finds them again."""
        return np.concatenate(
            [getattr(self, name).reshape(-1) for name in self.INTEGERS], dtype=np.int64
        )

    def sizes(self) -> tuple[int, ...]:
        """Length of each part of `integers`."""
        return tuple(getattr(self, name).size for name in self.INTEGERS)

    def tensors(self, device: torch.device) -> Tensors:
        """Everything as tensors of a device."""
        patches = torch.from_numpy(np.ascontiguousarray(self.patches)).to(device)
        return self.views(torch.from_numpy(self.integers()).to(device), patches)

    def views(self, integers: Tensor, patches: Tensor) -> Tensors:
        """The parts of `integers` by name."""
        parts: dict[str, Any] = dict(
            zip(self.INTEGERS, integers.split_with_sizes(self.sizes()), strict=True)
        )
        parts["places"] = parts["places"].view(-1, 2)
        return Tensors(self.rows, self.width, self.wanted, self.used, patches=patches, **parts)


@dataclass(frozen=True)
class Tensors:
    """A `Layout` on a device; see there."""

    rows: tuple[int, ...] | None
    width: int
    wanted: int
    used: int
    ids: Tensor
    local: Tensor
    positions: Tensor
    first: Tensor
    row_of: Tensor
    pixels: Tensor
    marks: Tensor
    places: Tensor
    asked: Tensor
    grid: Tensor
    real: Tensor
    patches: Tensor
