"""How training went, as series to draw: from train.jsonl and its neighbours, or a card's curve.

A value that is not finite breaks the line where it is, and the step is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gato_gym.envs.registry import domain_of
from gato_gym.evaluation.report.values import mapping, number, printable
from gato_gym.training.finetune import smoothed

MOST_POINTS = 400
"""Of a line: more are drawn as means of as many neighbours as it takes."""
FEW_TASKS = 8


@dataclass(frozen=True)
class Series:
    """A line: (n,) steps and values, NaN where there is none."""

    name: str
    steps: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Curves:
    """Training, one value per log; empty lists where nothing was logged.

    broken    steps whose loss was not finite
    parts     losses of domains, or of tasks where an older log has no domains
    parts_of  "domain" or "task"
    together  logs that a point of the lines is the mean of
    rollouts  normalised scores by domain, of the weights on the way
    """

    logs: int
    last_step: int
    loss: Series
    validation: Series | None
    parts: Sequence[Series]
    parts_of: str
    rate: Series | None
    speed: Series | None
    rollouts: Sequence[Series]
    broken: Sequence[int] = field(default=())
    together: int = 1

    @property
    def last_loss(self) -> float | None:
        """The last loss that is a number."""
        finite = self.loss.values[np.isfinite(self.loss.values)]
        return float(finite[-1]) if len(finite) else None


def curves(
    train: Sequence[Mapping[str, Any]],
    validation: Sequence[Mapping[str, Any]] = (),
    rollouts: Sequence[Mapping[str, Any]] = (),
    specs: Mapping[str, Any] | None = None,
) -> Curves | None:
    """The curves of logs; None where there are none.

    Args:
        train, validation, rollouts: lines of the files of these names, each with a "step".
        specs: the agent's tasks.json, which knows the domains of its tasks.
    """
    if not train:
        return None
    steps = np.array([number(line["step"]) for line in train], np.float64)
    loss = _column(train, "loss")
    broken = [int(step) for step, value in zip(steps, loss, strict=True) if not np.isfinite(value)]
    parts_of, parts = _parts(train, specs or {})
    together = -(-len(train) // MOST_POINTS)

    def series(name: str, values: np.ndarray) -> Series | None:
        if not np.isfinite(values).any():
            return None
        return Series(printable(name), *_thinned(steps, values, together))

    held_out = None
    if validation:
        at = np.array([number(line["step"]) for line in validation], np.float64)
        held_out = Series("held out", at, _column(validation, "loss"))
    drawn = [series(name, values) for name, values in parts.items()]
    return Curves(
        logs=len(train),
        last_step=int(steps[-1]),
        loss=Series("training", *_thinned(steps, loss, together)),
        validation=held_out,
        parts=[one for one in drawn if one is not None],
        parts_of=parts_of,
        rate=series("learning rate", _column(train, "learning_rate")),
        speed=series("tokens per second", _column(train, "tokens_per_second")),
        rollouts=_rollouts(rollouts),
        broken=broken,
        together=together,
    )


def _column(lines: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """(n,) values of a key, NaN where a line has no finite one."""
    return np.array([_or_nan(line.get(key)) for line in lines])


def _or_nan(value: object) -> float:
    found = number(value)
    return np.nan if found is None else found


def _parts(
    lines: Sequence[Mapping[str, Any]], specs: Mapping[str, Any]
) -> tuple[str, dict[str, np.ndarray]]:
    """Losses by domain; of older logs by task, or of many tasks the mean of each domain's."""
    if any(line.get("domain_losses") for line in lines):
        return "domain", _by_name([mapping(line.get("domain_losses")) for line in lines])
    tasks = _by_name([mapping(line.get("losses")) for line in lines])
    if len(tasks) <= FEW_TASKS:
        return "task", tasks
    groups: dict[str, list[np.ndarray]] = {}
    for task, values in tasks.items():
        domain = str(mapping(specs.get(task)).get("domain") or domain_of(task))
        groups.setdefault(domain, []).append(values)
    # A log may lack a task that no batch since the last one had.
    return "domain", {name: _mean(np.stack(groups[name])) for name in sorted(groups)}


def _by_name(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    names = sorted({name for row in rows for name in row})
    return {name: np.array([_or_nan(row.get(name)) for row in rows]) for name in names}


def _mean(values: np.ndarray) -> np.ndarray:
    """(k, n) -> (n,) means of what is finite, NaN where nothing is."""
    there = np.isfinite(values)
    counts = there.sum(axis=0)
    sums = np.where(there, values, 0).sum(axis=0)
    means: np.ndarray = np.where(counts, sums / np.maximum(counts, 1), np.nan)
    return means


def _thinned(steps: np.ndarray, values: np.ndarray, together: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of so many neighbours; a group with a value that is not finite has none."""
    if together == 1:
        return steps, values
    edges = range(0, len(values), together)
    groups = [(steps[at : at + together], values[at : at + together]) for at in edges]
    return np.array([s.mean() for s, _ in groups]), np.array([v.mean() for _, v in groups])


def _rollouts(lines: Sequence[Mapping[str, Any]]) -> list[Series]:
    steps = np.array([number(line["step"]) for line in lines], np.float64)
    means = [
        {name: mapping(one).get("mean") for name, one in mapping(line.get("domains")).items()}
        for line in lines
    ]
    found = [Series(printable(name), steps, v) for name, v in _by_name(means).items()]
    return [one for one in found if np.isfinite(one.values).any()]


# Few-shot


@dataclass(frozen=True)
class FewShot:
    """A few-shot run: what each evaluation reached, and their moving average.

    played   (n,) steps and mean returns, step 0 before training
    average  the moving average over `width` evaluations, at the last of each
    best     (step, value) of its maximum, the paper's score; None before the first one
    told     finetune.json with result.json over it
    """

    task: str
    played: Series
    average: Series
    width: int
    best: tuple[int, float] | None
    random: float | None
    expert: float | None
    told: Mapping[str, Any]

    @property
    def normalized(self) -> float | None:
        """The score, 0 = random play and 1 = the expert."""
        if self.best is None or self.random is None or self.expert is None:
            return None
        span = self.expert - self.random
        return (self.best[1] - self.random) / span if span > 0 else None


def few_shot(
    settings: Mapping[str, Any],
    curve: Sequence[Mapping[str, Any]],
    result: Mapping[str, Any],
    spec: Mapping[str, Any],
) -> FewShot | None:
    """The few-shot curve of a fine-tuning run; None where nothing was evaluated.

    Args:
        settings, curve, result: finetune.json, the lines of curve.jsonl and result.json.
        spec: of the task, {} where it is unknown.
    """
    points = [line for line in curve if number(line.get("mean_return")) is not None]
    if not points:
        return None
    steps = np.array([number(line["step"]) for line in points], np.float64)
    returns = _column(points, "mean_return")
    later = steps > 0
    means = smoothed(returns[later].tolist(), max(1, int(number(settings.get("smooth")) or 1)))
    width = int(later.sum()) - len(means) + 1
    at = steps[later][width - 1 :] if means else np.array([])
    best = None
    if means:
        top = int(np.argmax(means))
        best = int(at[top]), means[top]
    return FewShot(
        task=printable(settings.get("task") or result.get("task") or "the task"),
        played=Series("evaluations", steps, returns),
        average=Series(f"mean of {width}", at, np.array(means)),
        width=width,
        best=best,
        random=number(result.get("random", spec.get("random_score"))),
        expert=number(result.get("expert", spec.get("expert_score"))),
        told={**settings, **result},
    )
