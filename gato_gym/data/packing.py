"""Documents of tokens -> packed rows, and what each position predicts.

Nothing is attended across documents. The input of an action token is what was executed, its target
what the expert would have done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from gato_gym.tokenizers.image import acting_positions, training_positions
from gato_gym.tokenizers.timestep import TokenSequence
from gato_gym.tokenizers.vocabulary import PATCH


@dataclass(frozen=True)
class Window:
    """B packed rows of L tokens (B absent for a single row), Q predictions, P patches.

    ids            (B, L) int64, -1 where a patch stands
    local          (B, L) int64, local position rows
    first_visible  (B, L) int64, where the token's document starts; padding sees only itself
    queries        (B, Q) int64, positions that predict a target
    targets        (B, Q) int64, the ids to predict; -1 fills
    tasks          (B, Q) int64, task of each target, an index into `WindowSource.tasks`
    patches        (U, 16, 16, 3) uint8, distinct patches of all rows
    pixels         (P,) int64, which of them stands at each -1 mark, in order
    positions      (P, 2) int64, row and column index of each patch (appendix C.3)
    marks          (P,) int64, where the marks are in the flat (B * L) ids
    rows           (B,) int64, the rows' numbers in the run
    episodes       B tuples: the episodes in a row, to name them when a loss is not finite
    padding        number of padding tokens
    """

    ids: np.ndarray
    local: np.ndarray
    first_visible: np.ndarray
    queries: np.ndarray
    targets: np.ndarray
    tasks: np.ndarray
    patches: np.ndarray
    pixels: np.ndarray
    positions: np.ndarray
    marks: np.ndarray
    rows: np.ndarray
    episodes: tuple[Any, ...]
    padding: int

    @property
    def target_count(self) -> int:
        """Number of ids to predict; a loss is not defined where it is 0."""
        return int((self.targets >= 0).sum())


PER_TOKEN = ("ids", "local", "first_visible")
PER_QUERY = {"queries": 0, "targets": -1, "tasks": 0}
"""Name -> what fills the rows that have fewer of them."""
PER_ROW = (*PER_TOKEN, *PER_QUERY, "rows", "episodes")


class Document(NamedTuple):
    """Token sequences that see each other: a prompt, if there is one, and a cut of an episode."""

    task: int
    sequences: Sequence[TokenSequence]


def pack(
    context: int,
    rows: Sequence[Sequence[Document]],
    numbers: Sequence[int],
    episodes: Sequence[tuple[str, ...]],
    rngs: Sequence[np.random.Generator] | None,
) -> Window:
    """Lay documents out in rows of `context` tokens, which they must fit.

    Args:
        context: L.
        rows: the documents of each row.
        numbers: the rows' numbers in the run.
        episodes: the names of the episodes in each row.
        rngs: one per row, of the drawn patch positions; None = the middle of each patch, as in
            acting.
    """
    shape = len(rows), context
    ids, local, tasks = (np.zeros(shape, np.int64) for _ in range(3))
    first = np.tile(np.arange(context), (len(rows), 1))
    targets = np.full(shape, -1, np.int64)
    patches, positions, padding = [], [], 0
    for row, documents in enumerate(rows):
        end, intervals = 0, []
        for task, sequences in documents:
            start = end
            for part in sequences:
                here = slice(end, end + len(part))
                ids[row, here], local[row, here], targets[row, here] = (
                    part.ids,
                    part.local,
                    part.targets,
                )
                end = here.stop
                if len(part.patches):
                    patches.append(part.patches)
                    intervals.append(part.intervals)
            first[row, start:end], tasks[row, start:end] = start, task
            # A token is predicted by the one before it; nothing stands before a document.
            targets[row, start] = -1
        if intervals:
            joined = np.concatenate(intervals)
            positions.append(
                acting_positions(joined) if rngs is None else training_positions(joined, rngs[row])
            )
        padding += context - end
    unique, pixels = distinct(_join(patches, (16, 16, 3), np.uint8))
    row_of, position = np.nonzero(targets >= 0)
    counts = np.bincount(row_of, minlength=len(rows))
    column = np.arange(len(row_of)) - np.repeat(np.cumsum(counts) - counts, counts)
    values = {
        "queries": position - 1,
        "targets": targets[row_of, position],
        "tasks": tasks[row_of, position],
    }
    filled = {}
    for name, fill in PER_QUERY.items():
        filled[name] = np.full((len(rows), counts.max()), fill, np.int64)
        filled[name][row_of, column] = values[name]
    return Window(
        ids=ids,
        local=local,
        first_visible=first,
        patches=unique,
        pixels=pixels,
        positions=_join(positions, (2,), np.int64).astype(np.int64),
        marks=np.flatnonzero(ids == PATCH),
        rows=np.array(numbers, np.int64),
        episodes=tuple(episodes),
        padding=padding,
        **filled,
    )


def _join(parts: Sequence[np.ndarray], shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros((0, *shape), dtype)


# Odd, so that no bit of a word is lost.
_MULTIPLIERS = np.random.default_rng(0).integers(0, 2**63, 96, np.uint64) * 2 + 1

# Patches whose temporary arrays stay in the processor's cache.
_PART = 512


def distinct(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, 16, 16, 3) -> distinct patches (U, ...) and (P,) which of them each one is."""
    if not len(patches):
        return patches, np.zeros(0, np.int64)
    words = np.ascontiguousarray(patches).reshape(len(patches), -1).view(np.uint64)
    parts = [slice(i, i + _PART) for i in range(0, len(words), _PART)]
    # Hashes are sorted much faster than patches. The shift brings the high bits, which a product
    # cannot carry anywhere, down to where it can.
    hashes = [
        np.einsum("ij,j", words[part] ^ (words[part] >> np.uint64(32)), _MULTIPLIERS)
        for part in parts
    ]
    _, first, which = np.unique(np.concatenate(hashes), return_index=True, return_inverse=True)
    unique = words[first]
    if not all(np.array_equal(unique[which[part]], words[part]) for part in parts):
        # Two patches have one hash.
        whole = words.view("V768")[:, 0]
        _, first, which = np.unique(whole, return_index=True, return_inverse=True)
    return patches[first], which.reshape(-1)


