"""Which tasks a training row is about, and which episode and step a document starts at.

Weights are shares of rows, so of tokens. A draw is a pure function of the generator it is given, so
sample order is one of (seed, row).
"""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np

from gato_gym.data.corpus import Corpus
from gato_gym.data.filters import FILTERS, FilterName
from gato_gym.data.identity import digest, split
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.envs.gato_domains import GATO_DOMAINS
from gato_gym.envs.registry import is_pattern
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
    """Weights of tasks, patterns and domains as weights of tasks, sorted by task.

    A pattern's weight is divided equally among the available tasks that match it and have none of
    their own, a domain's among those of its tasks that no other name gave one; what is not named
    has no weight.

    Args:
        weights: task id, pattern like "Meta-World/*", or "domain:NAME" -> weight.
        available: the tasks that there are.
        domains: task -> its domain.

    Raises:
        UnknownTaskError: no such task or domain, or none of a pattern; names the nearest.
        ValueError: a weight is not positive and finite, a task has those of two patterns, or all
            tasks of a pattern or domain have weights already.
    """
    tasks = sorted(available)
    found: dict[str, float] = {}
    patterns = []
    for name, weight in weights.items():
        if not 0 < weight < float("inf"):
            raise ValueError(f"weight of {name} must be positive, got {weight}")
        if name in tasks:
            found[name] = weight
        elif is_pattern(name):
            patterns.append(name)
        elif not name.startswith(DOMAIN):
            raise UnknownTaskError(f"no episodes of {_nearest(name, tasks)}")
    shared: dict[str, str] = {}
    for name in patterns:
        members = fnmatch.filter(tasks, name)
        if not members:
            raise UnknownTaskError(f"no episodes of a task that matches {_nearest(name, tasks)}")
        own = [task for task in members if task not in weights]
        if twice := next((task for task in own if task in shared), None):
            raise ValueError(
                f"{twice} matches both {shared[twice]} and {name}: give it a weight of its own"
            )
        shared |= dict.fromkeys(own, name)
        found |= _divided(name, weights[name], own)
    rest = [task for task in tasks if task not in found]
    for name, weight in weights.items():
        if not name.startswith(DOMAIN):
            continue
        domain = name.removeprefix(DOMAIN)
        present = sorted({domains[task] for task in tasks if task in domains})
        if domain not in present:
            raise UnknownTaskError(f"no episodes of domain {_nearest(domain, present)}")
        found |= _divided(name, weight, [task for task in rest if domains.get(task) == domain])
    return dict(sorted(found.items()))


def _divided(name: str, weight: float, tasks: Sequence[str]) -> dict[str, float]:
    if not tasks:
        raise ValueError(f"all tasks of {name} have weights of their own: leave it out")
    return dict.fromkeys(tasks, weight / len(tasks))


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
    return f"{name!r} in the corpus; it has {near}"


def below(count: int, rng: np.random.Generator) -> int:
    """An integer in [0, count), each as likely: of single ones quicker than `rng.integers`."""
    return int(rng.random() * count)


class TaskEpisodes:
    """The episodes of one task, and draws from them."""

    def __init__(self, task: str, entries: Sequence[EpisodeEntry]) -> None:
        self.task, self.entries = task, entries
        self._ends = np.cumsum([entry.steps for entry in entries])
        self._by_expert: dict[str, list[int]] = {}
        for index, entry in enumerate(entries):
            if not entry.learner:
                self._by_expert.setdefault(entry.expert, []).append(index)

    @cached_property
    def digest(self) -> str:
        """Of its episodes and their order; a million of them take seconds."""
        return digest(self.entries)[:16]

    def draw(self, more: int, rng: np.random.Generator) -> int:
        """An episode, each as likely as its number of steps and `more`."""
        inside = int(self._ends[-1])
        place = below(inside + more * len(self.entries), rng)
        return bisect_right(self._ends, place) if place < inside else (place - inside) // more

    def draw_other(self, index: int, rng: np.random.Generator) -> int | None:
        """Another episode that the same expert played, for a prompt; None where there is none."""
        entry = self.entries[index]
        peers = self._by_expert.get(entry.expert, [])
        if entry.learner and peers:
            return peers[below(len(peers), rng)]
        if len(peers) < 2:
            return None
        other = peers[below(len(peers) - 1, rng)]
        return peers[-1] if other == index else other


