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
        lambda top, bottom, axis: top.sum(axis=axis) / bottom.sum(axis=axis),
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

    Resamples whose bases are not above 0 in the mean have no share and are left out: where half of
    a few episodes fail, some consist of failures only.

    Args:
        values, bases: of each episode; bases clearly above 0 in the mean.
    """
    if min(values) == max(values) and min(bases) == max(bases):
        return values[0] / bases[0], values[0] / bases[0]
    drawn = np.random.default_rng(0).integers(len(bases), size=(RESAMPLES, len(bases)))
    above, below = (np.asarray(part, np.float64)[drawn].mean(axis=1) for part in (values, bases))
    defined = below > 0
    tails = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(above[defined] / below[defined], (tails, 100 - tails))
    return float(low), float(high)
