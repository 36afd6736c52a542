"""Episodes on a plane, a colour per task (the paper's Figure 13), and what can be said by numbers.

Tasks of a domain have shades of one colour and marks of their own, and a number that the legend
explains: thirty tasks have no thirty colours that an eye could tell apart. Axes have no units: only
who is near whom means something, and the curves beside it say how much of that is so before t-SNE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.colors
import numpy as np
from matplotlib import patheffects
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gato_gym.evaluation.studies.pictures import DPI, THEMES, Theme, save_picture
from gato_gym.evaluation.threshold_chart import distinct_colors

MARKS = "os^DvPX<>*"
NAME = "embeddings"
_COLUMN = 26
"""Lines of a column of the legend."""
_SHADES = {"light": (-0.42, 0.3), "dark": (-0.25, 0.5)}
"""From how much black to how much white a domain's colour is mixed with."""


def styles(
    tasks: Sequence[Mapping[str, Any]], theme: Theme
) -> dict[str, tuple[tuple[float, ...], str]]:
    """Task -> its colour and mark.

    Args:
        tasks: have "task" and "domain", domain by domain.
        theme: of the ground.
    """
    domains = list(dict.fromkeys(row["domain"] for row in tasks))
    found = {}
    for domain, colour in zip(domains, distinct_colors(len(domains)), strict=True):
        own = [row["task"] for row in tasks if row["domain"] == domain]
        low, high = _SHADES[theme] if len(own) > 1 else (0.0, 0.0)
        for number, (task, mix) in enumerate(
            zip(own, np.linspace(low, high, len(own)), strict=True)
        ):
            found[task] = _mixed(colour, float(mix)), MARKS[number % len(MARKS)]
    return found


def _mixed(colour: Any, mix: float) -> tuple[float, ...]:
    """With white where `mix` is positive, with black where it is negative."""
    own = np.array(matplotlib.colors.to_rgb(colour))
    return tuple((own + (float(mix > 0) - own) * abs(mix)).tolist())


