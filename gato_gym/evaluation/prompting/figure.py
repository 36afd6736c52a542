"""The scores with three prompts as a picture: a line per task, a mark per prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gato_gym.evaluation.chart_files import LIGHT, Ink
from gato_gym.evaluation.prompting.conditions import CONDITIONS, Condition

# Told apart without colours too, by their marks.
STYLES: Mapping[Condition, tuple[str, str]] = {
    "own": ("blue", "o"),
    "none": ("yellow", "s"),
    "wrong": ("bad", "D"),
}
_APART = 0.2
"""Of the marks of a task, in distances between two tasks."""
_DPI = 150


def draw_prompts(rows: Sequence[Mapping[str, Any]], ink: Ink = LIGHT) -> Figure:
    """Normalised scores with their 95 % intervals; tasks without one are counted below.

    Args:
        rows: see `table.prompt_row`.
        ink: colours by role.

    Raises:
        ValueError: no task has a normalised score.
    """
    shown = [row for row in rows if any(_normal(row, name) for name in CONDITIONS)]
    if not shown:
        raise ValueError("no task has a normalised score, so there is nothing to draw")
    figure = Figure(
        figsize=(7.2, 1.3 + 0.46 * len(shown)),
        dpi=_DPI,
        layout="constrained",
        facecolor=ink["ground"],
    )
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=ink["ground"])
    for level, style in ((0, ":"), (1, "--")):
        axes.axvline(level, color=ink["dim"], ls=style, lw=1, zorder=0)
    for place, row in enumerate(shown):
        if place % 2:
            axes.axhspan(place - 0.5, place + 0.5, color=ink["soft"], zorder=-1, lw=0)
        for name in CONDITIONS:
            _mark(axes, place, row, name, ink)
    axes.set_yticks(range(len(shown)), [row["task"] for row in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    told = "score (0 random play, 1 expert)"
    left_out = len(rows) - len(shown)
    if left_out:
        told += f"; left out: {left_out} without an expert's score"
    axes.set_xlabel(told, size=8, color=ink["ink"])
    axes.tick_params(labelsize=8, colors=ink["ink"], length=3)
    axes.tick_params(axis="y", length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(ink["line"])
    figure.legend(
        handles=[
            Line2D([], [], color=ink[role], marker=mark, ls="", ms=5, label=CONDITIONS[name])
            for name, (role, mark) in STYLES.items()
        ],
        loc="outside upper left",
        ncols=3,
        fontsize=8,
        frameon=False,
        labelcolor=ink["ink"],
    )
    return figure


def _normal(row: Mapping[str, Any], name: Condition) -> list[float] | None:
    """Lower bound, score and upper bound; None where there is none."""
    found = row["conditions"].get(name)
    if found is None or found["normalized"] is None:
        return None
    low, high = found["normalized_ci95"]
    return [low, found["normalized"], high]


def _mark(axes: Any, place: int, row: Mapping[str, Any], name: Condition, ink: Ink) -> None:
    found = _normal(row, name)
    if found is None:
        return
    role, mark = STYLES[name]
    y = place + _APART * (list(CONDITIONS).index(name) - 1)
    low, value, high = found
    axes.plot([low, high], [y, y], color=ink[role], lw=1.4, alpha=0.6, gid=f"{name} ci95")
    axes.plot(value, y, mark, color=ink[role], ms=5, zorder=3, gid=f"{name} mean")
