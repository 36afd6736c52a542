"""How one number of an action is chosen from what the network predicts of it.

The likeliest id is a good choice where values have no order: buttons, words. A continuous number is
one of 1,024 bins, and there it is a poor one. Experts saturate, so the lowest, the middle and the
highest bin hold many of their actions while all others are spread over hundreds of bins: "somewhere
around 0.8, almost surely" loses against "perhaps exactly -1". The median is right in both cases,
and between two ways that exclude each other it takes the likelier one.

Shapes: G rows of one batch, V legal values.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch import Tensor


class Choose(Protocol):
    """Picks a value for each row."""

    def __call__(self, logits: Tensor, rows: list[int], ordered: bool, /) -> np.ndarray:
        """(G,) chosen values, counted from the first legal id; value 0 of a text is its end.

        Args:
            logits: (G, V) of the legal values.
            rows: G places in the batch.
            ordered: whether the values are the bins of a continuous number.
        """


class Given:
    """Takes what was chosen elsewhere, for a batch of one row.

    Args:
        values: (A,) of each number of the action, counted from its first legal id.
    """

    def __init__(self, values: np.ndarray) -> None:
        self._values = iter(values.tolist())

    def __call__(self, logits: Tensor, rows: list[int], ordered: bool, /) -> np.ndarray:
        """The next value."""
        del logits, rows, ordered
        return np.array([next(self._values)])


def deterministic(logits: Tensor, rows: list[int], ordered: bool) -> np.ndarray:
    """The likeliest values; of ordered ones the medians."""
    if not ordered:
        chosen: np.ndarray = logits.argmax(-1).cpu().numpy()
        return chosen
    # On the CPU, where a sum of equal numbers is always the same.
    below = logits.cpu().double().softmax(-1).cumsum(-1) < 0.5
    median: np.ndarray = below.sum(-1).numpy()
    return median
