"""The study as pictures like the paper's figures 9 (held-out tasks) and 19 (block stacking).

A panel per task: score over the number of episodes, a line per regime. A line goes through the
means of its draws, a bar is their 95 % interval, a dot a draw. A cell of which draws are missing
has a hollow mark, or a cross at the foot of the panel where it has none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gato_gym.evaluation.transfer.plan import REGIMES
from gato_gym.evaluation.transfer.sources import TARGETS
from gato_gym.evaluation.transfer.table import NORMALISED

Theme = Literal["light", "dark"]
THEMES: Mapping[Theme, Mapping[str, str]] = {
    "light": {"ground": "#ffffff", "text": "#24292f", "faint": "#c9ced6"},
    "dark": {"ground": "#111318", "text": "#e6e8ee", "faint": "#3d434f"},
}
# Told apart without colours too, by their marks; the same on both grounds.
STYLES = {
    "all": ("#2f81c1", "o"),
    "same-domain": ("#2ea36b", "s"),
    "no-control": ("#c9871f", "^"),
    "dm-control": ("#a16ad0", "v"),
    "scratch": ("#d0574a", "D"),
}
DPI = 120
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
    picture = Figure(
        figsize=(3.1 * len(names) + 1.6, 3.2),
        dpi=DPI,
        layout="constrained",
        facecolor=colours["ground"],
    )
    FigureCanvasAgg(picture)
    panels = picture.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        _panel(panel, [row for row in rows if row["target"] == name], colours)
    regimes = [name for name in REGIMES if any(row["regime"] == name for row in rows)]
    legend = picture.legend(
        handles=[
            Line2D([], [], color=STYLES[r][0], marker=STYLES[r][1], ms=5, label=REGIMES[r])
            for r in regimes
        ],
        loc="outside right center",
        fontsize=8,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_color(colours["text"])
    return picture


def _panel(panel: Any, rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str]) -> None:
    numbers = sorted({row["episodes"] for row in rows})
    regimes = list(dict.fromkeys(row["regime"] for row in rows))
    normalised = rows[0]["unit"] == NORMALISED
    panel.set_facecolor(colours["ground"])
    if normalised:
        for level, style in ((0, ":"), (1, "--")):
            panel.axhline(level, color=colours["faint"], ls=style, lw=1, zorder=0)
    for index, regime in enumerate(regimes):
        shift = SPREAD * ((index + 0.5) / len(regimes) - 0.5)
        line = [row for row in rows if row["regime"] == regime]
        _line(panel, line, [numbers.index(row["episodes"]) + shift for row in line], colours)
    panel.set_title(TARGETS[rows[0]["target"]].title, size=9, color=colours["text"])
    panel.set_xlabel("episodes", size=8, color=colours["text"])
    told = "score (0 random, 1 expert)" if normalised else "mean return"
    panel.set_ylabel(told, size=8, color=colours["text"])
    panel.set_xticks(range(len(numbers)), [f"{number:,}" for number in numbers])
    panel.set_xlim(-0.5, len(numbers) - 0.5)
    panel.tick_params(labelsize=7, colors=colours["text"])
    _fit(panel, rows, normalised)
    for side, spine in panel.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(colours["faint"])


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
            if picture is None:
                continue
            for kind in ("svg", "png"):
                path = folder / f"transfer-{name}-{theme}.{kind}"
                save_picture(picture, path, kind)
                paths.append(path)
    return paths


def save_picture(picture: Figure, path: Path, kind: str, salt: str = "transfer") -> None:
    """Write a figure, complete or not at all.

    Args:
        picture: the figure.
        path: its file; its folder exists.
        kind: "svg" or "png".
        salt: of the names of an SVG's parts, so that two on one page do not share any.
    """
    part = path.with_name(f".{path.name}.part")
    # The same figure gives the same bytes: no dates, no random names, no version.
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        picture.savefig(part, format=kind, metadata=metadata)
    os.replace(part, path)
