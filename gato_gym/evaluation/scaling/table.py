"""What a scaling study shows so far: every size at every point, what size gave, what is missing.

A point of which an evaluation is missing is named and has no mean: a mean of fewer tasks could not
be compared with the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from gato_gym.errors import GatoGymError
from gato_gym.evaluation.aggregate import weighted_mean
from gato_gym.evaluation.scaling.budgets import size_config
from gato_gym.evaluation.scaling.plan import ScalingPlan, play_key, train_key
from gato_gym.evaluation.scaling.study import ScalingStudy
from gato_gym.evaluation.studies.costs import costs

METHOD = (
    "mean over domains of their tasks' means, 0 = random play, 1 = expert; 95 % intervals of a "
    "stratified bootstrap over episodes, which say nothing of what another training would give"
)

Row = Mapping[str, Any]
Groups = dict[str, list[np.ndarray]]
"""Task -> normalised returns, an array for each training."""


def scaling_table(study: ScalingStudy, plan: ScalingPlan) -> dict[str, Any]:
    """All of it, JSON-ready.

    Returns:
        `points`: per size and point its `tokens`, the `mean` over all tasks with `ci95`, the mean
        of each training, the `loss`, each task's score with every return, and what is `missing`;
        `gains`: per point what a size has more than the next smaller one; `sizes`: shape,
        parameters, and speed of each training; `tasks`; `method`, in words; `missing` units;
        `skipped` tasks; `machines`, `versions`, `seconds`.

    Raises:
        GatoGymError: results were made with other settings, of other data, of other weights or
            with other seeds than the rest of the study; names them.
    """
    budget = plan.budget
    records = {unit.key: record for unit in plan.units if (record := study.record(unit))}
    _check(study, plan, records)
    sizes = [_size(name, budget.seeds, records) for name in budget.sizes]
    # Not by parameters: those of what is missing nobody has counted.
    sizes.sort(key=lambda one: one["layers"] * one["width"] ** 2)
    order = [one["size"] for one in sizes]
    points, kept = [], {}
    for size in order:
        for step in budget.point_steps():
            rows = _rows(plan, records, size, step)
            point, groups = _point(plan, rows)
            tokens = step * budget.batch * budget.context
            losses = _losses(records, size, step, budget.seeds)
            points.append({"size": size, "step": step, "tokens": tokens, **losses, **point})
            if not point["missing"]:
                kept[size, step] = groups
    return {
        "study": study.folder.name,
        "budget": budget.to_json(),
        "tasks": _tasks(plan, records),
        "sizes": sizes,
        "points": points,
        "gains": [
            _gain(plan, kept, smaller, larger, step)
            for smaller, larger in pairwise(order)
            for step in budget.point_steps()
            if (smaller, step) in kept and (larger, step) in kept
        ],
        "method": METHOD,
        "missing": [unit.key for unit in plan.units if unit.key not in records],
        "skipped": dict(plan.skipped),
        **costs(plan, records),
    }


def _check(study: ScalingStudy, plan: ScalingPlan, records: Mapping[str, Row]) -> None:
    trained = {key: one["result"] for key, one in records.items() if key.startswith("train/")}
    first: dict[str, tuple[str, Any]] = {}
    for key, result in trained.items():
        one, data = first.setdefault("data", (key, result["data"]))
        if data != result["data"]:
            raise GatoGymError(
                f"{study.path(key)} learned from other episodes than {study.path(one)}: delete one "
                "of them to make it again"
            )
    for unit in plan.units:
        if unit.stage != "play" or unit.key not in records:
            continue
        found, settings = records[unit.key]["result"], unit.settings
        source = trained.get(train_key(settings["size"], settings["seed"]))
        now = source and source["points"][str(settings["step"])]["weights"]
        if now is not None and now != found["weights"]:
            raise GatoGymError(
                f"{study.path(unit)} played with the weights {found['weights']}, the study has "
                f"{now} now: delete that folder to make it again"
            )
        one, seed = first.setdefault(settings["task"], (unit.key, found["seed"]))
        if seed != found["seed"]:
            raise GatoGymError(
                f"{study.path(unit)} played seeds from {found['seed']}, {study.path(one)} from "
                f"{seed}: the corpus has changed between them; delete one of them to make it again"
            )


def _size(name: str, seeds: int, records: Mapping[str, Row]) -> dict[str, Any]:
    shape = size_config(name)
    found = {
        seed: records[key]["result"]
        for seed in range(seeds)
        if (key := train_key(name, seed)) in records
    }
    told = ("tokens", "tokens_per_second", "training_seconds", "loss", "losses")
    return {
        "size": name,
        **{part: getattr(shape, part) for part in ("layers", "width", "heads", "hidden")},
        "parameters": next((one["parameters"] for one in found.values()), None),
        "runs": {str(seed): {part: one[part] for part in told} for seed, one in found.items()},
    }


def _tasks(plan: ScalingPlan, records: Mapping[str, Row]) -> dict[str, Any]:
    results = (one["result"] for key, one in records.items() if key.startswith("train/"))
    shares: Row = next((result["tasks"] for result in results), {})
    return {
        task: {
            "domain": spec.domain,
            "random": spec.random_score,
            "expert": spec.expert_score,
            "share": shares.get(task),
        }
        for task, spec in plan.tasks.items()
    }


def _rows(
    plan: ScalingPlan, records: Mapping[str, Row], size: str, step: int
) -> dict[str, list[Row | None]]:
    """Task -> what was played of it with each training's network."""
    return {
        task: [
            records[key]["result"] if (key := play_key(size, seed, step, task)) in records else None
            for seed in range(plan.budget.seeds)
        ]
        for task in plan.tasks
    }


