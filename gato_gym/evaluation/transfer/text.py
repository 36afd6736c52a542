"""The table of a transfer study for people: on a terminal, and in documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gato_gym.evaluation.transfer.plan import REGIMES
from gato_gym.evaluation.transfer.table import NORMALISED


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
    """A table for a document: a row per target and number of episodes, a column per regime."""
    there = {row["regime"] for row in table["cells"]}
    regimes = [name for name in REGIMES if name in there]
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


def costs_as_markdown(table: Mapping[str, Any]) -> list[str]:
    """What it took: a row per stage and per pretraining."""
    lines = ["| step | of it | hours of one process |", "|---|---|---|"]
    collected = [found for found in table["collected"].values() if found]
    episodes, steps = (sum(found[name] for found in collected) for name in ("episodes", "steps"))
    told = {
        "collect": f"{episodes:,} episodes, {steps:,} steps of {len(collected)} tasks",
        "pretrain": "; ".join(
            f"`{name}` {one['training_seconds'] / 60:.1f} min, {len(one['tasks'])} tasks, "
            f"loss {one['loss']:.2f}"
            for name, one in table["pretraining"].items()
            if one
        ),
        "finetune": f"{sum(len(row['scores']) for row in table['cells'])} runs",
    }
    for stage, seconds in table["seconds"].items():
        lines.append(f"| {stage} | {told[stage]} | {seconds / 3600:.2f} |")
    return [*lines, f"| **all** | | **{sum(table['seconds'].values()) / 3600:.2f}** |"]
