"""Which episode and step a training document starts at: task weights, then steps uniformly.

A draw is a pure function of the generator it is given, so sample order is one of (seed, row).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np

from gato_gym.data.corpus import Corpus
from gato_gym.errors import UnknownTaskError


class TaskEpisodes:
    """The episodes of one task, and draws from them."""

    def __init__(self, task: str, entries: list[Any]) -> None:
        self.task, self.entries = task, entries
        self._last_step = np.cumsum([entry.steps for entry in entries])
        self._by_expert: dict[str, list[int]] = {}
        for index, entry in enumerate(entries):
            self._by_expert.setdefault(entry.expert, []).append(index)

    def draw(self, rng: np.random.Generator) -> int:
        """An episode, each step being equally likely to be in it."""
        step = rng.integers(self._last_step[-1])
        return int(np.searchsorted(self._last_step, step, side="right"))

    def draw_other(self, index: int, rng: np.random.Generator) -> int | None:
        """Another episode by the same expert, for a prompt; None where there is no other."""
        peers = self._by_expert[self.entries[index].expert]
        if len(peers) < 2:
            return None
        other = peers[int(rng.integers(len(peers) - 1))]
        return peers[-1] if other == index else other


class Mixture:
    """Tasks of a corpus with sampling weights.

    Args:
        corpus: where the episodes are.
        weights: task -> weight; tasks that are not named are left out. None = all tasks alike.
            Weights are shares of documents, so close to shares of tokens.

    Raises:
        UnknownTaskError: a weight for a task without episodes.
    """

    def __init__(self, corpus: Corpus, weights: Mapping[str, float] | None = None) -> None:
        available = list(corpus.tasks())
        if not available:
            raise UnknownTaskError("the corpus has no episodes: run gato-gym collect first")
        weights = dict.fromkeys(available, 1.0) if weights is None else dict(weights)
        for task, weight in weights.items():
            if task not in available:
                near = difflib.get_close_matches(task, available, n=3, cutoff=0.0)
                raise UnknownTaskError(f"no episodes of {task!r} in the corpus; it has {near}")
            if not weight > 0:
                raise ValueError(f"weight of {task} must be positive, got {weight}")
        self.tasks = [TaskEpisodes(task, list(corpus.episodes(task))) for task in weights]
        total = sum(weights.values())
        self.shares = {task: weight / total for task, weight in weights.items()}
        self._weights = np.array(list(self.shares.values()))

    def draw(self, rng: np.random.Generator, allowed: np.ndarray) -> int:
        """Index of a task among those where the boolean array `allowed` is true."""
        cumulative = np.cumsum(np.where(allowed, self._weights, 0.0))
        return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
