"""What is left of each score as a picture: a row per task, a column per perturbation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gato_gym.evaluation.chart_files import LIGHT, Ink
from gato_gym.evaluation.robustness.perturbations import PERTURBATIONS

_CELL = (0.52, 0.34)
"""Inches of a cell: width and height."""
_NAMES, _HEAD, _FOOT, _MARGIN = 2.5, 0.6, 0.35, 0.3
"""Inches of the tasks' names, of what stands above and below the cells, and right of them."""
_WIDEST_NOTE = 5.0  # inches of the line below
_GAP = 0.25
"""Between two perturbations, in cells."""
_MAP = "cividis"  # even to the eye, with every common colour vision
_DPI = 150

Column = tuple[str, str]


def draw_robustness(rows: Sequence[Mapping[str, Any]], ink: Ink = LIGHT) -> Figure:
    """Shares kept, 0 of random play to 1 of the task as it was trained.

    Brackets are around shares whose score is not surely lower. A dash is for what was not played,
    "n/a" for a share that is not defined, see `pairs.share_kept`.

    Args:
        rows: see `table.robustness_row`.
        ink: colours by role.

    Raises:
        ValueError: nothing was changed.
    """
    columns = _columns(rows)
    if not columns:
        raise ValueError("no perturbation was played, so there is nothing to draw")
    kinds = {name: list(group) for name, group in groupby(columns, key=lambda one: one[0])}
    places = {
        column: index + _GAP * list(kinds).index(column[0]) for index, column in enumerate(columns)
    }
    wide = max(places.values()) + 1
    size = (
        max(_NAMES + _CELL[0] * wide + _MARGIN, _WIDEST_NOTE),
        _HEAD + _CELL[1] * len(rows) + _FOOT,
    )
    figure = Figure(figsize=size, dpi=_DPI, facecolor=ink["ground"])
    FigureCanvasAgg(figure)
    axes = figure.add_axes(
        (
            _NAMES / size[0],
            _FOOT / size[1],
            _CELL[0] * wide / size[0],
            _CELL[1] * len(rows) / size[1],
        )
    )
    axes.set(xlim=(0, wide), ylim=(len(rows), 0), facecolor=ink["ground"])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xticks(
        [places[column] + 0.5 for column in columns], [strength for _, strength in columns]
    )
    axes.set_yticks([index + 0.5 for index in range(len(rows))], [row["task"] for row in rows])
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=7, colors=ink["ink"], pad=2)
    for name, group in kinds.items():
        middle = (places[group[0]] + places[group[-1]] + 1) / 2
        axes.annotate(
            name.replace("-", "-\n"),
            (middle, 0),
            xytext=(0, 13),
            textcoords="offset points",
            size=6.5,
            weight="bold",
            color=ink["ink"],
            ha="center",
            annotation_clip=False,
        )
    for index, row in enumerate(rows):
        found = {(one["perturbation"], one["strength"]): one for one in row["changes"]}
        for column in columns:
            _cell(axes, places[column], index, found.get(column), ink)
    figure.text(
        0.1 / size[0],
        0.12 / size[1],
        "per cent of the score that is left (0 random play); in brackets: not surely lower; "
        "\u2013: not played",
        size=6.5,
        color=ink["dim"],
        va="center",
    )
    return figure


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """All that was played anywhere, in the order of `PERTURBATIONS`."""
    seen = {(one["perturbation"], one["strength"]) for row in rows for one in row["changes"]}
    order = list(PERTURBATIONS)
    return sorted(seen, key=lambda column: (order.index(column[0]), *_by_size(column[1])))


def _by_size(strength: str) -> tuple[float, str]:
    try:
        return float(strength), strength
    except ValueError:
        return 0.0, strength


def _cell(axes: Any, x: float, y: int, found: Mapping[str, Any] | None, ink: Ink) -> None:
    if found is None:
        axes.text(x + 0.5, y + 0.5, "\u2013", size=7, color=ink["dim"], ha="center", va="center")
        return
    share = found["share_kept"]
    ground, text, told = ink["soft"], ink["dim"], "n/a"
    if share is not None:
        shade = min(max(share, 0.0), 1.0)
        ground = matplotlib.colormaps[_MAP](shade)
        text = "#ffffff" if shade < 0.55 else "#101010"
        told = f"{100 * share:.0f}"
        if found["difference"]["verdict"] != "lower":
            told = f"({told})"
    axes.add_patch(Rectangle((x + 0.03, y + 0.05), 0.94, 0.9, color=ground, lw=0))
    axes.text(x + 0.5, y + 0.52, told, size=7, color=text, ha="center", va="center")
