"""The study as pictures like the paper's figure 8: score against tokens, a line per size.

`scaling` is the mean over all tasks with its 95 % interval as a band; `scaling-tasks` has a panel
for each task. A dot is a training, where there are several. A point of which something is missing
is not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from gato_gym.evaluation.scaling.text import short_count, size_label
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

Name = Literal["scaling", "scaling-tasks"]
NAMES: tuple[Name, ...] = ("scaling", "scaling-tasks")
COLUMNS = 3
MOST_TASKS = 30
"""With more there are no panels: nobody could read them."""

Row = Mapping[str, Any]


def draw(table: Row, figure: Name, theme: Theme = "light") -> Figure | None:
    """One figure; None where the study has nothing to draw in it yet.

    Args:
        table: see `table.scaling_table`.
        figure: which.
        theme: of its colours.
    """
    colours = THEMES[theme]
    if figure == "scaling":
        lines = {one["size"]: _line(table, one["size"], None) for one in table["sizes"]}
        if not any(lines.values()):
            return None
        picture = new_picture((6.4, 3.6), colours)
        panel = picture.subplots()
        _panel(panel, table, lines, colours, 12)
        label_panel(panel, "mean over all tasks", "tokens of training", SCORE, colours)
    else:
        panels = {
            task: {one["size"]: _line(table, one["size"], task) for one in table["sizes"]}
            for task in table["tasks"]
        }
        drawn = {task: lines for task, lines in panels.items() if any(lines.values())}
        if not drawn or len(drawn) > MOST_TASKS:
            return None
        columns = min(COLUMNS, len(drawn))
        rows = math.ceil(len(drawn) / columns)
        picture = new_picture((2.6 * columns + 1.8, 2.4 * rows), colours)
        places = list(picture.subplots(rows, columns, squeeze=False).flat)
        for panel, (task, lines) in zip(places, drawn.items(), strict=False):
            _panel(panel, table, lines, colours, 4)
            label_panel(panel, task.removeprefix("gato_gym/"), "tokens", "score", colours)
        for panel in places[len(drawn) :]:
            panel.axis("off")
    handles = [
        Line2D([], [], color=_style(index)[0], marker=_style(index)[1], ms=5, label=size_label(one))
        for index, one in enumerate(table["sizes"])
    ]
    add_legend(picture, handles, colours)
    return picture


def _line(table: Row, size: str, task: str | None) -> list[dict[str, Any]]:
    """The points of a line: tokens, mean, interval, and the mean of each training."""
    found = []
    for point in table["points"]:
        if point["size"] != size:
            continue
        part = point if task is None else point["tasks"].get(task)
        whole = point["mean"] is not None if task is None else task not in point["missing"]
        if part is None or not whole:
            continue
        runs = part["runs"].values()
        found.append({"tokens": point["tokens"], **{k: part[k] for k in ("mean", "ci95")}})
        found[-1]["runs"] = list(runs) if len(runs) > 1 else []
    return found


def _panel(
    panel: Any,
    table: Row,
    lines: Mapping[str, Sequence[Mapping[str, Any]]],
    colours: Mapping[str, str],
    most_ticks: int,
) -> None:
    mark_levels(panel, colours)
    for index, (size, line) in enumerate(lines.items()):
        if not line:
            continue
        colour, mark = _style(index)
        tokens = [point["tokens"] for point in line]
        low, high = zip(*(point["ci95"] for point in line), strict=True)
        panel.fill_between(tokens, low, high, color=colour, alpha=0.18, lw=0, gid=f"{size} ci95")
        panel.plot(
            tokens,
            [point["mean"] for point in line],
            f"{mark}-",
            color=colour,
            ms=4,
            lw=1.5,
            zorder=3,
            gid=f"{size} mean",
        )
        for point in line:
            at = [point["tokens"]] * len(point["runs"])
            panel.plot(at, point["runs"], ".", color=colour, ms=3, alpha=0.7, gid=f"{size} runs")
    _fit(panel, lines)
    # From the last, so that it is among them.
    ticks = sorted({point["tokens"] for point in table["points"]}, reverse=True)
    ticks = ticks[:: math.ceil(len(ticks) / most_ticks)]
    if table["budget"]["spacing"] == "log":
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(FixedLocator(ticks))
        panel.xaxis.set_minor_locator(NullLocator())
    else:
        panel.set_xlim(left=0)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))


def _fit(panel: Any, lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Random play and the expert are always to be seen."""
    values = [0.0, 1.0]
    for line in lines.values():
        for point in line:
            values += [*point["ci95"], *point["runs"]]
    low, high = min(values), max(values)
    room = 0.06 * (high - low)
    panel.set_ylim(low - room, high + room)


def _style(index: int) -> tuple[str, str]:
    return LINES[index % len(LINES)]


def save_figures(table: Row, folder: Path) -> list[Path]:
    """Every figure that the study has, light and dark, as SVG and PNG; the files' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in NAMES:
        for theme in THEMES:
            picture = draw(table, name, theme)
            if picture is not None:
                paths += save_picture(picture, folder / f"{name}-{theme}", "scaling")
    return paths
