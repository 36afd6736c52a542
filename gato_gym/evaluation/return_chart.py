"""A picture of how the returns of every task of a corpus are distributed, for 1 task or hundreds.

One strip per task, on the task's own scale: a histogram of its returns, where random play and the
expert of the catalogue stand, and the numbers. Strips are grouped by domain in up to three columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

BINS = 40
DPI = 120
COLUMN_INCHES = 6.4
LABEL_LENGTH = 40
_NAME, _STRIP = 0.41, 0.33  # shares of a column's width; the rest are numbers
_BAR, _RANDOM, _EXPERT, _FLOOR = "#7aa6c2", "#b3402e", "#1a7f4b", "#d8d8d8"


@dataclass(frozen=True)
class Strip:
    """One task: its returns, and the catalogue's scores where there are any."""

    task: str
    domain: str
    returns: Sequence[float]
    random: float | None = None
    expert: float | None = None


def draw_returns(strips: Sequence[Strip], title: str) -> Figure:
    """The picture; at least one strip."""
    domains: dict[str, list[Strip]] = {}
    for strip in sorted(strips, key=lambda strip: (strip.domain, strip.task)):
        domains.setdefault(strip.domain, []).append(strip)
    columns = _columns(domains, 1 if len(strips) <= 36 else 2 if len(strips) <= 90 else 3)
    rows = max(len(column) for column in columns)
    row_inches = 0.21 if rows > 30 else 0.26 if rows > 6 else 0.4
    size = (COLUMN_INCHES * len(columns), rows * row_inches + 0.75)
    figure = Figure(figsize=size, dpi=DPI)
    FigureCanvasAgg(figure)
    head = 0.55 / size[1]
    figure.text(0.012 / len(columns), 1 - 0.2 / size[1], title, size=10, weight="bold", va="center")
    note = "each strip has its task's own scale; mean \u00b1 standard deviation"
    figure.text(0.012 / len(columns), 1 - 0.4 / size[1], note, size=7, va="center", color="#555")
    figure.legend(
        handles=[
            Patch(color=_BAR, label="episodes"),
            Line2D([], [], color=_RANDOM, lw=1.6, label="random"),
            Line2D([], [], color=_EXPERT, lw=1.6, label="expert"),
        ],
        loc="upper right",
        bbox_to_anchor=(0.995, 1 - 0.02 / size[1]),
        ncols=3,
        fontsize=8,
        frameon=False,
    )
    for number, column in enumerate(columns):
        axes = figure.add_axes(
            (number / len(columns), 0.12 / size[1], 1 / len(columns), 1 - head - 0.12 / size[1])
        )
        axes.set(xlim=(0, 1), ylim=(rows, 0))
        axes.axis("off")
        for row, item in enumerate(column):
            if isinstance(item, str):
                axes.text(0.012, row + 0.75, item, size=8, weight="bold", va="bottom")
                axes.plot([0.012, 0.985], [row + 0.98] * 2, color=_FLOOR, lw=0.6)
            else:
                _strip(axes, row, item)
    return figure


def _columns(domains: Mapping[str, Sequence[Strip]], count: int) -> list[list[str | Strip]]:
    """Domain names and strips, cut into columns of about equal length.

    A domain that is cut has its name again; its name never stands alone at the end of a column.
    """
    total = sum(len(group) + 1 for group in domains.values())
    height = -(-total // count)
    columns: list[list[str | Strip]] = [[]]
    for domain, group in domains.items():
        if len(columns) < count and len(columns[-1]) > height - 2:
            columns.append([])
        columns[-1].append(domain)
        for strip in group:
            if len(columns) < count and len(columns[-1]) >= height:
                columns.append([f"{domain} (continued)"])
            columns[-1].append(strip)
    return columns


def _strip(axes: Any, row: int, strip: Strip) -> None:
    returns = np.asarray(strip.returns, np.float64)
    marks = [mark for mark in (strip.random, strip.expert) if mark is not None]
    low, high = min([*returns, *marks]), max([*returns, *marks])
    if low == high:  # one value: in the middle of its strip
        low, high = low - 1, high + 1
    left, width = _NAME, _STRIP

    def place(value: Any) -> Any:
        return left + width * (value - low) / (high - low)

    counts, edges = np.histogram(returns, BINS, (low, high))
    base, top = row + 0.88, 0.72
    axes.plot([left, left + width], [base, base], color=_FLOOR, lw=0.7, zorder=1)
    axes.stairs(
        base - top * counts / counts.max(), place(edges), baseline=base, fill=True, color=_BAR
    )
    for mark, color in ((strip.random, _RANDOM), (strip.expert, _EXPERT)):
        if mark is not None:
            axes.plot([place(mark)] * 2, [row + 0.1, base], color=color, lw=1.6, zorder=3)
    axes.text(_NAME - 0.012, row + 0.55, _short(strip.task), size=7, ha="right", va="center")
    mean, std = returns.mean(), returns.std()
    std = 0.0 if std < 1e-9 * max(1.0, abs(mean)) else std  # what adding up equal numbers left
    text = f"{_number(mean)} \u00b1 {_number(std)}"
    axes.text(left + width + 0.02, row + 0.55, text, size=7, va="center")
    axes.text(
        0.985,
        row + 0.55,
        f"n = {_number(len(returns))}",
        size=7,
        ha="right",
        va="center",
        color="#555",
    )


def _short(task: str) -> str:
    if len(task) <= LABEL_LENGTH:
        return task
    half = (LABEL_LENGTH - 1) // 2
    return f"{task[:half]}\u2026{task[-half:]}"


def _number(value: float) -> str:
    """Three digits of a number, in at most six letters."""
    if 1000 <= abs(value) < 9999.5:
        return f"{value:,.0f}"
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}"


def save_returns(strips: Sequence[Strip], title: str, path: Path) -> None:
    """Write the picture as PNG."""
    # Without the version of the library: the same corpus gives the same bytes.
    draw_returns(strips, title).savefig(path, format="png", metadata={"Software": None})
