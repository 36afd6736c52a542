"""What a study shows so far: every cell with its interval, verdicts, and what is missing.

A cell of which a draw is missing is named, shown with the draws that it has, and takes no part in
a comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gato_gym.errors import GatoGymError
from gato_gym.evaluation.transfer.plan import REGIMES, SCRATCH, Cell, Plan
from gato_gym.evaluation.transfer.sources import TARGETS
from gato_gym.evaluation.transfer.statistics import TEST, Scores, compare, scores_of
from gato_gym.evaluation.transfer.study import Study

NORMALISED, RETURN = "normalised", "return"


def study_table(study: Study, plan: Plan) -> dict[str, Any]:
    """All of it, JSON-ready.

    Returns:
        `cells`: per target, regime and number of episodes `mean` and `ci95` over the draws, their
        `scores`, `last` and `before`, and the draws that are `missing`; `verdicts`; `pretraining`;
        `missing` units; `skipped` tasks; `unscored` targets; `test`, in words.

    Raises:
        GatoGymError: a result was made with other settings, or started from other weights than
            those that the study has now; names it.
    """
    trained = {u.key: study.result(u) for u in plan.units if u.stage == "pretrain"}
    results = {cell: _checked(study, plan, cell, trained) for cell in plan.cells}
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
        "missing": [unit.key for unit in plan.units if not study.done(unit)],
        "skipped": dict(plan.skipped),
        "unscored": list(plan.unscored),
        "seconds": _seconds(results, trained),
    }


def _by_target(plan: Plan) -> dict[str, dict[tuple[str, int], list[Cell]]]:
    found: dict[str, dict[tuple[str, int], list[Cell]]] = {}
    for cell in plan.cells:
        group = found.setdefault(cell.target.name, {})
        group.setdefault((cell.regime, cell.episodes), []).append(cell)
    return found


def _checked(
    study: Study, plan: Plan, cell: Cell, trained: Mapping[str, Mapping[str, Any] | None]
) -> dict[str, Any] | None:
    unit = plan.unit(cell.key)
    result = study.result(unit)
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


def _seconds(
    results: Mapping[Cell, Mapping[str, Any] | None],
    trained: Mapping[str, Mapping[str, Any] | None],
) -> dict[str, float]:
    return {
        "pretrain": sum(r["training_seconds"] for r in trained.values() if r),
        "finetune": sum(r["seconds"] for r in results.values() if r),
    }


# For people


def as_text(table: Mapping[str, Any]) -> str:
    """The table as lines of text."""
    return "\n".join(_lines(table))


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    verdicts = {(v["target"], v["regime"], v["episodes"]): v for v in table["verdicts"]}
    for name in dict.fromkeys(row["target"] for row in table["cells"]):
        rows = [row for row in table["cells"] if row["target"] == name]
        yield f"{name} ({rows[0]['task']}), {_unit_told(rows[0]['unit'])}"
        yield (
            f"  {'regime':18} {'episodes':>8} {'mean':>9} {'95 % interval':>20} {'p (Holm)':>9}"
            "  transfer"
        )
        for row in rows:
            verdict = verdicts.get((name, row["regime"], row["episodes"]))
            yield f"  {REGIMES[row['regime']]:18} {row['episodes']:>8} {_figures(row, verdict)}"
        yield ""
    yield f"test: {table['test']}"
    for name in table["unscored"]:
        yield f"{name}: no expert score is known, so raw returns are compared"
    if table["skipped"]:
        yield f"left out, {len(table['skipped'])}:"
        yield from (f"  {task}: {why}" for task, why in table["skipped"].items())
    if table["missing"]:
        yield f"missing, {len(table['missing'])} units:"
        yield from (f"  {key}" for key in table["missing"])


def _unit_told(unit: str) -> str:
    return "0 = random play, 1 = expert" if unit == NORMALISED else "mean return"


def _figures(row: Mapping[str, Any], verdict: Mapping[str, Any] | None) -> str:
    draws = len(row["scores"]) + len(row["missing"])
    if row["mean"] is None:
        return f"{'-':>9} {'-':>20} {'-':>9}  all {draws} draws are missing"
    interval = "-"
    if row["ci95"] is not None:
        interval = f"[{_number(row['ci95'][0])}, {_number(row['ci95'][1])}]"
    p = told = "-"
    if verdict is not None:
        told = verdict["verdict"]
        p = "-" if verdict["p_holm"] is None else f"{verdict['p_holm']:.3f}"
    if row["missing"]:
        told = f"draw{'s' * (len(row['missing']) > 1)} {_listed(row['missing'])} missing"
    return f"{_number(row['mean']):>9} {interval:>20} {p:>9}  {told}"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def as_markdown(table: Mapping[str, Any]) -> list[str]:
    """One table for a document: a row per target and number of episodes, a column per regime."""
    regimes = list(dict.fromkeys(row["regime"] for row in table["cells"]))
    verdicts = {(v["target"], v["regime"], v["episodes"]): v for v in table["verdicts"]}
    head = ["task", "episodes", *(REGIMES[regime] for regime in regimes)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    rows = {(r["target"], r["episodes"], r["regime"]): r for r in table["cells"]}
    for target, episodes in dict.fromkeys((r["target"], r["episodes"]) for r in table["cells"]):
        texts = [target, str(episodes)]
        for regime in regimes:
            row = rows.get((target, episodes, regime))
            texts.append(_cell_told(row, verdicts.get((target, regime, episodes))))
        lines.append(f"| {' | '.join(texts)} |")
    return lines


def _cell_told(row: Mapping[str, Any] | None, verdict: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["mean"] is None:
        return "missing"
    told = _number(row["mean"])
    if row["ci95"] is not None:
        told += f" [{_number(row['ci95'][0])}, {_number(row['ci95'][1])}]"
    if row["missing"]:
        return f"{told}, draws {_listed(row['missing'])} missing"
    return told if verdict is None else f"{told}, {verdict['verdict']}"
