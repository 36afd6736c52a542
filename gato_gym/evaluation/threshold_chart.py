"""How many tasks reach x % of the expert's score, stacked by domain (the paper's Figure 5)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gato_gym.evaluation.aggregate import THRESHOLDS
from gato_gym.evaluation.chart_files import check_chart as check_chart
from gato_gym.evaluation.chart_files import save_chart

DPI = 150
_TITLE = "Tasks that reach x % of the expert"
# Text and lines, faint lines.
_LIGHT, _DARK = ("#222222", "#d8d8d8"), ("#eceef3", "#3a3f4b")
_GROUND = "#111318"


def draw_thresholds(
    result: Mapping[str, Any], title: str = _TITLE, *, dark: bool = False
) -> Figure:
    """The figure; the band is the 95 % interval of the count over all tasks.

    Args:
        result: has "domains" and "overall" as `aggregate.aggregate_scores` gives them, e.g. the
            file of `gato-gym eval --all --out`.
        title: its headline.
        dark: for a dark ground.

    Raises:
        ValueError: no task has a normalised score, or the counts are missing.
    """
    domains = {name: one for name, one in result["domains"].items() if one["count"]}
    overall = result.get("overall")
    if not domains:
        raise ValueError("no task has a normalised score, so there is nothing to count")
    if overall is None or any("above" not in one for one in domains.values()):
        raise ValueError(
            "the result has no counts of tasks by threshold: write it again with gato-gym eval "
            "--all --out"
        )
    # The largest lies at the bottom, where it is easiest to read.
    order = sorted(domains, key=lambda name: (-domains[name]["count"], name))
    ink, faint = _DARK if dark else _LIGHT
    ground = _GROUND if dark else "white"
    figure = Figure(figsize=(8.0, 4.6), dpi=DPI, layout="constrained", facecolor=ground)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=ground)
    x = np.array(THRESHOLDS)
    counts = [_counts(domains[name]["above"]) for name in order]
    axes.stackplot(x, counts, colors=distinct_colors(len(order)), edgecolor=ground, linewidth=0.4)
    low, high = np.array([overall["above_ci95"][str(at)] for at in THRESHOLDS]).T
    total = _counts(overall["above"])
    axes.fill_between(x, low, high, color=ink, alpha=0.22, linewidth=0)
    axes.plot(x, total, color=ink, linewidth=1.3)
    _mark(axes, 50, int(total[50]), overall["count"], ink)
    axes.set(xlim=(0, 100), ylim=(0, max(1, int(high.max())) * 1.06))
    axes.set_xlabel("per cent of the expert's score (0 = random play)", color=ink)
    axes.set_ylabel("tasks at or above it", color=ink)
    axes.set_title(title, color=ink, size=11, weight="bold", loc="left")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.tick_params(colors=ink)
    axes.grid(axis="y", color=faint, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(ink)
    handles = axes.collections[: len(order)]
    names = [f"{name} ({domains[name]['count']})" for name in order]
    figure.legend(
        *(list(handles)[::-1], names[::-1]),  # as they lie on each other
        loc="outside right upper",
        fontsize=8,
        frameon=False,
        labelcolor=ink,
        title="domain (tasks)",
        title_fontproperties={"size": 8},
    ).get_title().set_color(ink)
    return figure


def save_thresholds(result: Mapping[str, Any], path: Path, *, dark: bool = False) -> None:
    """Write the figure, complete or not at all; the same result gives the same bytes.

    Raises:
        ValueError: see `draw_thresholds` and `check_chart`.
    """
    check_chart(path)
    save_chart(draw_thresholds(result, dark=dark), path)


def _counts(above: Mapping[str, int]) -> np.ndarray:
    """(101,) tasks at or above each threshold."""
    return np.array([above[str(x)] for x in THRESHOLDS])


def distinct_colors(count: int) -> list[Any]:
    """As different as so many can be; neighbours differ most."""
    if count <= 10:
        return list(matplotlib.colormaps["tab10"].colors)[:count]  # type: ignore[attr-defined]  # a listed map has them
    colormap = matplotlib.colormaps["turbo"]
    # By the golden ratio no two are close, and neighbours in the stack are far apart in the map.
    places = (0.3 + 0.618034 * np.arange(count)) % 1
    return [colormap(0.08 + 0.87 * place) for place in places]


def _mark(axes: Any, at: int, count: int, whole: int, ink: str) -> None:
    """The paper's headline: how many tasks reach half of the expert."""
    axes.plot([at, at], [0, count], color=ink, linewidth=0.9, linestyle=(0, (3, 2)))
    axes.annotate(
        f"{count} of {whole} at {at} %",
        (at, count),
        xytext=(6, 11),
        textcoords="offset points",
        color=ink,
        size=9,
    )
