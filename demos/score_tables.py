"""What the bundled agent reaches, as tables for the README; written by tables.py."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gato_gym import envs

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SCORECARD = ROOT / "gato_gym" / "pretrained" / "scorecard.json"


def table(*names: tuple[str, ...]) -> list[str]:
    """The head of a table."""
    columns = [name for group in names for name in group]
    return [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]


def cells(*values: Any) -> list[str]:
    """One row."""
    return [f"| {' | '.join(map(str, values))} |"]


Card = Sequence[Mapping[str, Any]]


def scorecard() -> Card:
    """What `gato-gym eval --all --controls --out` wrote of the bundled agent."""
    found: Card = json.loads(SCORECARD.read_text())["tasks"]
    return found


def domain_scores() -> list[str]:
    """One row per domain, and one of all tasks; words among them."""
    found = json.loads(SCORECARD.read_text())
    lines = table(
        ("domain", "tasks", "at 50 % of the expert", "at 80 %"),
        ("median", "interquartile mean [95 % interval]"),
    )
    rows = {f"`{domain}`": row for domain, row in found["domains"].items()}
    for name, row in (rows | {"**all**": found["overall"]}).items():
        if not row["count"]:
            continue
        low, high = row["iqm_ci95"]
        lines += cells(
            *(name, row["count"], row["above"]["50"], row["above"]["80"]),
            f"{row['median']:.2f}",
            f"{row['iqm']:.2f} [{low:.2f}, {high:.2f}]",
        )
    theirs = found["published"]["headlines"]
    whole = {"tasks": found["overall"]["count"]} | found["overall"]
    ours, gato, jat = map(_at_half, (whole, theirs["gato"], theirs["jat"]))
    said = (
        f"Half of the expert's score or more: {ours} tasks. Gato, of its own: {gato}. JAT: {jat}."
    )
    return [*lines, "", said]


def beside() -> list[str]:
    """Ours beside what was published of Gato and JAT: tasks, and means on the same ones."""
    found = json.loads(SCORECARD.read_text())
    theirs = found["published"]["headlines"]
    lines = table(
        ("domain", "at 50 % of the expert", "Gato", "JAT"),
        ("mean on JAT's tasks of ours", "JAT's"),
    )
    for name, row in found["domains"].items():
        gato, same = theirs["gato"]["domains"].get(name), row["published"].get("jat")
        if gato or same:
            lines += _beside(f"`{name}`", row, gato, None, same)
    whole = found["overall"]
    same = whole["published"].get("jat")
    return lines + _beside("**all**", whole, theirs["gato"], theirs["jat"], same)


def _beside(
    name: str,
    row: Mapping[str, Any],
    gato: Mapping[str, Any] | None,
    jat: Mapping[str, Any] | None,
    same: Mapping[str, Any] | None,
) -> list[str]:
    means = [f"{same['ours']:.2f} ({same['count']})", f"{same['mean']:.2f}"] if same else ["", ""]
    return cells(name, *map(_at_half, ({"tasks": row["count"]} | row, gato, jat)), *means)


def _at_half(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    reached, tasks = found["above"]["50"], found["tasks"]
    more = "over " if found.get("at_least") else ""
    return f"{more}{reached} of {tasks} ({reached / tasks:.0%})"


def scores(card: Card | None = None) -> list[str]:
    """Control, one row per task."""
    lines = table(
        ("task", "episodes", "return [95 % interval]", "random", "expert"),
        ("expert-normalised", "success"),
    )
    for score in scorecard() if card is None else card:
        if "accuracy" in score:
            continue
        low, high = score["ci95"]
        success = score.get("success_rate")
        lines += cells(
            f"`{score['task']}`",
            score["episodes"],
            f"{score['mean_return']:.1f} [{low:.1f}, {high:.1f}]",
            *(_number(score[name], 1) for name in ("random", "expert")),
            _number(score["normalized"], 2),
            "" if success is None else f"{success:.0%}",
        )
    return lines


def words(card: Card | None = None) -> list[str]:
    """Captions, answers and replies, one row per task."""
    lines = table(
        ("task", "right [95 % interval]", "by source", "held-out combinations"),
        ("without what it needs", "parrot", "n-grams", "perplexity", "BLEU"),
    )
    for score in scorecard() if card is None else card:
        if "accuracy" not in score:
            continue
        baselines, low, high = score.get("baselines", {}), *score["accuracy_ci95"]
        parrots = [v["accuracy"] for name, v in baselines.items() if name != "ngram"]
        grams = baselines.get("ngram")
        lines += cells(
            f"`{score['task']}`",
            f"{score['accuracy']:.0%} [{low:.0%}, {high:.0%}]",
            ", ".join(f"{name} {part['accuracy']:.0%}" for name, part in score["sources"].items()),
            _percent(score.get("held_out")),
            ", ".join(
                f"{v['accuracy']:.0%} ({name.replace('_', ' ')})"
                for name, v in score.get("controls", {}).items()
            ),
            ", ".join(f"{value:.0%}" for value in parrots),
            f"{grams['accuracy']:.0%}, perplexity {grams['perplexity']:.2f}" if grams else "",
            f"{score['perplexity']:.2f}" if "perplexity" in score else "",
            f"{score['text_metrics']['bleu']:.0f}" if score.get("text_metrics") else "",
        )
    return lines


def _instructed(card: Card) -> dict[str, tuple[float, float]]:
    """Task -> success with its own instruction, and with another episode's."""
    controls = {row["task"]: row.get("controls", {}).get("shuffled_text") for row in card}
    return {
        row["task"]: (row["success_rate"], controls[row["task"]]["success_rate"])
        for row in card
        if controls[row["task"]] is not None
    }


def instructions(card: Card | None = None) -> list[str]:
    """Success with the right instruction beside success with another episode's."""
    lines = table(("task", "right instruction", "another episode's", "ratio"))
    for task, both in _instructed(scorecard() if card is None else card).items():
        lines += cells(f"`{task}`", *_compared(*both))
    return lines


def domain_instructions() -> list[str]:
    """The same, a mean for each domain."""
    card = json.loads(SCORECARD.read_text())
    found = _instructed(card["tasks"])
    domains: dict[str, list[tuple[float, float]]] = {}
    for task, both in found.items():
        domains.setdefault(envs.task_spec(task).domain, []).append(both)
    lines = table(
        ("domain", "tasks with instructions", "right instruction", "another episode's", "ratio")
    )
    for domain, rows in sorted(domains.items()):
        right, wrong = (statistics.fmean(part) for part in zip(*rows, strict=True))
        lines += cells(f"`{domain}`", len(rows), *_compared(right, wrong))
    return lines


def _compared(right: float, wrong: float) -> tuple[str, str, str]:
    ratio = f"{right / wrong:.1f}" if wrong else "" if not right else "none succeeds with it"
    return f"{right:.0%}", f"{wrong:.0%}", ratio


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _percent(part: Mapping[str, Any] | None) -> str:
    return "" if part is None else f"{part['accuracy']:.0%}"
