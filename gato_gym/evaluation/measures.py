"""A score by what it is told in: the accuracy of a task that speaks, the return of any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gato_gym.evaluation.scores import Score, normalize

ACCURACY, RETURN = "accuracy", "mean_return"


def measure_of(score: Score) -> str:
    """`ACCURACY` or `RETURN`."""
    return RETURN if score.accuracy is None else ACCURACY


def measured(score: Score, base: Score | None = None) -> dict[str, Any]:
    """The figures of a score, JSON-ready.

    Args:
        score: of a task, or of another form of it.
        base: has the reference scores; None where the score has them itself.

    Returns:
        `value` and `ci95` of the measure; `normalized` and `normalized_ci95` of the return, None
        without references; `mean_return`, `returns`, `success_rate`, `steps_per_second`.
    """
    value, interval = score.mean_return, score.ci95
    if score.accuracy is not None and score.accuracy_ci95 is not None:
        value, interval = score.accuracy, score.accuracy_ci95
    known = base or score
    normal = [
        normalize(one, known.random, known.expert) for one in (score.mean_return, *score.ci95)
    ]
    return {
        "value": value,
        "ci95": list(interval),
        "normalized": normal[0],
        "normalized_ci95": None if None in normal else normal[1:],
        "mean_return": score.mean_return,
        "returns": list(score.returns),
        "success_rate": score.success_rate,
        "steps_per_second": score.steps_per_second,
    }


# For people


def number(measure: str, value: float, sign: bool = False) -> str:
    """A score or a difference: an accuracy in per cent."""
    form = ".1%" if measure == ACCURACY else ".2f"
    return format(value, f"+{form}" if sign else form)


def bounds(measure: str, interval: Sequence[float], sign: bool = False) -> str:
    """An interval in brackets."""
    return f"[{', '.join(number(measure, bound, sign) for bound in interval)}]"
