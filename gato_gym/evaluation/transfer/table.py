"""What a study shows so far: every cell with its interval, verdicts, and what is missing.

A cell of which a draw is missing is named, shown with the draws that it has, and takes no part in
a comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gato_gym.errors import GatoGymError
from gato_gym.evaluation.studies.costs import costs
from gato_gym.evaluation.studies.units import Unit
from gato_gym.evaluation.transfer.plan import SCRATCH, Cell, Plan
from gato_gym.evaluation.transfer.sources import TARGETS
from gato_gym.evaluation.transfer.statistics import TEST, Scores, compare, scores_of
from gato_gym.evaluation.transfer.study import Study

NORMALISED, RETURN = "normalised", "return"


def study_table(study: Study, plan: Plan) -> dict[str, Any]:
    """All of it, JSON-ready.

    Returns:
        `cells`: per target, regime and number of episodes `mean` and `ci95` over the draws, their
        `scores`, `last` and `before`, and the draws that are `missing`; `verdicts`; `pretraining`;
        `collected` episodes; `missing` units; `skipped` tasks; `unscored` targets; `test`, in
        words; `seconds` of processes by stage, `machines` and `versions`.

    Raises:
        GatoGymError: a result was made with other settings, or started from other weights than
            those that the study has now; names it.
    """
    records = {unit.key: record for unit in plan.units if (record := study.record(unit))}
    done = {key: record["result"] for key, record in records.items()}
    trained = {u.key: done.get(u.key) for u in plan.units if u.stage == "pretrain"}
    results = {cell: _checked(study, plan, cell, done, trained) for cell in plan.cells}
    cells, verdicts = [], []
    for name, group in _by_target(plan).items():
        unit = RETURN if name in plan.unscored else NORMALISED
        complete: dict[tuple[str, int], Scores] = {}
        for (regime, episodes), draws in group.items():
            found = {c.draw: r for c in draws if (r := results[c]) is not None}
            missing = [cell.draw for cell in draws if cell.draw not in found]
            row = _row(name, regime, episodes, unit, found) | {"missing": missing}
            cells.append(row)
            if found and not missing:
                complete[regime, episodes] = scores_of(
                    list(found.values()), normalized=unit == NORMALISED
                )
        verdicts += [one.to_json() for one in compare(name, complete, SCRATCH, unit)]
    return {
        "study": study.folder.name,
        "budget": plan.budget.to_json(),
        "cells": cells,
        "verdicts": verdicts,
        "test": TEST,
        "pretraining": {key.partition("/")[2]: value for key, value in trained.items()},
        "collected": {u.key.partition("/")[2]: done.get(u.key) for u in _collecting(plan)},
        "missing": [unit.key for unit in plan.units if unit.key not in done],
        "skipped": dict(plan.skipped),
        "unscored": list(plan.unscored),
        **costs(plan, records),
    }


def _collecting(plan: Plan) -> list[Unit]:
    return [unit for unit in plan.units if unit.stage == "collect"]


def _by_target(plan: Plan) -> dict[str, dict[tuple[str, int], list[Cell]]]:
    found: dict[str, dict[tuple[str, int], list[Cell]]] = {}
    for cell in plan.cells:
        group = found.setdefault(cell.target.name, {})
        group.setdefault((cell.regime, cell.episodes), []).append(cell)
    return found


def _checked(
    study: Study,
    plan: Plan,
    cell: Cell,
    done: Mapping[str, dict[str, Any]],
    trained: Mapping[str, Mapping[str, Any] | None],
) -> dict[str, Any] | None:
    unit = plan.unit(cell.key)
    result = done.get(unit.key)
    if result is None or unit.settings["run"] is None:
        return result
    known = trained[f"pretrain/{unit.settings['run']}"]
    if known is not None and known["weights"] != result["base"]:
        raise GatoGymError(
            f"{study.path(unit)} started from the weights {result['base']}, the study's "
            f"{unit.settings['run']!r} has {known['weights']} now: delete that folder to make it "
            "again"
        )
    return result


def _row(
    name: str, regime: str, episodes: int, unit: str, found: Mapping[int, Mapping[str, Any]]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "target": name,
        "task": TARGETS[name].task,
        "regime": regime,
        "episodes": episodes,
        "unit": unit,
    }
    names = ("score", "normalized", "last", "before", "score_at_step")
    row["draws"] = {str(draw): {n: r[n] for n in names} for draw, r in sorted(found.items())}
    if not found:
        return row | {"mean": None, "ci95": None, "scores": []}
    scores = scores_of([r for _, r in sorted(found.items())], normalized=unit == NORMALISED)
    interval = scores.interval()
    return row | {
        "mean": scores.mean,
        "ci95": None if interval is None else list(interval),
        "scores": list(scores.values),
    }
