"""Views of a corpus: which episodes to train on. Nothing is deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np

from gato_gym.data.manifest import EpisodeEntry


def windowed_expert_return(returns: Sequence[float]) -> float:
    """The expert return of a task: the best windowed mean of its N returns (paper section 3.1).

    The window has W = min(1000, 0.1 N) episodes, at least one.
    """
    if not returns:
        raise ValueError("the expert return of no episodes is not defined")
    window = max(1, min(1000, len(returns) // 10))
    sums = np.cumsum([0.0, *returns])
    return float((sums[window:] - sums[:-window]).max() / window)


def near_expert(entries: Iterable[EpisodeEntry], fraction: float = 0.8) -> tuple[EpisodeEntry, ...]:
    """The episodes whose return is at least `fraction` of their task's expert return.

    The windows run over a task's episodes in order of their seeds: the order in which parallel
    writers happened to commit must not change the choice. The paper's rule is silent on negative
    expert returns, where 80 % would ask for better than expert; there the same distance is allowed
    below it: R - (1 - fraction) |R|.
    """
    entries = tuple(entries)
    by_task: dict[str, list[EpisodeEntry]] = {}
    for entry in entries:
        by_task.setdefault(entry.task, []).append(entry)
    least = {}
    for task, group in by_task.items():
        ordered = sorted(group, key=lambda e: (e.expert, e.noise, e.seed, e.index))
        expert = windowed_expert_return([e.episode_return for e in ordered])
        least[task] = expert - (1 - fraction) * abs(expert)
    return tuple(entry for entry in entries if entry.episode_return >= least[entry.task])


def successful(entries: Iterable[EpisodeEntry]) -> tuple[EpisodeEntry, ...]:
    """The episodes whose task reported success at the end (paper section 3.3, RGB stacking)."""
    return tuple(entry for entry in entries if entry.success)


def successful_where_known(entries: Iterable[EpisodeEntry]) -> tuple[EpisodeEntry, ...]:
    """`successful`, but every episode of a task that never tells success."""
    entries = tuple(entries)
    telling = {entry.task for entry in entries if entry.success is not None}
    return tuple(entry for entry in entries if entry.success or entry.task not in telling)


FilterName = Literal["none", "near-expert", "success"]
FILTERS: dict[FilterName, Callable[[Iterable[EpisodeEntry]], tuple[EpisodeEntry, ...]]] = {
    "none": tuple,
    "near-expert": near_expert,
    "success": successful_where_known,
}
"""By the names that `gato-gym train --filter` takes."""
