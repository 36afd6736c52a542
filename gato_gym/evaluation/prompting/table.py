"""What the prompts made of each task's score: rows for JSON, for people and for a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gato_gym.envs.registry import domain_of
from gato_gym.evaluation.measures import ACCURACY, bounds, measure_of, measured, number
from gato_gym.evaluation.pairs import difference
from gato_gym.evaluation.prompting.conditions import CONDITIONS, Condition
from gato_gym.evaluation.scores import Score

PROMPT = "prompt"
"""Key of `Score.beside`: the task that the prompt showed, None without one."""

Row = Mapping[str, Any]


def prompt_row(
    task: str, scores: Mapping[Condition, Score], missing: Mapping[Condition, str]
) -> dict[str, Any]:
    """One task, JSON-ready.

    Args:
        task: its id.
        scores: at least one, of the same seeds.
        missing: why a condition has none.

    Returns:
        `conditions`: per condition `value` and `ci95` of what `measure` names, `normalized` and its
        interval, `prompt`: the task that it showed, `returns`; `differences` from the own prompt
        where there is one, see `pairs.Difference`; `missing`.
    """
    one = next(iter(scores.values()))
    own = scores.get("own")
    return {
        "task": task,
        "domain": domain_of(task),
        "measure": measure_of(one),
        "episodes": one.episodes,
        "seed": one.seed,
        "random": one.random,
        "expert": one.expert,
        "conditions": {
            name: {"prompt": score.beside[PROMPT]} | measured(score)
            for name, score in scores.items()
        },
        "differences": {
            name: difference(score, own).to_json()
            for name, score in scores.items()
            if own is not None and name != "own"
        },
        "missing": dict(missing),
    }


# For people


def as_text(rows: Sequence[Row]) -> Iterator[str]:
    """Three lines per task, in 100 columns."""
    for row in rows:
        what = "accuracy" if row["measure"] == ACCURACY else "return"
        yield f"{row['task']} ({row['episodes']} episodes)"
        yield (
            f"  {'prompt':34}{what:>9}{'95 % interval':>18}{'norm.':>7}"
            f"{'minus own':>10}{'95 % interval':>18}"
        )
        for name in CONDITIONS:
            yield f"  {_line(row, name)}"
        yield ""


def _line(row: Row, name: Condition) -> str:
    measure, found = row["measure"], row["conditions"].get(name)
    if found is None:
        return f"{name:34}{'-':>9}  {row['missing'][name]}"
    shown = f"wrong: {found['prompt']}" if name == "wrong" else name
    # A long name has a line for itself: names are there to be copied.
    head = f"{shown:34}" if len(shown) < 34 else f"{shown}\n  {'':34}"
    normal = "-" if found["normalized"] is None else f"{found['normalized']:.2f}"
    told = f"{head}{number(measure, found['value']):>9}{bounds(measure, found['ci95']):>18}"
    told += f"{normal:>7}"
    change = row["differences"].get(name)
    if change is None:
        return told
    told += f"{number(measure, change['mean'], sign=True):>10}"
    return f"{told}{bounds(measure, change['ci95'], sign=True):>18}  {change['verdict']}"


def as_markdown(rows: Sequence[Row]) -> Iterator[str]:
    """A table for a document: a row per task."""
    yield "| task | own | none | wrong | wrong is of | none minus own | wrong minus own |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        wrong = row["conditions"].get("wrong")
        cells = [f"`{row['task']}`", *(_cell(row, name) for name in CONDITIONS)]
        cells.append("" if wrong is None else f"`{wrong['prompt']}`")
        cells += [_change(row, name) for name in ("none", "wrong")]
        yield f"| {' | '.join(cells)} |"


def _cell(row: Row, name: Condition) -> str:
    measure, found = row["measure"], row["conditions"].get(name)
    if found is None:
        return "missing"
    return f"{number(measure, found['value'])} {bounds(measure, found['ci95'])}"


def _change(row: Row, name: str) -> str:
    measure, change = row["measure"], row["differences"].get(name)
    if change is None:
        return ""
    told = number(measure, change["mean"], sign=True)
    return f"{told} {bounds(measure, change['ci95'], sign=True)}, {change['verdict']}"
