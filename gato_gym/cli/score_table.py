"""Scores for people: one line per task, and below them what stands beside the score of a text.

Rows are those of `gato-gym eval --json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

_WIDE = 28
PUBLISHED = "JAT"
"""The one of the published agents that has a score for many tasks."""


def print_table(rows: Sequence[Row]) -> None:
    """One line per score; details where there are some."""
    wide = max(_WIDE, *(len(one["task"]) for one in rows))
    print(f"{'task':{wide}}{'episodes':>9}{'return':>10}{'95 % interval':>20}", end="")
    print(f"{'expert':>9}{'normalised':>12}{'success':>9}{'accuracy':>10}{'steps/s':>9}")
    for one in rows:
        interval = f"[{one['ci95'][0]:.1f}, {one['ci95'][1]:.1f}]"
        expert = "-" if one["expert"] is None else f"{one['expert']:.1f}"
        print(f"{one['task']:{wide}}{one['episodes']:9}{one['mean_return']:10.1f}", end="")
        print(f"{interval:>20}{expert:>9}{_score(one['normalized']):>12}", end="")
        print(f"{_percent(one['success_rate']):>9}{_percent(one.get('accuracy')):>10}", end="")
        print(f"{one['steps_per_second']:9.0f}")
    _print_details(rows)


def print_domains(result: Mapping[str, Any]) -> None:
    """A block per domain and a line over all tasks, in 100 columns; then what was left out.

    Args:
        result: of `gato-gym eval --all`.
    """
    settings = result["settings"]
    first, many = settings["seed"], settings["episodes"]
    print(f"{result['checkpoint']}: {many} episodes per task, seeds {first} to {first + many - 1}")
    for domain, found in result["domains"].items():
        rows = [one for one in result["tasks"] if one["domain"] == domain]
        print(f"\n{domain:{_WIDE}}{'return':>11}{'95 % interval':>21}{'expert':>10}", end="")
        print(f"{'normalised':>12}{'right':>8}{PUBLISHED:>8}")
        for one in rows:
            _print_row(one)
        _print_figures(found)
        for name, theirs in found["published"].items():
            print(
                f"  {name.upper()} on the same {_tasks(theirs['count'])} {theirs['mean']:.2f}, "
                f"here {theirs['ours']:.2f}"
            )
    print(f"\nall {_tasks(len(result['tasks']))}")
    _print_figures(result["overall"])
    for title, named in (("not averaged", "unscored"), ("skipped", "skipped")):
        for task, why in result[named].items():
            print(f"  {title}: {task}: {why}")
    _print_details(result["tasks"])


def _print_row(row: Row) -> None:
    right = row.get("accuracy", row["success_rate"])
    theirs = row["published"].get(PUBLISHED.lower(), {}).get("normalized")
    low, high = row["ci95"]
    name = f"  {row['task']}"
    # A long name has a line for itself: names are there to be copied.
    print(f"{name}\n{'':{_WIDE}}" if len(name) >= _WIDE else f"{name:{_WIDE}}", end="")
    print(f"{_number(row['mean_return']):>11}{f'[{_number(low)}, {_number(high)}]':>21}", end="")
    expert = "-" if row["expert"] is None else _number(row["expert"])
    print(f"{expert:>10}{_score(row['normalized']):>12}", end="")
    print(f"{_percent(right):>8}{_score(theirs):>8}")


def _print_figures(found: Mapping[str, Any]) -> None:
    if not found["count"]:
        print("  no task has a normalised score")
        return
    count, above = found["count"], found["above"]
    reach = ", ".join(f"{above[str(x)]} at {x} %" for x in (50, 80, 100))
    print(
        f"  mean {found['mean']:.2f} {_bounds(found['ci95'])}, IQM {found['iqm']:.2f} "
        f"{_bounds(found['iqm_ci95'])}, median {found['median']:.2f}"
    )
    print(f"  of {_tasks(count)}: {reach} of the expert or more")


def _print_details(rows: Sequence[Row]) -> None:
    for one in rows:
        lines = details(one)
        if lines:
            print("\n".join(["", one["task"], *(f"  {line}" for line in lines)]))


def details(row: Row) -> list[str]:
    """Lines about the words of a score, and about what was measured beside it."""
    lines = []
    if "sources" in row:
        whole = {key: row[key] for key in ("accuracy", "accuracy_ci95", "exact")}
        whole["replies"] = round(row["episodes"] * row["mean_length"])  # one in each step
        parts = {"all": whole} | row["sources"]
        if row["held_out"] is not None:
            parts["held-out combinations"] = row["held_out"]
        head = f"{'':{_WIDE}}{'accuracy':>9}{'95 % interval':>20}{'exact':>8}{'replies':>9}"
        lines.append(head)
        for name, part in parts.items():
            line = _line(name, part["accuracy"], part["accuracy_ci95"], part["exact"])
            lines.append(f"{line}{part['replies']:>9}")
    lines += [_control(name, found) for name, found in row.get("controls", {}).items()]
    for name, found in row.get("baselines", {}).items():
        lines.append(_line(_named("baseline", name), found["accuracy"], found.get("accuracy_ci95")))
        if "perplexity" in found:
            lines[-1] += f"   perplexity {found['perplexity']:.2f}"
    if "perplexity" in row:
        lines.append(f"perplexity of the expert's words: {row['perplexity']:.2f}")
    if "sources" in row:
        metrics = row["text_metrics"]
        lines.append(
            row["note"]
            if metrics is None
            else f"BLEU {metrics['bleu']:.1f}, chrF {metrics['chrf']:.1f}, "
            f"NIST {metrics['nist']:.2f} of {metrics['nist_best']:.2f}"
        )
    return lines


def _control(name: str, found: Mapping[str, Any]) -> str:
    if "accuracy" in found:
        return _line(
            _named("control", name), found["accuracy"], found["accuracy_ci95"], found["exact"]
        )
    low, high = found["ci95"]
    text = f"{_named('control', name)}: return {found['mean_return']:.1f} [{low:.1f}, {high:.1f}]"
    if found["success_rate"] is not None:
        text += f", success {_percent(found['success_rate'])}"
    if found["ratio"] is not None:
        text += f"; with the right text {found['ratio']:.1f} times that"
    return text


def _line(
    name: str, accuracy: float, interval: Sequence[float] | None = None, exact: float | None = None
) -> str:
    bounds = "" if interval is None else f"[{interval[0]:.1%}, {interval[1]:.1%}]"
    line = f"{name:{_WIDE}}{accuracy:>9.1%}{bounds:>20}"
    return line if exact is None else f"{line}{exact:>8.0%}"


def _named(what: str, name: str) -> str:
    return f"{what}: {name.replace('_', ' ')}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _score(normalized: float | None) -> str:
    return "-" if normalized is None else f"{normalized:.2f}"


def _number(value: float) -> str:
    """A return in at most nine letters, as far as they reach."""
    return f"{value:.1f}" if abs(value) < 10_000 else f"{value:.0f}"


def _bounds(interval: Sequence[float]) -> str:
    return f"[{interval[0]:.2f}, {interval[1]:.2f}]"


def _tasks(count: int) -> str:
    return f"{count} task" if count == 1 else f"{count} tasks"
