"""What the bundled agent reaches, as tables for the README; written by tables.py."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    return lines


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


def instructions(card: Card | None = None) -> list[str]:
    """Success with the right instruction beside success with another episode's."""
    lines = table(("task", "right instruction", "another episode's", "ratio"))
    for score in scorecard() if card is None else card:
        other = score.get("controls", {}).get("shuffled_text")
        if other is None:
            continue
        right, wrong = score["success_rate"], other["success_rate"]
        ratio = f"{right / wrong:.1f}" if wrong else "" if not right else "none succeeds with it"
        lines += cells(f"`{score['task']}`", f"{right:.0%}", f"{wrong:.0%}", ratio)
    return lines


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _percent(part: Mapping[str, Any] | None) -> str:
    return "" if part is None else f"{part['accuracy']:.0%}"
