"""Key/value cache over whole steps.

A ring of `context` slots and some slack per row. Keys are stored with rotary positions applied, and
attention does not care in which order slots stand, so sliding costs nothing: a slot is overwritten
when its token has fallen out. What a token may see is one number, the first visible position;
`StepWindow` is the rule that gives it.

Shapes: B rows, of which R are written, N new tokens of all of them, H heads, C slots, K key size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gato_gym.config import ModelConfig

ALIGNED = 8


class StepWindow:
    """Which whole steps are visible: the oldest fall out where a new one would not fit.

    A step whose length is not known when it begins grows; what has fallen out for it is what would
    have if its length had been known, but each later and only if need be.
    """

    def __init__(self, context: int) -> None:
        self.context = context
        self.length = 0
        self.starts: deque[int] = deque()
        """First positions of the visible steps."""

    def begin_step(self, tokens: int) -> int:
        """Make room for a step of `tokens`; returns the first position that it may see.

        Raises:
            ValueError: the step alone is larger than the context.
        """
        if tokens > self.context:
            raise ValueError(f"a step of {tokens} tokens does not fit a context of {self.context}")
        self.starts.append(self.length)
        return self.extend_step(tokens)

    def extend_step(self, tokens: int) -> int:
        """Make room for more tokens of the newest step; returns what it may see from now on.

        Raises:
            ValueError: the step alone is larger than the context.
        """
        length = self.length + tokens
        if length - self.starts[-1] > self.context:
            raise ValueError(
                f"a step of {length - self.starts[-1]} tokens does not fit a context of "
                f"{self.context}"
            )
        self.length = length
        while self.length - self.starts[0] > self.context:
            self.starts.popleft()
        return self.starts[0]

    def copy(self) -> StepWindow:
        """An independent copy."""
        other = StepWindow(self.context)
        other.length, other.starts = self.length, self.starts.copy()
        return other


class KeyValueCache:
    """Keys and values of the newest tokens of B rows, for one model.

    Args:
        config: of the model.
        rows: B.
        slack: slots beyond the context: at least the tokens that one pass appends to a row, as the
            first of them may still see what the last of them pushes out.
    """

    def __init__(
        self,
        config: ModelConfig,
        rows: int,
        slack: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        # Fused attention on a GPU wants rows of masks that are aligned. The last slot belongs to no
        # row's ring: it takes what only fills a batch up.
        slots = -(-(config.context + slack + 1) // ALIGNED) * ALIGNED
        self.heads, self.capacity = config.heads, slots - 1
        shape = (rows, config.heads, slots, config.width // config.heads)
        # One tensor for each layer: a compiler that sees a part of a larger one changed copies it.
        self.keys, self.values = (
            [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.layers)]
            for _ in range(2)
        )
        # Position of the token in each slot; -1 = empty.
        self.positions = torch.full((rows, slots), -1, device=device)
        self.lengths = np.zeros(rows, np.int64)
        """Tokens of each row, those that were overwritten among them."""
        self.programs: dict[Any, Any] = {}
        """What `programs` prepared for these tensors; copies start without."""
        self.most_patches = 0
        """Of one pass so far, see `programs`."""

    def __len__(self) -> int:
        return len(self.lengths)

    def append(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Positions (N,) of so many (R,) new tokens in each of some rows (R,), row after row."""
        ends = np.cumsum(counts)
        starts = self.lengths[rows] - ends + counts
        self.lengths[rows] += counts
        return np.repeat(starts, counts) + np.arange(ends[-1])

    def used(self) -> int:
        """Slots from the first one that hold all tokens of all rows."""
        return int(min(self.lengths.max(), self.capacity))

    def place(self, rows: Tensor, positions: Tensor) -> Tensor:
        """Where `write` puts the keys of N tokens: (N * H,) for their rows and positions (N,).

        From now on they are seen at these positions. A token at -1 fills up and is never seen.
        """
        slots = torch.where(positions < 0, self.capacity, positions % self.capacity)
        self.positions[rows, slots] = positions
        heads = torch.arange(self.heads, device=slots.device)
        total = self.positions.shape[1]
        return ((rows[:, None] * self.heads + heads) * total + slots[:, None]).flatten()

    def write(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        """Store (N, H, K) keys and values of one layer at the places that `place` gave."""
        for table, new in ((self.keys[layer], keys), (self.values[layer], values)):
            table.flatten(0, 2).index_copy_(0, slots, new.flatten(0, 1).to(table.dtype))

    def copy_row(self, row: int, source: KeyValueCache) -> None:
        """Make `row` a copy of a one-row cache: it starts from a prompt.

        Raises:
            ValueError: the source has turned and is of another capacity, or is longer than this.
        """
        held = min(int(source.lengths[0]), source.capacity)
        turned = source.lengths[0] > source.capacity and source.capacity != self.capacity
        if turned or held > self.capacity:
            raise ValueError(
                f"{source.lengths[0]} tokens of {source.capacity} slots do not fit {self.capacity}"
            )
        self.clear_row(row)
        for mine, theirs in ((self.keys, source.keys), (self.values, source.values)):
            for table, other in zip(mine, theirs, strict=True):
                table[row, :, :held] = other[0, :, :held]
        self.positions[row, :held] = source.positions[0, :held]
        self.lengths[row] = source.lengths[0]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"programs": {}}

    def clear_row(self, row: int) -> None:
        """Forget a row's tokens."""
        self.positions[row] = -1
        self.lengths[row] = 0

    def wipe_row(self, row: int) -> None:
        """Forget a row's tokens and their numbers, which may not be finite."""
        for table in (*self.keys, *self.values):
            table[row] = 0
        self.clear_row(row)

    def shorten(self, rows: Sequence[int], lengths: np.ndarray) -> None:
        """Take the newest tokens back, at most `slack` of them: the rows have `lengths` again."""
        index = list(rows)
        self.lengths[index] = lengths
        kept = torch.as_tensor(lengths, device=self.positions.device)[:, None]
        held = self.positions[index]
        self.positions[index] = held.masked_fill(held >= kept, -1)