def merge(windows: Sequence[Window]) -> Window:
    """The rows of several windows, in order; queries are filled up to the longest."""
    if len(windows) == 1:
        return windows[0]
    longest = max(window.queries.shape[1] for window in windows)

    starts = np.cumsum([0, *(window.ids.size for window in windows[:-1])])
    offsets = np.cumsum([0, *(len(window.patches) for window in windows[:-1])])
    patches, merged = distinct(np.concatenate([window.patches for window in windows]))
    pixels = [window.pixels + offset for window, offset in zip(windows, offsets, strict=True)]
    return Window(
        **{n: np.concatenate([getattr(window, n) for window in windows]) for n in PER_TOKEN},
        **{
            n: np.concatenate(
                [_filled(getattr(window, n), -1, longest, fill) for window in windows]
            )
            for n, fill in PER_QUERY.items()
        },
        patches=patches,
        pixels=merged[np.concatenate(pixels)],
        positions=np.concatenate([window.positions for window in windows]),
        marks=np.concatenate(
            [window.marks + start for window, start in zip(windows, starts, strict=True)]
        ),
        rows=np.concatenate([window.rows for window in windows]),
        episodes=tuple(name for window in windows for name in window.episodes),
        padding=sum(window.padding for window in windows),
    )


def single(window: Window) -> Window:
    """A window of one row without its first axis."""
    return replace(window, **{name: getattr(window, name)[0] for name in PER_ROW})


def collate(rows: Sequence[Window]) -> Window:
    """Stack single rows."""
    return merge(
        [replace(row, **{name: _stacked(getattr(row, name)) for name in PER_ROW}) for row in rows]
    )


def _stacked(values: Any) -> Any:
    return (values,) if isinstance(values, tuple) else np.asarray(values)[None]


def _filled(values: np.ndarray, axis: int, size: int, fill: int) -> np.ndarray:
    """Filled up at the end of an axis."""
    shape = list(values.shape)
    shape[axis] = size - shape[axis]
    return np.concatenate([values, np.full(shape, fill, values.dtype)], axis=axis)
