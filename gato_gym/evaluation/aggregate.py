"""Scores of many tasks as figures of few: per domain and over all tasks, with intervals.

A task's normalised score is the mean over its episodes, 0 = random play, 1 = the expert (paper
section 4.1). Intervals are of a stratified bootstrap: episodes are resampled within each task, so
that the tasks stay the ones that were played, as rliable does (arXiv 2108.13264).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy import stats

from gato_gym.evaluation.intervals import CONFIDENCE, RESAMPLES

THRESHOLDS = range(101)
"""Per cent of the expert's score, of the paper's Figure 5."""

# Numbers that a batch of resamples may hold, so that memory does not grow with the suite.
_BATCH = 4_000_000


class Scored(Protocol):
    """What is needed of a score, see `scores.Score`."""

    @property
    def task(self) -> str:
        """Its id."""

    @property
    def returns(self) -> Sequence[float]:
        """Of each episode."""

    @property
    def random(self) -> float | None:
        """Mean return of random play, None where nobody knows it."""

    @property
    def expert(self) -> float | None:
        """Mean return of the expert, None where nobody knows it."""


@dataclass(frozen=True)
class Aggregate:
    """Normalised scores of `count` tasks, at least 1, and 95 % intervals.

    mean    of the tasks' scores
    iqm     interquartile mean of all episodes of all tasks
    median  of the tasks' scores
    above   for x = 0 .. 100: how many tasks reach x % of the expert or more
    """

    count: int
    mean: float
    ci95: tuple[float, float]
    iqm: float
    iqm_ci95: tuple[float, float]
    median: float
    above: tuple[int, ...]
    above_ci95: tuple[tuple[int, int], ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; thresholds are keys from "0" to "100"."""
        return {
            "mean": self.mean,
            "iqm": self.iqm,
            "ci95": list(self.ci95),
            "count": self.count,
            "iqm_ci95": list(self.iqm_ci95),
            "median": self.median,
            "above": {str(x): self.above[x] for x in THRESHOLDS},
            "above_ci95": {str(x): list(self.above_ci95[x]) for x in THRESHOLDS},
        }


NOTHING: Mapping[str, Any] = {
    **{"mean": None, "iqm": None, "ci95": None, "count": 0, "iqm_ci95": None, "median": None},
    **{"above": {}, "above_ci95": {}},
}
"""The JSON of no task."""


def aggregate(groups: Sequence[np.ndarray]) -> Aggregate:
    """The figures of at least one task.

    Args:
        groups: per task the (episodes,) normalised returns, at least one each.
    """
    found = _statistics([group[None] for group in groups])[:, 0]
    bounds = _intervals(groups, _statistics)
    counts = found[2:].astype(int)
    return Aggregate(
        count=len(groups),
        mean=float(found[0]),
        ci95=(float(bounds[0, 0]), float(bounds[0, 1])),
        iqm=float(found[1]),
        iqm_ci95=(float(bounds[1, 0]), float(bounds[1, 1])),
        median=float(np.median([group.mean() for group in groups])),
        above=tuple(counts.tolist()),
        # A bound between two numbers of tasks: the one that makes the interval wider.
        above_ci95=tuple((int(np.floor(low)), int(np.ceil(high))) for low, high in bounds[2:]),
    )


def aggregate_scores(scores: Iterable[Scored], domains: Mapping[str, str]) -> dict[str, Any]:
    """The figures of an evaluation, as JSON: "domains", "overall" and "unscored".

    Args:
        scores: of several tasks.
        domains: task -> domain.

    Returns:
        Per domain, and over all tasks, what `Aggregate` has; where no task has a normalised score
        `count` is 0 and the rest None or empty. `overall` has "mean_of_domains" as well, which
        weighs each domain alike (paper section 5.1). "unscored" says of each task that counts
        nowhere why it does not.
    """
    whole, unscored = _by_domain(scores, domains)
    found = {domain: _json(groups) for domain, groups in whole.items()}
    means = [one["mean"] for one in found.values() if one["count"]]
    overall = _json([group for groups in whole.values() for group in groups])
    return {
        "domains": found,
        "overall": overall | {"mean_of_domains": float(np.mean(means)) if means else None},
        "unscored": unscored,
    }


