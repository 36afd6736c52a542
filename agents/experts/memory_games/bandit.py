"""Slot machines: a Bayesian upper bound on what each one pays."""

from __future__ import annotations

from typing import Any

import numpy as np


class Bandit:
    """Pulls the arm with the highest optimistic estimate of its pay.

    It counts what its own choices paid: an arm that somebody else pulled instead is not told, so
    among random actions the counts are only roughly right.
    """

    OPTIMISM = 1.5
    """Standard deviations above the mean, of the Beta distribution of an arm's chance to pay."""

    def __init__(self, game: Any) -> None:
        self._paid = np.ones(game.num_bandits)
        self._failed = np.ones(game.num_bandits)
        self._last: int | None = None

    def __call__(self, obs: Any) -> int:
        """The arm to pull, given whether the last one has paid."""
        if self._last is not None:
            (self._paid if int(obs) else self._failed)[self._last] += 1
        pulls = self._paid + self._failed
        mean = self._paid / pulls
        spread = np.sqrt(mean * (1 - mean) / (pulls + 1))
        self._last = int((mean + self.OPTIMISM * spread).argmax())
        return self._last
