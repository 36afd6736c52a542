"""Scores for people: one line per task, and below them what stands beside the score of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gato_gym.evaluation.scores import Score

_WIDE = 28


def print_table(scores: Sequence[Score]) -> None:
    """One line per score; details where there are some."""
    wide = max(_WIDE, *(len(one.task) for one in scores))
    print(f"{'task':{wide}}{'episodes':>9}{'return':>10}{'95 % interval':>20}", end="")
    print(f"{'expert':>9}{'normalised':>12}{'success':>9}{'accuracy':>10}{'steps/s':>9}")
    for one in scores:
        interval = f"[{one.ci95[0]:.1f}, {one.ci95[1]:.1f}]"
        expert = "-" if one.expert is None else f"{one.expert:.1f}"
        normalized = "-" if one.normalized is None else f"{one.normalized:.2f}"
        print(f"{one.task:{wide}}{one.episodes:9}{one.mean_return:10.1f}{interval:>20}", end="")
        print(f"{expert:>9}{normalized:>12}{_percent(one.success_rate):>9}", end="")
        print(f"{_percent(one.accuracy):>10}{one.steps_per_second:9.0f}")
    for one in scores:
        lines = details(one)
        if lines:
            print("\n".join(["", one.task, *(f"  {line}" for line in lines)]))


def details(score: Score) -> list[str]:
    """Lines about the words of a score, and about what was measured beside it."""
    lines = []
    if score.language is not None:
        parts = {"all": score.language.total} | score.language.sources
        if score.language.held_out is not None:
            parts["held-out combinations"] = score.language.held_out
        head = f"{'':{_WIDE}}{'accuracy':>9}{'95 % interval':>20}{'exact':>8}{'replies':>9}"
        lines.append(head)
        for name, part in parts.items():
            line = _line(name, part.accuracy, part.accuracy_ci95, part.exact)
            lines.append(f"{line}{part.replies:>9}")
    lines += [_control(name, found) for name, found in score.beside.get("controls", {}).items()]
    for name, found in score.beside.get("baselines", {}).items():
        lines.append(_line(_named("baseline", name), found["accuracy"], found.get("accuracy_ci95")))
        if "perplexity" in found:
            lines[-1] += f"   perplexity {found['perplexity']:.2f}"
    if "perplexity" in score.beside:
        lines.append(f"perplexity of the expert's words: {score.beside['perplexity']:.2f}")
    if score.language is not None:
        metrics = score.language.metrics
        lines.append(
            score.language.note
            if metrics is None
            else f"BLEU {metrics.bleu:.1f}, chrF {metrics.chrf:.1f}, "
            f"NIST {metrics.nist:.2f} of {metrics.nist_best:.2f}"
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