def summarize(scores: Iterable[Scored], domains: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """By domain "mean", "iqm", "ci95" of the mean, and "count" of tasks: quick to compute.

    Args:
        scores: of several tasks.
        domains: task -> domain.

    Returns:
        The values that `aggregate_scores` has under these names.
    """
    whole, _ = _by_domain(scores, domains)
    found = {}
    for domain, groups in whole.items():
        summary = {key: NOTHING[key] for key in ("mean", "iqm", "ci95", "count")}
        if groups:
            summary = {
                "mean": float(np.mean([group.mean() for group in groups])),
                "iqm": float(stats.trim_mean(np.concatenate(groups), 0.25)),
                "ci95": _intervals(groups, _mean)[0].tolist(),
                "count": len(groups),
            }
        found[domain] = summary
    return found


def weighted_mean(
    groups: Sequence[np.ndarray], weights: Sequence[float]
) -> tuple[float, tuple[float, float]]:
    """A weighted sum of the means of groups of episodes, and its 95 % interval.

    Weights of the tasks of a domain that add up to one over the number of domains make it the mean
    of the domains' means (paper section 5.1); a second agent's with the other sign make it the
    difference of two agents.

    Args:
        groups: per task the (episodes,) normalised returns, at least one each.
        weights: of each group.
    """
    factors = np.asarray(weights, np.float64)

    def statistic(samples: Sequence[np.ndarray]) -> np.ndarray:
        means = np.stack([sample.mean(axis=-1) for sample in samples])
        return (factors @ means)[None]

    value = float(statistic([group[None] for group in groups])[0, 0])
    low, high = _intervals(groups, statistic)[0]
    return value, (float(low), float(high))


def why_unscored(random: float | None, expert: float | None) -> str | None:
    """Why a task has no normalised score, None where it has one."""
    if expert is None:
        return "no expert score is known"
    if random is None:
        return "no score of random play is known"
    if not expert > random:
        return f"the expert ({expert:g}) is not above random play ({random:g})"
    return None


def _by_domain(
    scores: Iterable[Scored], domains: Mapping[str, str]
) -> tuple[dict[str, list[np.ndarray]], dict[str, str]]:
    """Domain -> normalised returns per task, in order of the domains; and why others have none."""
    groups: dict[str, list[np.ndarray]] = {}
    unscored = {}
    for one in scores:
        group = groups.setdefault(domains[one.task], [])
        why = why_unscored(one.random, one.expert)
        if why is not None:
            unscored[one.task] = why
            continue
        assert one.random is not None and one.expert is not None
        group.append((np.array(one.returns, np.float64) - one.random) / (one.expert - one.random))
    return dict(sorted(groups.items())), unscored


def _json(groups: Sequence[np.ndarray]) -> dict[str, Any]:
    return aggregate(groups).to_json() if groups else dict(NOTHING)


def _mean(samples: Sequence[np.ndarray]) -> np.ndarray:
    """(B, episodes) of each task -> (1, B) means over tasks."""
    return np.mean([sample.mean(axis=-1) for sample in samples], axis=0)[None]


def _statistics(samples: Sequence[np.ndarray]) -> np.ndarray:
    """(B, episodes) of each task -> (103, B): mean, IQM, tasks at or above each threshold."""
    means = np.stack([sample.mean(axis=-1) for sample in samples])
    # Rounded, for 0.29 times 100 is a little under 29.
    levels = np.round(100 * means, 9)
    return np.stack(
        [
            means.mean(axis=0),
            stats.trim_mean(np.concatenate(samples, axis=-1), 0.25, axis=-1),
            *((levels >= x).sum(axis=0) for x in THRESHOLDS),
        ]
    )


def _intervals(
    groups: Sequence[np.ndarray], statistic: Callable[[Sequence[np.ndarray]], np.ndarray]
) -> np.ndarray:
    """(k, 2): 95 % percentile intervals of k statistics; the same values give the same ones."""
    # SciPy wants two episodes at least; where all are equal a resample is what it was.
    varied = [place for place, group in enumerate(groups) if group.min() < group.max()]
    if not varied:
        found = statistic([group[None] for group in groups])
        return np.concatenate([found, found], axis=-1)

    def of_resamples(*samples: np.ndarray, axis: int) -> np.ndarray:
        count = len(samples[0])
        whole = [np.broadcast_to(group, (count, len(group))) for group in groups]
        for place, sample in zip(varied, samples, strict=True):
            whole[place] = sample
        return statistic(whole)

    interval = stats.bootstrap(
        [groups[place] for place in varied],
        of_resamples,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH // sum(len(group) for group in groups)),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return np.stack([interval.low, interval.high], axis=-1)
