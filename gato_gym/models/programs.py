"""Passes of fixed shapes: compiled once for each, on a GPU recorded as CUDA graphs.

A pass of the acting network takes a GPU less time than telling it what to do. Here every row of
the batch takes part in every pass, and numbers of tokens and patches are rounded up, so that few
different shapes exist; each is compiled, recorded and from then on replayed with one call. What
only fills up stands at position -1, is written to the slot that no ring has, and is seen by nobody.

What does not work on a machine (a compiler, recording) is left out, with a warning that says why:
the numbers are the same, only slower.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gato_gym.models.cache import KeyValueCache
from gato_gym.models.layout import NONE, Layout, Tensors

logger = logging.getLogger(__name__)

Compute = Callable[[Tensors, KeyValueCache], Tensor]
Program = Callable[[Layout, KeyValueCache], Tensor]

COMPILING = "passes cannot be compiled here"
RECORDING = "CUDA graphs do not work here"

# Passes that are run before one is recorded: the first compiles, and libraries set themselves up.
WARM_UP = 3
# Shapes that are compiled; further ones run as they are.
MOST_SHAPES = 512


def rounded(count: int) -> int:
    """The next size that exists: 0, 1, 8, then four for each doubling."""
    if count <= 1:
        return count
    step = max(8, 2 ** (int(math.log2(count)) - 2))
    return -(-count // step) * step


def filled_up(layout: Layout, rows: int, most_patches: int = 0) -> Layout:
    """The same pass with all rows of the cache, as many tokens of each, and rounded sizes.

    Args:
        layout: of some rows.
        rows: of the cache.
        most_patches: if there are patches, at least so many.
    """
    present = range(rows) if layout.rows is None else layout.rows
    counts = np.bincount(layout.row_of, minlength=rows)
    width = rounded(layout.width)
    starts = np.cumsum(counts) - counts
    order = np.arange(len(layout.ids)) - starts[layout.row_of]
    # Where each token goes; the tokens of a row stand at its beginning.
    place = layout.row_of * width + order

    def spread(values: np.ndarray, fill: int) -> np.ndarray:
        full = np.full(rows * width, fill, np.int64)
        full[place] = values
        return full

    asked = np.arange(rows)[:, None] * width + np.zeros((1, layout.wanted), np.int64)
    asked[list(present)] = place[layout.asked].reshape(-1, layout.wanted)
    patches, pixels = layout.patches, layout.pixels
    marks, places = place[layout.marks], layout.places
    missing = max(rounded(len(pixels)), most_patches) - len(pixels) if len(pixels) else 0
    if missing:
        # The first patch again, at the same place.
        again = np.zeros(missing, np.int64)
        marks, places = np.append(marks, marks[again]), np.append(places, places[again], axis=0)
        pixels = np.append(pixels, again)
        patches = np.append(patches, np.zeros((missing, *patches.shape[1:]), np.uint8), axis=0)
    return replace(
        layout,
        rows=None,
        width=width,
        ids=spread(layout.ids, 0),
        local=spread(layout.local, 0),
        positions=spread(layout.positions, -1),
        first=spread(layout.first, -1),
        row_of=np.repeat(np.arange(rows), width),
        pixels=pixels,
        marks=marks,
        places=places,
        asked=asked.flatten(),
        grid=NONE,
        real=NONE,
        patches=patches,
    )


class Programs:
    """Runs passes of fixed shapes.

    Args:
        compute: a pass, whose work depends on shapes only.
    """

    def __init__(self, compute: Compute) -> None:
        self._plain = compute
        self._compiled: Compute | None = None
        self._of = object()
        """Tells programs over a cache from those of another network."""
        self.captures = 0
        """Passes of a new shape, or over a new cache, that were prepared so far."""
        self.fallbacks: dict[str, str] = {}
        """What does not work here, and why."""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_compiled": None, "_of": object()}

    def run(self, layout: Layout, cache: KeyValueCache) -> Tensor:
        """(R, W, D) of the rows of the layout; see `Decoder.run`."""
        full = filled_up(layout, len(cache), cache.most_patches)
        full = replace(full, used=cache.positions.shape[1])
        # Rows that wait later leave fewer patches; their shapes would never end.
        cache.most_patches = max(cache.most_patches, len(full.patches))
        key = (self._of, full.width, full.wanted, len(full.patches))
        if key not in cache.programs:
            self.captures += 1
            cache.programs[key] = self._prepare(full, cache)
        states: Tensor = cache.programs[key](full, cache)
        return states if layout.rows is None else states[list(layout.rows)]

    def _prepare(self, layout: Layout, cache: KeyValueCache) -> Program:
        compute = self._working(layout, cache)
        if cache.positions.is_cuda and RECORDING not in self.fallbacks:
            try:
                return _Recorded(compute, layout, cache)
            except RuntimeError as error:
                self._fall_back(RECORDING, error)
        return partial(_run, compute)

    def _working(self, layout: Layout, cache: KeyValueCache) -> Compute:
        """The compiled pass if it can be compiled here."""
        if COMPILING in self.fallbacks:
            return self._plain
        compiled = self._compiled = self._compiled or _compile(self._plain)
        try:
            with torch._dynamo.config.patch(recompile_limit=MOST_SHAPES):
                _run(compiled, layout, cache)
        except Exception as error:  # a compiler raises what it likes; all has one consequence
            self._fall_back(COMPILING, error)
            return self._plain
        return compiled

    def _fall_back(self, what: str, error: Exception) -> None:
        self.fallbacks[what] = str(error)
        logger.warning("%s, acting is slower: %s", what, error)


def _run(compute: Compute, layout: Layout, cache: KeyValueCache) -> Tensor:
    return compute(layout.tensors(cache.positions.device), cache)


def _compile(compute: Compute) -> Compute:
    compiled: Compute = torch.compile(compute, dynamic=False, fullgraph=True)
    return compiled


class _Recorded:
    """A CUDA graph of one shape over one cache."""

    def __init__(self, compute: Compute, layout: Layout, cache: KeyValueCache) -> None:
        device = cache.positions.device
        self._host = torch.from_numpy(layout.integers()).pin_memory()
        self._integers = self._host.to(device)
        self._pixels = torch.from_numpy(layout.patches).pin_memory()
        self._patches = self._pixels.to(device)
        new = layout.views(self._integers, self._patches)
        # Running a pass again changes nothing: its tokens go to the same slots.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                compute(new, cache)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._states = compute(new, cache)

    def __call__(self, layout: Layout, cache: KeyValueCache) -> Tensor:
        """Run the pass on other numbers of the same shape, over the cache that it was made for."""
        # The copies of the pass before must have left the pinned memory.
        torch.cuda.current_stream().synchronize()
        self._host.copy_(torch.from_numpy(layout.integers()))
        self._integers.copy_(self._host, non_blocking=True)
        if len(layout.patches):
            self._pixels.copy_(torch.from_numpy(layout.patches))
            self._patches.copy_(self._pixels, non_blocking=True)
        self._graph.replay()
        return self._states.clone()
