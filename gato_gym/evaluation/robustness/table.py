"""What is left of each task's score: rows for JSON, for people and for a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gato_gym.envs.registry import domain_of
from gato_gym.evaluation.measures import ACCURACY, bounds, measure_of, measured, number
from gato_gym.evaluation.pairs import difference, share_kept
from gato_gym.evaluation.robustness.perturbations import PERTURBATIONS, Perturbation, Strength, told
from gato_gym.evaluation.scores import Score

AS_TRAINED = "as trained"

Row = Mapping[str, Any]
LeftOut = Mapping[str, Mapping[str, str]]
"""NAME or NAME=STRENGTH of a perturbation -> task -> why it was not played so."""


@dataclass(frozen=True)
class Change:
    """A perturbation at a strength."""

    perturbation: Perturbation
    strength: Strength

    @property
    def name(self) -> str:
        """As on the command line."""
        return f"{self.perturbation.name}={told(self.strength)}"


def robustness_row(
    task: str,
    base: Score | None,
    scores: Mapping[Change, Score],
    missing: Mapping[str, str],
) -> dict[str, Any]:
    """One task, JSON-ready.

    Args:
        task: its id.
        base: of it as it was trained; None where it could not be played.
        scores: of it changed, on the same seeds.
        missing: name of a change, or `AS_TRAINED` -> why it has no score.

    Returns:
        `base`: see `measures.measured`; `changes`: a list of the same with `perturbation`,
        `strength`, `difference` from the base and `share_kept` with `share_ci95`, see `pairs`;
        `missing`.
    """
    one = base or next(iter(scores.values()))
    return {
        "task": task,
        "domain": domain_of(task),
        "measure": measure_of(one),
        "episodes": one.episodes,
        "seed": one.seed,
        "random": None if base is None else base.random,
        "expert": None if base is None else base.expert,
        "base": None if base is None else measured(base),
        "changes": [_change(change, score, base) for change, score in scores.items()],
        "missing": dict(missing),
    }


def _change(change: Change, score: Score, base: Score | None) -> dict[str, Any]:
    found = {"perturbation": change.perturbation.name, "strength": told(change.strength)}
    found |= measured(score, base)
    kept = None if base is None else share_kept(score, base)
    return found | {
        "difference": None if base is None else difference(score, base).to_json(),
        "share_kept": None if kept is None else kept[0],
        "share_ci95": None if kept is None else list(kept[1]),
    }


def kinds() -> dict[str, dict[str, str]]:
    """What each perturbation is, for the result."""
    return {name: {"told": one.told, "unit": one.unit} for name, one in PERTURBATIONS.items()}


# For people


def as_text(rows: Sequence[Row], left_out: LeftOut) -> Iterator[str]:
    """A block per task, in 100 columns; then what was not played, with a count."""
    for row in rows:
        what = "accuracy" if row["measure"] == ACCURACY else "return"
        yield f"{row['task']} ({row['episodes']} episodes)"
        yield (
            f"  {'perturbation':26}{what:>10}{'95 % interval':>20}{'norm.':>7}"
            f"{'kept':>8}{'95 % interval':>17}  change"
        )
        if row["base"] is not None:
            yield f"  {AS_TRAINED:26}{_figures(row, row['base'])}"
        for change in row["changes"]:
            name = f"{change['perturbation']}={change['strength']}"
            yield f"  {name:26}{_figures(row, change)}{_kept(change)}"
        for name, why in row["missing"].items():
            yield f"  {name:26}{'-':>10}  {why}"
        yield ""
    yield from _left_out_told(left_out)


def _figures(row: Row, found: Row) -> str:
    measure = row["measure"]
    normal = "-" if found["normalized"] is None else f"{found['normalized']:.2f}"
    return f"{number(measure, found['value']):>10}{bounds(measure, found['ci95']):>20}{normal:>7}"


def _kept(change: Row) -> str:
    share, interval = "-", ""
    if change["share_kept"] is not None:
        share = f"{change['share_kept']:.0%}"
        interval = "[{:.0%}, {:.0%}]".format(*change["share_ci95"])
    verdict = "" if change["difference"] is None else change["difference"]["verdict"]
    return f"{share:>8}{interval:>17}  {verdict}"


def _left_out_told(left_out: LeftOut) -> Iterator[str]:
    for name, tasks in left_out.items():
        count = len(tasks)
        yield f"{name}: not played of {count} task{'s' * (count > 1)}"
        by_reason: dict[str, list[str]] = {}
        for task, why in tasks.items():
            by_reason.setdefault(why, []).append(task)
        for why, named in by_reason.items():
            yield f"  {why}: {', '.join(named)}"


def as_markdown(rows: Sequence[Row]) -> Iterator[str]:
    """A table for a document: a row per task and change."""
    yield "| task | perturbation | strength | score | normalised | share kept | change |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        if row["base"] is not None:
            yield _markdown(row, row["base"], AS_TRAINED, "", "", "")
        for one in row["changes"]:
            share = verdict = ""
            if one["share_kept"] is not None:
                share = "{:.0%} [{:.0%}, {:.0%}]".format(one["share_kept"], *one["share_ci95"])
            if one["difference"] is not None:
                verdict = one["difference"]["verdict"]
            yield _markdown(row, one, one["perturbation"], one["strength"], share, verdict)


def _markdown(row: Row, found: Row, name: str, strength: str, share: str, verdict: str) -> str:
    measure = row["measure"]
    score = f"{number(measure, found['value'])} {bounds(measure, found['ci95'])}"
    normal = "" if found["normalized"] is None else f"{found['normalized']:.2f}"
    cells = [f"`{row['task']}`", name, strength, score, normal, share, verdict]
    return f"| {' | '.join(cells)} |"
