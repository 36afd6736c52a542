"""Key/value cache over whole steps.

A ring of `context` slots per row. Keys are stored with rotary positions applied, and attention does
not care in which order slots stand, so sliding costs nothing: a slot is overwritten when its token
has fallen out. What a token may see is one number, the first visible position; `visible_start` is
the rule, and training on packed windows, recomputation and acting share it.

Shapes: layers, B rows, H heads, C slots, K key size.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from gato_gym.config import ModelConfig


class StepWindow:
    """Which whole steps are visible: the oldest fall out once a new one would exceed the context."""

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
    """Keys and values of the last `context` tokens of B rows, for one model."""

    def __init__(
        self,
        config: ModelConfig,
        rows: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.capacity = config.context
        shape = (config.layers, rows, config.heads, config.context, config.width // config.heads)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        # Position of the token in each slot; -1 = empty.
        self.positions = torch.full((rows, config.context), -1, device=device)
        self.length = torch.zeros(rows, dtype=torch.long, device=device)

    def place(self, tokens: int, first_visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take slots for `tokens` new tokens in every row.

        Args:
            tokens: T.
            first_visible: (B,) the first position these tokens may see.

        Returns:
            positions (B, T), slots (B, T) and the mask (B, 1, T, C), True where a slot is visible.
        """
        positions = self.length[:, None] + torch.arange(tokens, device=self.length.device)
        slots = positions % self.capacity
        self.positions.scatter_(1, slots, positions)
        self.length += tokens
        held = self.positions[:, None, :]
        mask = (held <= positions[:, :, None]) & (held >= first_visible[:, None, None])
        return positions, slots, mask[:, None]

    def write(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, H, T, K) keys and values of one layer; returns all slots' (B, H, C, K)."""
        index = slots[:, None, :, None].expand_as(keys)
        self.keys[layer].scatter_(2, index, keys.to(self.keys.dtype))
        self.values[layer].scatter_(2, index, values.to(self.values.dtype))
        return self.keys[layer], self.values[layer]

    def copy_row(self, row: int, source: KeyValueCache, source_row: int = 0) -> None:
        """Make `row` a copy of another cache's row: starts an episode from a shared prompt."""
        self.keys[:, row] = source.keys[:, source_row]
        self.values[:, row] = source.values[:, source_row]
        self.positions[row] = source.positions[source_row]
        self.length[row] = source.length[source_row]
