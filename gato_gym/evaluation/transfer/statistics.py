"""How sure a study is: intervals, and whether a regime differs from scratch.

What varies is the draw: other episodes, another sample order, other random weights. So a cell's
scores are one number per draw, and the three draws are what is compared: Welch's t-test of a
regime's scores against scratch's, with intervals of the same distribution. Three numbers may lie
close together by chance; so their variance is never taken to be smaller than what the spread of the
episodes that were played makes it by itself. That can only make the test more careful.

The p-values of all comparisons of one task are corrected by Holm's method.

What this does not see: each regime was pretrained once, so a verdict is about these weights; with
three draws only large differences are found (`none` means: none that three draws show); scores are
maxima of curves, a little high in every regime; and t-tests want scores that are not too far from
normal, which a task that is either solved or not does not give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
TEST = (
    "Welch's t-test of the draws' scores against scratch, their variance at least that of the "
    "episodes played; Holm's correction over all comparisons of a task; 5 %"
)

Verdict = Literal["positive", "none", "negative", "untested"]


@dataclass(frozen=True)
class Scores:
    """The scores of a cell's draws.

    values  (n,) one per draw
    noise   (n,) variance of each that comes from the episodes it is the mean of
    """

    values: tuple[float, ...]
    noise: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the draws."""
        return float(np.mean(self.values))

    @property
    def variance(self) -> float:
        """Of one draw's score; at least two draws."""
        return max(float(np.var(self.values, ddof=1)), float(np.mean(self.noise)))

    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean by Student's t; None of a single draw."""
        count = len(self.values)
        if count < 2:
            return None
        half = stats.t.ppf(1 - ALPHA / 2, count - 1) * math.sqrt(self.variance / count)
        return self.mean - float(half), self.mean + float(half)


def window_returns(result: Mapping[str, Any]) -> list[list[float]]:
    """The episode returns of each evaluation that a few-shot run's score is the mean of, see
    `FewShotRun.result`."""
    points = [point for point in result["curve"] if point["step"]]
    (last,) = [i for i, p in enumerate(points) if p["step"] == result["score_at_step"]]
    window = points[last + 1 - result["smoothed_over"] : last + 1]
    return [list(point["returns"]) for point in window]


def mean_variance(evaluations: Sequence[Sequence[float]]) -> float:
    """Variance of the mean of evaluations that comes from their episodes alone.

    Evaluations differ because the agent learns, which is no noise: the spread inside of each is
    what counts. Evaluations of one episode have none, so there all episodes are taken together; of
    a single episode nothing is known, which is 0 here.

    Args:
        evaluations: returns, of as many episodes each.
    """
    returns = np.asarray(evaluations, np.float64)
    if returns.size < 2:
        return 0.0
    inside = returns if returns.shape[1] > 1 else returns.T
    return float(np.var(inside, axis=1, ddof=1).mean() / returns.size)


def scores_of(results: Sequence[Mapping[str, Any]], *, normalized: bool) -> Scores:
    """The scores of few-shot runs that differ in their draw only.

    Args:
        results: at least one.
        normalized: as shares of the way from random play to the expert; else returns.
    """
    values, noise = [], []
    for result in results:
        scale = result["expert"] - result["random"] if normalized else 1.0
        values.append(float(result["normalized"] if normalized else result["score"]))
        noise.append(mean_variance(window_returns(result)) / scale**2)
    return Scores(tuple(values), tuple(noise))


@dataclass(frozen=True)
class Difference:
    """A regime's mean score minus scratch's, with its 95 % interval and two-sided p-value."""

    value: float
    low: float
    high: float
    p: float


def difference(regime: Scores, scratch: Scores) -> Difference | None:
    """Welch's comparison; None where one of them has a single draw."""
    a, b = len(regime.values), len(scratch.values)
    value = regime.mean - scratch.mean
    if min(a, b) < 2:
        return None
    parts = regime.variance / a, scratch.variance / b
    if not sum(parts):  # the same each time
        return Difference(value, value, value, float(value == 0))
    p = stats.ttest_ind_from_stats(
        *(regime.mean, math.sqrt(regime.variance), a),
        *(scratch.mean, math.sqrt(scratch.variance), b),
        equal_var=False,
    ).pvalue
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (a - 1) + parts[1] ** 2 / (b - 1))
    half = float(stats.t.ppf(1 - ALPHA / 2, freedom)) * math.sqrt(sum(parts))
    return Difference(value, value - half, value + half, float(p))


def holm(values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm, 1979): none of them below the one before it."""
    order = np.argsort(values, kind="stable")
    corrected, highest = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = highest
    return corrected


@dataclass(frozen=True)
class Comparison:
    """A regime against scratch on a task, from so many episodes.

    p_holm   the p-value after correction
    verdict  of transfer; "untested" where there are not two draws of both
    unit     of the difference: "normalised", or "return" where no expert score is known
    """

    target: str
    episodes: int
    regime: str
    difference: Difference | None
    p_holm: float | None
    verdict: Verdict
    unit: str

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self)


def compare(
    target: str,
    cells: Mapping[tuple[str, int], Scores],
    scratch: str,
    unit: str,
) -> list[Comparison]:
    """All comparisons of one task, corrected together.

    Args:
        target: its name.
        cells: (regime, episodes) -> the scores of all draws; a cell that lacks a draw is not there.
        scratch: the regime to compare with.
        unit: of the scores.
    """
    found = [
        (regime, episodes, difference(scores, cells[scratch, episodes]))
        for (regime, episodes), scores in cells.items()
        if regime != scratch and (scratch, episodes) in cells
    ]
    tested = [d.p for _, _, d in found if d is not None]
    corrected = iter(holm(tested))
    comparisons = []
    for regime, episodes, d in found:
        p_holm = None if d is None else next(corrected)
        verdict: Verdict = "untested"
        if d is not None and p_holm is not None:
            verdict = "none"
            if p_holm < ALPHA:
                verdict = "positive" if d.value > 0 else "negative"
        comparisons.append(Comparison(target, episodes, regime, d, p_holm, verdict, unit))
    return comparisons