def _point(
    plan: ScalingPlan, rows: Mapping[str, list[Row | None]]
) -> tuple[dict[str, Any], Groups]:
    groups: Groups = {}
    tasks: dict[str, Any] = {}
    for task, found in rows.items():
        played = {seed: row for seed, row in enumerate(found) if row is not None}
        groups[task] = [_normalised(row) for row in played.values()]
        if not played:
            continue
        mean, interval = weighted_mean(groups[task], [1 / len(played)] * len(played))
        (first, *_) = played.values()
        successes = [row["success_rate"] for row in played.values()]
        tasks[task] = {
            "mean": mean,
            "ci95": list(interval),
            "runs": {
                str(seed): float(group.mean())
                for seed, group in zip(played, groups[task], strict=True)
            },
            "success_rate": None if None in successes else float(np.mean(successes)),
            "seed": first["seed"],
            "returns": {str(seed): row["returns"] for seed, row in played.items()},
        }
    missing = [task for task, found in rows.items() if None in found]
    point: dict[str, Any] = {"mean": None, "ci95": None, "runs": {}}
    if not missing:
        mean, interval = _mean(plan, groups)
        runs = {
            str(seed): _mean(plan, {task: [group[seed]] for task, group in groups.items()})[0]
            for seed in range(plan.budget.seeds)
        }
        point = {"mean": mean, "ci95": list(interval), "runs": runs}
    return point | {"tasks": tasks, "missing": missing}, groups


def _normalised(row: Row) -> np.ndarray:
    found: np.ndarray = np.array(row["returns"], np.float64) - row["random"]
    return found / (row["expert"] - row["random"])


def _mean(plan: ScalingPlan, groups: Groups, without: Groups | None = None) -> Any:
    """(mean, interval) over all tasks, or of the difference to other groups."""
    counts = Counter(spec.domain for spec in plan.tasks.values())
    found: list[np.ndarray] = []
    weights: list[float] = []
    for sign, part in ((1, groups), (-1, without or {})):
        for task, trainings in part.items():
            weight = sign / (len(counts) * counts[plan.tasks[task].domain] * len(trainings))
            found += trainings
            weights += [weight] * len(trainings)
    return weighted_mean(found, weights)


def _gain(
    plan: ScalingPlan,
    kept: Mapping[tuple[str, int], Groups],
    smaller: str,
    larger: str,
    step: int,
) -> dict[str, Any]:
    difference, interval = _mean(plan, kept[larger, step], kept[smaller, step])
    return {
        "size": larger,
        "than": smaller,
        "step": step,
        "tokens": step * plan.budget.batch * plan.budget.context,
        "difference": difference,
        "ci95": list(interval),
    }


def _losses(records: Mapping[str, Row], size: str, step: int, seeds: int) -> dict[str, Any]:
    """At a point, mean over the trainings that are there: of all targets, and by task."""
    found = [
        records[key]["result"]["points"][str(step)]
        for seed in range(seeds)
        if (key := train_key(size, seed)) in records
    ]
    if not found:
        return {"loss": None, "losses": {}}
    return {
        "loss": float(np.mean([one["loss"] for one in found])),
        "losses": {
            task: float(np.mean([one["losses"][task] for one in found if task in one["losses"]]))
            for task in sorted(set().union(*(one["losses"] for one in found)))
        },
    }