def draw(result: Mapping[str, Any], theme: Theme = "light") -> Figure:
    """The figure.

    Args:
        result: see `embedding_study.embed`.
        theme: of its colours.
    """
    tasks, colours = result["tasks"], THEMES[theme]
    looks = styles(tasks, theme)
    lines = len(tasks) + len({row["domain"] for row in tasks})
    columns = -(-lines // _COLUMN)
    high = max(5.8, 2.5 + 0.17 * -(-lines // columns))
    wide = 2.7 * columns
    figure = Figure(
        figsize=(high + wide, high), dpi=DPI, layout="constrained", facecolor=colours["ground"]
    )
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2, 2, width_ratios=(high, wide), height_ratios=(high - 2.1, 2.1), wspace=0.04
    )
    _places(figure.add_subplot(grid[:, 0]), result, looks, colours)
    _legend(figure.add_subplot(grid[0, 1]), tasks, looks, colours, columns)
    _layers(figure.add_subplot(grid[1, 1]), result, colours)
    return figure


def _places(
    panel: Any, result: Mapping[str, Any], looks: Mapping[str, Any], colours: Mapping[str, str]
) -> None:
    panel.set_facecolor(colours["ground"])
    size = 26 if len(result["points"]) <= 1500 else 12
    every = np.array([(point["x"], point["y"]) for point in result["points"]])
    span = float(np.ptp(every, axis=0).max())
    numbered: list[np.ndarray] = []
    for number, row in enumerate(result["tasks"], start=1):
        places = np.array([(p["x"], p["y"]) for p in result["points"] if p["task"] == row["task"]])
        colour, mark = looks[row["task"]]
        panel.scatter(
            *places.T, s=size, color=colour, marker=mark, alpha=0.8, lw=0.3,
            edgecolors=colours["ground"], gid=row["task"],
        )  # fmt: skip
        numbered.append(_number_place(places, numbered, span))
        panel.text(
            *numbered[-1],
            str(number),
            size=9,
            weight="bold",
            color=colours["text"],
            ha="center",
            va="center",
            zorder=4,
            path_effects=[patheffects.withStroke(linewidth=2.5, foreground=colours["ground"])],
        )
    panel.set_xticks([])
    panel.set_yticks([])
    panel.margins(0.04)
    panel.set_aspect("equal", adjustable="datalim")
    panel.set_title(
        f"Layer {result['layer']} of {result['layers']}, {result['episodes']:,} episodes, t-SNE",
        size=10,
        weight="bold",
        loc="left",
        color=colours["text"],
    )
    for spine in panel.spines.values():
        spine.set_color(colours["faint"])


def _number_place(places: np.ndarray, taken: Sequence[np.ndarray], span: float) -> np.ndarray:
    """Where a task's number stands: on one of its episodes, as a task in two clusters has nothing
    between them; on the one nearest to the middle that is clear of other numbers, if one is."""
    order = np.square(places - np.median(places, axis=0)).sum(axis=1).argsort()
    room = [min((np.hypot(*(place - one)) for one in taken), default=span) for place in places]
    clear = [index for index in order if room[index] > 0.035 * span]
    return np.asarray(places[clear[0] if clear else int(np.argmax(room))])


def _legend(
    panel: Any,
    tasks: Sequence[Mapping[str, Any]],
    looks: Mapping[str, Any],
    colours: Mapping[str, str],
    columns: int,
) -> None:
    """Tasks with their numbers under their domains, in columns."""
    panel.axis("off")
    lines = []
    for number, row in enumerate(tasks, start=1):
        if number == 1 or row["domain"] != tasks[number - 2]["domain"]:
            lines.append(Line2D([], [], ls="", label=row["domain"]))
        colour, mark = looks[row["task"]]
        label = f"{number}  {row['task'].removeprefix('gato_gym/')}"
        lines.append(Line2D([], [], ls="", marker=mark, color=colour, ms=5.5, label=label))
    each = -(-len(lines) // columns)
    for column in range(columns):
        # The name of a domain does not stand alone at the foot of a column.
        last = column == columns - 1
        kept = len(lines) if last else each - _is_head(lines[each - 1])
        own, lines = lines[:kept], lines[kept:]
        legend = panel.legend(
            handles=own,
            loc="upper left",
            bbox_to_anchor=(column / columns - 0.04, 1.0),
            borderaxespad=0,
            fontsize=7.5,
            frameon=False,
            handletextpad=0.3,
            labelspacing=0.35,
        )
        for line, text in zip(own, legend.get_texts(), strict=True):
            text.set_color(colours["text"])
            text.set_weight("bold" if _is_head(line) else "normal")
            text.set_parse_math(False)
        if not last:  # the axes keep one legend of their own
            panel.add_artist(legend)


def _is_head(line: Line2D) -> bool:
    return line.get_marker() == "None"


def _layers(panel: Any, result: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    """Accuracy of the nearest neighbours by layer."""
    panel.set_facecolor(colours["ground"])
    rows = result["by_layer"]
    x = [row["layer"] for row in rows]
    settings = result["settings"]
    panel.axvline(result["layer"], color=colours["faint"], lw=4, zorder=0)
    for name, told, colour, mark in (
        ("trained", [row["accuracy"] for row in rows], "#2f81c1", "o"),
        ("random weights", [row["random"]["accuracy"] for row in rows], "#c9871f", "s"),
    ):
        panel.plot(x, told, color=colour, marker=mark, ms=3.5, lw=1.4, label=name, gid=name)
    panel.axhline(
        result["chance"], color=colours["text"], lw=1, ls=":", label="chance", gid="chance"
    )
    panel.set_ylim(0, 1.04)
    panel.set_xticks(x if len(x) <= 13 else x[:: -(-len(x) // 12)])
    panel.set_xlabel("layer (0 = before the first block)", size=8, color=colours["text"])
    panel.set_title(
        f"Task told by {settings['neighbours']} nearest neighbours",
        size=8.5,
        loc="left",
        color=colours["text"],
    )
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    panel.tick_params(labelsize=7, colors=colours["text"])
    panel.legend(
        loc="lower left",
        bbox_to_anchor=(0, result["chance"] + 0.02),
        fontsize=7,
        frameon=False,
        labelcolor=colours["text"],
    )
    for side, spine in panel.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(colours["faint"])


def save_figures(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """The figure, light and dark, as SVG and PNG; the files' paths. The same result gives the same
    bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for theme in THEMES:
        paths += save_picture(draw(result, theme), folder / f"{NAME}-{theme}", NAME)
    return paths
