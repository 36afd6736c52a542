"""How long a scaling study takes: a speed for each size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gato_gym.evaluation.scaling.budgets import ScalingBudget, size_config
from gato_gym.evaluation.studies.speed import Speed, given_speed, probe
from gato_gym.evaluation.studies.units import Unit

NOMINAL = 2500.0
"""Tokens per second of training the largest size of the budget `small` on one busy core: what
estimates begin with."""
FIXED = 0.5
"""Of the largest size's time per token: what every size needs, whatever its parameters."""


@dataclass(frozen=True)
class SizeSpeeds:
    """Of one process, for each size."""

    by_size: Mapping[str, Speed]

    def seconds(self, unit: Unit) -> float:
        """What a unit takes, roughly."""
        size = unit.settings.get("size", next(iter(self.by_size)))
        return self.by_size[size].seconds(unit)


def nominal(sizes: Sequence[str], tokens_per_second: float) -> SizeSpeeds:
    """A machine of which only the speed of training the largest size is known.

    Args:
        sizes: of the study.
        tokens_per_second: of training the largest of them.
    """
    weights = {size: _parameters(size) for size in sizes}
    largest = max(weights.values())
    return SizeSpeeds(
        {
            size: given_speed(tokens_per_second / (FIXED + (1 - FIXED) * weight / largest))
            for size, weight in weights.items()
        }
    )


def probe_sizes(budget: ScalingBudget) -> SizeSpeeds:
    """Train a few steps and play a few episodes of a small task with each size, on one thread."""
    batch = min(budget.batch, 16)
    return SizeSpeeds({size: probe(size_config(size), batch, threads=1) for size in budget.sizes})


def _parameters(size: str) -> float:
    """About: blocks of attention and feed-forward, and the table of ids."""
    shape = size_config(size)
    block = 4 * shape.width**2 + 3 * shape.width * shape.hidden // 2
    return shape.layers * block + (shape.text_size + 1024) * shape.width
