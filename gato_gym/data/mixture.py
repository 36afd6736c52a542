"""Which tasks a training row is about, and which episode and step a document starts at.

Weights are shares of rows, so of tokens. A draw is a pure function of the generator it is given, so
sample order is one of (seed, row).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from gato_gym.data.corpus import Corpus
from gato_gym.data.filters import FILTERS, FilterName
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.envs.gato_domains import GATO_DOMAINS
from gato_gym.errors import UnknownTaskError

DOMAIN = "domain:"
"""Prefix of a weight that is a whole domain's."""


def paper_weights(domains: Iterable[str]) -> dict[str, float]:
    """The sample weights of the paper's Table 1, in percent, for those of the domains that it has.

    `envs/gato_domains.py` says which of our domains stands for which of the paper's.

    Raises:
        UnknownTaskError: it has none of them.
    """
    present = set(domains)
    weights = {
        f"{DOMAIN}{gato.ours}": gato.weight
        for gato in GATO_DOMAINS.values()
        if gato.ours in present
    }
    if not weights:
        known = ", ".join(sorted(gato.ours for gato in GATO_DOMAINS.values() if gato.ours))
        raise UnknownTaskError(
            f"the paper's mixture has no weight for the domains {', '.join(sorted(present))}; it "
            f"has {known}. Give weights of your own: domain:NAME=WEIGHT"
        )
    return weights


def task_weights(
    weights: Mapping[str, float], available: Iterable[str], domains: Mapping[str, str]
) -> dict[str, float]:
    """Weights of tasks and domains as weights of tasks, sorted by task.

    A domain's weight is divided equally among those of its available tasks that have none of their
    own; what is not named has no weight.

    Args:
        weights: task id or "domain:NAME" -> weight.
        available: the tasks that there are.
        domains: task -> its domain.

    Raises:
        UnknownTaskError: no such task or domain; names the nearest.
        ValueError: a weight is not positive and finite, or a domain's tasks all have their own.
    """
    tasks = sorted(available)
    found: dict[str, float] = {}
    for name, weight in weights.items():
        if not 0 < weight < float("inf"):
            raise ValueError(f"weight of {name} must be positive, got {weight}")
        if not name.startswith(DOMAIN):
            if name not in tasks:
                raise UnknownTaskError(f"no episodes of {_nearest(name, tasks)}")
            found[name] = weight
    for name, weight in weights.items():
        if not name.startswith(DOMAIN):
            continue
        domain = name.removeprefix(DOMAIN)
        members = [task for task in tasks if domains.get(task) == domain]
        if not members:
            present = sorted({domains[task] for task in tasks if task in domains})
            raise UnknownTaskError(f"no episodes of domain {_nearest(domain, present)}")
        shared = [task for task in members if task not in weights]
        if not shared:
            raise ValueError(f"all tasks of {name} have weights of their own: leave it out")
        found |= dict.fromkeys(shared, weight / len(shared))
    return dict(sorted(found.items()))


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
    return f"{name!r} in the corpus; it has {near}"


class TaskEpisodes:
    """The episodes of one task, and draws from them."""

    def __init__(self, task: str, entries: Sequence[EpisodeEntry]) -> None:
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
        weights: task or "domain:NAME" -> weight, see `task_weights`; tasks that are not named are
            left out. None = all tasks alike.
        domains: task -> its domain, where weights name domains.
        filter: which episodes of a task are used, see `data/filters.py`.

    Raises:
        UnknownTaskError: a weight for a task or domain without episodes, or the filter leaves a
            task none.
    """

    def __init__(
        self,
        corpus: Corpus,
        weights: Mapping[str, float] | None = None,
        domains: Mapping[str, str] | None = None,
        filter: FilterName = "none",
    ) -> None:
        available = list(corpus.tasks())
        if not available:
            raise UnknownTaskError("the corpus has no episodes: run gato-gym collect first")
        if weights is None:
            weights = dict.fromkeys(available, 1.0)
        chosen = task_weights(weights, available, domains or {})
        self.filter = filter
        self.tasks = []
        for task in chosen:
            entries = corpus.episodes(task)
            kept = FILTERS[filter](entries)
            if not kept:
                raise UnknownTaskError(
                    f"the filter {filter!r} keeps none of the {len(entries)} episodes of {task}: "
                    "choose another, or give weights to other tasks only"
                )
            self.tasks.append(TaskEpisodes(task, kept))
        total = sum(chosen.values())
        self.shares = {task: weight / total for task, weight in chosen.items()}
        self._weights = np.array(list(self.shares.values()))

    def draw(self, rng: np.random.Generator, allowed: np.ndarray) -> int:
        """Index of a task among those where the boolean array `allowed` is true."""
        cumulative = np.cumsum(np.where(allowed, self._weights, 0.0))
        return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
