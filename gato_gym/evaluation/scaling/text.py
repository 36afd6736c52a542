"""The table of a scaling study for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_WIDE = 25

Row = Mapping[str, Any]


def size_label(row: Row) -> str:
    """A size with its parameters, as far as they are known."""
    if row["parameters"] is None:
        return str(row["size"])
    return f"{row['size']} ({short_count(row['parameters'])})"


def short_count(value: float) -> str:
    """Three digits of a number of parameters or tokens."""
    for unit, letter in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if value >= 0.9995 * unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}"


def as_text(table: Row) -> str:
    """The table as lines of text."""
    return "\n".join(_lines(table))


def _lines(table: Row) -> Iterator[str]:
    sizes = table["sizes"]
    head = "".join(f"{size_label(one):>{_WIDE}}" for one in sizes)
    points = {(point["size"], point["tokens"]): point for point in table["points"]}
    tokens = sorted({point["tokens"] for point in table["points"]})
    yield f"{'all tasks: tokens':>20}{head}"
    for at in tokens:
        cells = "".join(f"{_told(points[one['size'], at]):>{_WIDE}}" for one in sizes)
        yield f"{at:>20,}{cells}"
    gains = {(gain["size"], gain["tokens"]): gain for gain in table["gains"]}
    if gains:
        yield "more than the size before"
        for at in tokens:
            cells = "".join(f"{_told(gains.get((one['size'], at))):>{_WIDE}}" for one in sizes)
            yield f"{at:>20,}{cells}"
    for task, about in table["tasks"].items():
        yield f"{task} ({about['domain']})"
        for at in tokens:
            rows = (points[one["size"], at]["tasks"].get(task) for one in sizes)
            yield f"{at:>20,}" + "".join(f"{_told(row):>{_WIDE}}" for row in rows)
    for label, field, form in (
        ("tokens/s", "tokens_per_second", ",.0f"),
        ("seconds of training", "training_seconds", ",.0f"),
        ("loss", "loss", ".3f"),
    ):
        told = [", ".join(f"{run[field]:{form}}" for run in one["runs"].values()) for one in sizes]
        yield f"{label:>20}" + "".join(f"{cell or '-':>{_WIDE}}" for cell in told)
    yield table["method"]
    yield from _absent(table)


def _absent(table: Row) -> Iterator[str]:
    if table["skipped"]:
        yield f"left out, {len(table['skipped'])}:"
        yield from (f"  {task}: {why}" for task, why in table["skipped"].items())
    if table["missing"]:
        yield f"missing, {len(table['missing'])} units:"
        yield from (f"  {key}" for key in table["missing"])


def _told(row: Row | None) -> str:
    if row is None:
        return "-"
    value = row.get("difference", row.get("mean"))
    if value is None:
        return f"{len(row['missing'])} tasks missing"
    return f"{value:.2f} [{row['ci95'][0]:.2f}, {row['ci95'][1]:.2f}]"


def as_markdown(table: Row) -> list[str]:
    """For a document: a row per number of tokens, a column per size, and one of what size gave."""
    sizes = table["sizes"]
    points = {(point["size"], point["tokens"]): point for point in table["points"]}
    gains = {(gain["size"], gain["tokens"]): gain for gain in table["gains"]}
    head = ["tokens", *(size_label(one) for one in sizes)]
    head += [f"{one['size']} more than the size before" for one in sizes[1:]]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for at in sorted({point["tokens"] for point in table["points"]}):
        cells = [f"{at:,}", *(_told(points[one["size"], at]) for one in sizes)]
        cells += [_told(gains.get((one["size"], at))) for one in sizes[1:]]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
