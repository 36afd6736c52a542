"""Key/value cache over whole steps.

A ring of `context` slots per row. Keys are stored with rotary positions applied, and attention does
not care in which order slots stand, so sliding costs nothing: a slot is overwritten when its token
has fallen out. What a token may see is one number, the first visible position; `StepWindow` is
the rule that gives it.

Shapes: B rows, of which R are written, T new tokens, H heads, C slots, K key size.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from gato_gym.config import ModelConfig


class StepWindow:
    """Which whole steps are visible: the oldest fall out where a new one would not fit."""

    def __init__(self, context: int) -> None:
        self.context = context
        self.length = 0
        self._starts: deque[int] = deque()

    def begin_step(self, tokens: int) -> int:
        """Make room for a step of `tokens`; returns the first position that it may see.

        Raises:
            ValueError: the step alone is larger than the context.
        """
        if tokens > self.context:
            raise ValueError(f"a step of {tokens} tokens does not fit a context of {self.context}")
        self._starts.append(self.length)
        self.length += tokens
        while self.length - self._starts[0] > self.context:
            self._starts.popleft()
        return self._starts[0]

    def copy(self) -> StepWindow:
        """An independent copy."""
        other = StepWindow(self.context)
        other.length, other._starts = self.length, self._starts.copy()
        return other


class KeyValueCache:
    """Keys and values of the newest tokens of B rows, for one model.

    Args:
        config: of the model.
        rows: B.
        slack: slots beyond the context: at least the tokens that one `extend` call appends, as the
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
        self.capacity = config.context + slack
        shape = (config.layers, rows, config.heads, self.capacity, config.width // config.heads)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        # Position of the token in each slot; -1 = empty.
        self.positions = torch.full((rows, self.capacity), -1, device=device)
        self.length = torch.zeros(rows, dtype=torch.long, device=device)

    def place(self, rows: Tensor, first_visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take slots for T new tokens in each of some rows.

        Args:
            rows: (R,) which rows.
            first_visible: (R, T) the first position that each new token may see.

        Returns:
            positions (R, T), slots (R, T) and the mask (R, 1, T, C), True where a slot is visible.
        """
        tokens = first_visible.shape[1]
        positions = self.length[rows, None] + torch.arange(tokens, device=rows.device)
        slots = positions % self.capacity
        self.positions[rows[:, None], slots] = positions
        self.length[rows] += tokens
        held = self.positions[rows, None, :]
        mask = (held <= positions[:, :, None]) & (held >= first_visible[:, :, None])
        return positions, slots, mask[:, None]

    def write(
        self, layer: int, rows: Tensor, slots: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Store (R, H, T, K) keys and values of one layer; returns all slots' (R, H, C, K)."""
        where = (rows[:, None], slice(None), slots)
        held = self.keys[layer], self.values[layer]
        for table, new in zip(held, (keys, values), strict=True):
            table[where] = new.transpose(1, 2).to(table.dtype)
        if len(rows) == len(self.length):
            return held
        return held[0][rows], held[1][rows]

    def copy_row(self, row: int, source: KeyValueCache) -> None:
        """Make `row` a copy of a one-row cache: starts an episode from a shared prompt."""
        self.keys[:, row] = source.keys[:, 0]
        self.values[:, row] = source.values[:, 0]
        self.positions[row] = source.positions[0]
        self.length[row] = source.length[0]

    def clear_row(self, row: int) -> None:
        """Forget a row's tokens."""
        self.positions[row] = -1
        self.length[row] = 0