Part = Literal["train", "validation"]


class Mixture:
    """Tasks of a corpus with sampling weights.

    Args:
        corpus: where the episodes are.
        weights: task, pattern or "domain:NAME" -> weight, see `task_weights`; tasks that are not
            named are left out. None = all tasks alike.
        domains: task -> its domain, where weights name domains.
        filter: which episodes of a task are used, see `data/filters.py`.
        held_out: share of each task's remaining episodes that is kept for validation, in [0, 1);
            see `identity.split`.
        part: the episodes to train on, or those of validation. Validation leaves out tasks that
            have none there.

    Raises:
        UnknownTaskError: a weight for a task or domain without episodes, or the filter leaves a
            task none.
        ValueError: `held_out` is not in [0, 1), or leaves validation no episode at all.
    """

    def __init__(
        self,
        corpus: Corpus,
        weights: Mapping[str, float] | None = None,
        domains: Mapping[str, str] | None = None,
        filter: FilterName = "none",
        *,
        held_out: float = 0.0,
        part: Part = "train",
    ) -> None:
        available = list(corpus.tasks())
        if not available:
            raise UnknownTaskError("the corpus has no episodes: run gato-gym collect first")
        if not 0 <= held_out < 1:
            raise ValueError(f"held_out must lie in [0, 1), got {held_out}")
        if weights is None:
            weights = dict.fromkeys(available, 1.0)
        chosen = task_weights(weights, available, domains or {})
        self.filter, self.held_out, self.part = filter, held_out, part
        self.tasks = []
        for task in chosen:
            entries = corpus.episodes(task)
            kept = FILTERS[filter](entries)
            if not kept:
                raise UnknownTaskError(
                    f"the filter {filter!r} keeps none of the {len(entries)} episodes of {task}: "
                    "choose another, or give weights to other tasks only"
                )
            if held_out or part == "validation":
                kept = split(kept, held_out)[part == "validation"]
            if kept:
                self.tasks.append(TaskEpisodes(task, kept))
        if not self.tasks:
            raise ValueError(
                f"held_out {held_out:g} leaves validation no episode of {', '.join(chosen)}: "
                "choose a larger share, or collect more episodes"
            )
        total = sum(chosen[task.task] for task in self.tasks)
        self.shares = {task.task: chosen[task.task] / total for task in self.tasks}
        self._weights = np.array(list(self.shares.values()))
        self._ends = np.cumsum(self._weights)

    def settings(self) -> dict[str, Any]:
        """All that decides what is read, JSON-ready: a run goes on only where it is the same.

        `identity.changed_data` says what differs. The order of samples depends on every episode, so
        a corpus that has only grown differs too.
        """
        tasks = {
            task.task: {
                "share": self.shares[task.task],
                "episodes": len(task.entries),
                "digest": task.digest,
            }
            for task in self.tasks
        }
        return {
            "filter": self.filter,
            "held_out": self.held_out,
            "part": self.part,
            "tasks": tasks,
        }

    def digest(self) -> str:
        """Hexadecimal sha256 of `settings`."""
        return hashlib.sha256(json.dumps(self.settings(), sort_keys=True).encode()).hexdigest()

    def draw(self, rng: np.random.Generator, allowed: np.ndarray) -> int:
        """Index of a task among those where the boolean array `allowed` is true."""
        ends = self._ends if allowed.all() else np.cumsum(np.where(allowed, self._weights, 0.0))
        return bisect_right(ends, rng.random() * ends[-1])
