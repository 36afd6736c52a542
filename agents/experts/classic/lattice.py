"""Dynamic programming on a lattice over a continuous state of two numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Outcome = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(..., 2) next states, (...) rewards and (...) whether the episode ends."""

Model = Callable[[np.ndarray, np.ndarray], Outcome]
"""(..., 2) states and (...) actions -> their outcome."""


@dataclass(frozen=True)
class Problem:
    """What is to be solved.

    Args:
        low, high: the range of both numbers of a state.
        counts: lattice points along each of them.
        actions: (A,) what may be done.
        model: one step of the task.
        horizon: steps to look ahead; the values of more are not worth their time.
        wraps: whether the first number is an angle, whose two ends are the same.
    """

    low: tuple[float, float]
    high: tuple[float, float]
    counts: tuple[int, int]
    actions: np.ndarray
    model: Model
    horizon: int
    wraps: bool = False


class Solution:
    """The values of a problem's states, and the best action in any of them."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        axes = [
            np.linspace(*ends)
            for ends in zip(problem.low, problem.high, problem.counts, strict=True)
        ]
        states = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 1, 2)
        after, rewards, ends = problem.model(states, problem.actions[None, :])
        corners, weights = self._corners(after)
        weights = weights * ~ends[..., None]
        values = np.zeros(len(states))
        for _ in range(problem.horizon):
            values = (rewards + (values[corners] * weights).sum(-1)).max(1)
        self.values = values

    def best(self, state: np.ndarray) -> float:
        """The action with the highest value in a (2,) state."""
        return float(self.problem.actions[self.returns(state).argmax()])

    def returns(self, state: np.ndarray) -> np.ndarray:
        """(A,) what each action is worth in a (2,) state."""
        problem = self.problem
        after, rewards, ends = problem.model(state[None], problem.actions)
        corners, weights = self._corners(after)
        return rewards + (self.values[corners] * weights).sum(-1) * ~ends

    def _corners(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The four lattice points around each state, and the weights of bilinear interpolation."""
        problem = self.problem
        low, high = np.array(problem.low), np.array(problem.high)
        counts = np.array(problem.counts)
        if problem.wraps:
            span = high[0] - low[0]
            states = states.copy()
            states[..., 0] = (states[..., 0] - low[0]) % span + low[0]
        places = np.clip((states - low) / (high - low), 0.0, 1.0) * (counts - 1)
        cells = np.minimum(places.astype(int), counts - 2)
        x, y = np.moveaxis(places - cells, -1, 0)
        first = cells[..., 0] * counts[1] + cells[..., 1]
        corners = np.stack([first, first + 1, first + counts[1], first + counts[1] + 1], -1)
        weights = np.stack([(1 - x) * (1 - y), (1 - x) * y, x * (1 - y), x * y], -1)
        return corners, weights
