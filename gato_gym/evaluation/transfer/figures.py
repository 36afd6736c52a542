"""The study as pictures like the paper's figures 9 (held-out tasks) and 19 (block stacking).

A panel per task: score over the number of episodes, a line per regime. A line goes through the
means of its draws, a bar is their 95 % interval, a dot a draw. A cell of which draws are missing
has a hollow mark, or a cross at the foot of the panel where it has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gato_gym.evaluation.studies.pictures import (
    LINES,
    SCORE,
    THEMES,
    Theme,
    add_legend,
    label_panel,
    mark_levels,
    new_picture,
    save_picture,
)
from gato_gym.evaluation.transfer.plan import REGIMES
from gato_gym.evaluation.transfer.sources import TARGETS
from gato_gym.evaluation.transfer.table import NORMALISED

STYLES = dict(zip(REGIMES, LINES, strict=True))
SPREAD = 0.32
"""Of the regimes beside a number of episodes, in distances between two numbers."""


def draw(table: Mapping[str, Any], figure: str, theme: Theme = "light") -> Figure | None:
    """One figure; None where the study has none of its tasks.

    Args:
        table: see `table.study_table`.
        figure: "figure-9" or "figure-19".
        theme: of its colours.
    """
    rows = [row for row in table["cells"] if TARGETS[row["target"]].figure == figure]
    names = list(dict.fromkeys(row["target"] for row in rows))
    if not names:
        return None
    colours = THEMES[theme]
    picture = new_picture((3.1 * len(names) + 1.6, 3.2), colours)
    panels = picture.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        _panel(panel, [row for row in rows if row["target"] == name], colours)
    regimes = [name for name in REGIMES if any(row["regime"] == name for row in rows)]
    handles = [
        Line2D([], [], color=STYLES[r][0], marker=STYLES[r][1], ms=5, label=REGIMES[r])
        for r in regimes
    ]
    add_legend(picture, handles, colours)
    return picture


def _panel(panel: Any, rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str]) -> None:
    numbers = sorted({row["episodes"] for row in rows})
    regimes = list(dict.fromkeys(row["regime"] for row in rows))
    normalised = rows[0]["unit"] == NORMALISED
    if normalised:
        mark_levels(panel, colours)
    for index, regime in enumerate(regimes):
        shift = SPREAD * ((index + 0.5) / len(regimes) - 0.5)
        line = [row for row in rows if row["regime"] == regime]
        _line(panel, line, [numbers.index(row["episodes"]) + shift for row in line], colours)
    label_panel(
        panel,
        TARGETS[rows[0]["target"]].title,
        "episodes",
        SCORE if normalised else "mean return",
        colours,
    )
    panel.set_xticks(range(len(numbers)), [f"{number:,}" for number in numbers])
    panel.set_xlim(-0.5, len(numbers) - 0.5)
    _fit(panel, rows, normalised)


def _line(
    panel: Any, rows: Sequence[Mapping[str, Any]], places: Sequence[float], colours: Any
) -> None:
    regime = rows[0]["regime"]
    colour, mark = STYLES[regime]
    there = [(x, row) for x, row in zip(places, rows, strict=True) if row["mean"] is not None]
    panel.plot(
        [x for x, _ in there], [row["mean"] for _, row in there], color=colour, lw=1.5, gid=regime
    )
    for x, row in zip(places, rows, strict=True):
        if row["mean"] is None:
            where = panel.get_xaxis_transform()
            panel.plot(x, 0.02, "x", color=colour, ms=5, transform=where, gid=f"{regime} missing")
            continue
        if row["ci95"] is not None:
            panel.plot([x, x], row["ci95"], color=colour, lw=1, alpha=0.55, gid=f"{regime} ci95")
        face = colours["ground"] if row["missing"] else colour
        panel.plot(
            x, row["mean"], mark, color=colour, mfc=face, ms=5, zorder=3, gid=f"{regime} mean"
        )
        panel.plot(
            [x] * len(row["scores"]),
            row["scores"],
            ".",
            color=colour,
            ms=3,
            alpha=0.7,
            ls="",
            gid=f"{regime} draws",
        )


def _fit(panel: Any, rows: Sequence[Mapping[str, Any]], normalised: bool) -> None:
    """Room for all draws; an interval of few draws may be far wider than all there is to see, and
    is cut at the panel's border."""
    values = [value for row in rows for value in row["scores"]] + ([0, 1] if normalised else [])
    if values:
        low, high = min(values), max(values)
        room = 0.12 * (high - low or 1.0)
        panel.set_ylim(low - room, high + room)


def save_figures(table: Mapping[str, Any], folder: Path) -> list[Path]:
    """Every figure that the study has, light and dark, as SVG and PNG; the files' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in ("figure-9", "figure-19"):
        for theme in THEMES:
            picture = draw(table, name, theme)
            if picture is not None:
                paths += save_picture(picture, folder / f"transfer-{name}-{theme}", "transfer")
    return paths
