"""Bootstrap intervals over episodes; the same values always give the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

RESAMPLES = 9999
CONFIDENCE = 0.95


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % percentile bootstrap of the mean.

    A constant sample, or a single value, gives an interval of no width.
    """
    if min(values) == max(values):
        return float(values[0]), float(values[0])
    interval = stats.bootstrap(
        (np.asarray(values, np.float64),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def ratio_interval(sums: Sequence[float], counts: Sequence[int]) -> tuple[float, float]:
    """95 % percentile bootstrap of sum(sums) / sum(counts), e.g. the mean reward of a step.

    Episodes are resampled, not steps: those of one episode are not independent.

    Args:
        sums, counts: of each episode; counts at least 1.
    """
    means = np.asarray(sums, np.float64) / counts
    if len(set(counts)) == 1:
        return bootstrap_interval(means.tolist())
    if means.min() == means.max():
        return float(means[0]), float(means[0])
    interval = stats.bootstrap(
        (np.asarray(sums, np.float64), np.asarray(counts, np.float64)),
        lambda total, count, axis: total.sum(axis=axis) / count.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def share_interval(values: Sequence[float], bases: Sequence[float]) -> tuple[float, float]:
    """95 % percentile bootstrap of mean(values) / mean(bases), of pairs that belong together.

    Args:
        values, bases: of each episode; bases clearly above 0 in the mean.
    """
    numerators, denominators = np.asarray(values, np.float64), np.asarray(bases, np.float64)
    whole = float(numerators.mean() / denominators.mean())
    if np.ptp(numerators) == 0 and np.ptp(denominators) == 0:
        return whole, whole
    interval = stats.bootstrap(
        (numerators, denominators),
        lambda above, below, axis: above.mean(axis=axis) / below.mean(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(interval.low), float(interval.high)
