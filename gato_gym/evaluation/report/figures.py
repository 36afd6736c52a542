"""The figures of the page: what each shows, in words and as a drawing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from gato_gym.evaluation.report import theme
from gato_gym.evaluation.report.curves import Curves, FewShot, Series
from gato_gym.evaluation.report.scores import Scores
from gato_gym.evaluation.report.values import large, short
from gato_gym.evaluation.return_chart import Strip, draw_returns
from gato_gym.evaluation.threshold_chart import draw_thresholds

SIZE = (4.4, 2.7)
"""Inches of a figure that a phone shows in full."""
_ROW = 0.17  # inches of a row of a legend
_NAME_LENGTH = 26
_LOG_FROM = 8  # times the lowest loss that the highest has to be for a logarithmic scale

Draw = Callable[[], Figure]


@dataclass(frozen=True)
class Chart:
    """A figure: `name` for files and links, `title`, `note` below it, how to draw it.

    wide      needs more room than a phone has, so it scrolls there
    variants  CSS classes -> how it is drawn for the grounds and widths that they stand for; empty
              if one drawing in the colours of `theme` does for all of them
    """

    name: str
    title: str
    note: str
    draw: Draw
    wide: bool = False
    variants: Mapping[str, Draw] = field(default_factory=dict)

    def markup(self) -> Markup:
        """For the page."""
        with theme.drawing(self.name):
            if not self.variants:
                return theme.inline(self.draw(), self.name, self.title)
            parts = [
                theme.inline(draw(), f"{self.name}-{place}", self.title, shown)
                for place, (shown, draw) in enumerate(self.variants.items())
            ]
        return Markup("").join(parts)

    def save(self, folder: Path) -> list[Path]:
        """Write it as PNG and SVG, with its title; returns the files."""
        with theme.drawing(self.name):
            figure = self.draw()
            color = theme.light("ink")
            figure.suptitle(self.title, x=0.02, ha="left", size=10.5, weight="bold", color=color)
            return theme.save(figure, folder, self.name)


def thresholds(scores: Scores) -> list[Chart]:
    """The paper's Figure 5, if a task has a normalised score."""
    if not scores.overall.count:
        return []

    def roomy(dark: bool) -> Figure:
        figure = draw_thresholds(scores.figures, title="", dark=dark)
        figure.set_size_inches(11, 4.1)
        return figure

    def narrow(dark: bool) -> Figure:
        figure = draw_thresholds(scores.figures, title="", dark=dark)
        beside = figure.legends[0]
        names = [text.get_text() for text in beside.get_texts()]
        lines = list(zip(names, beside.legend_handles, strict=True))
        ink = beside.get_texts()[0].get_color()
        beside.remove()
        _legend(figure, lines, ink)
        figure.set_size_inches(SIZE[0], SIZE[1] + 0.4 + _ROW * -(-len(names) // 2))
        return figure

    note = "At each x, how many tasks reach x % of the expert's score or more; the band is the "
    note += "95 % interval of the count over all tasks. The paper's Figure 5."
    variants = {
        f"only-{ground} {width}": partial(draw, ground == "dark")
        for width, draw in (("roomy", roomy), ("narrow", narrow))
        for ground in ("light", "dark")
    }
    title = "Tasks above a share of the expert"
    return [Chart("thresholds", title, note, partial(roomy, False), variants=variants)]


def learning(curves: Curves) -> list[Chart]:
    """Loss, its parts, learning rate, speed, and scores on the way: what of it was logged."""
    found = []
    loss = [curves.loss, *([curves.validation] if curves.validation else [])]
    note = "Nats per target."
    if curves.together > 1:
        note += f" Each point is the mean of {curves.together} logs."
    if curves.broken:
        note += " A cross: a loss that is not finite."
    if np.isfinite(np.concatenate([one.values for one in loss])).any():
        found.append(Chart("loss", "Loss", note, _lines(loss, log=True, broken=curves.broken)))
    if curves.parts:
        title = f"Loss by {curves.parts_of}"
        draw = _lines(curves.parts, log=True, names=True)
        found.append(Chart("loss-parts", title, "Nats per target.", draw))
    if curves.rollouts:
        draw = _lines(curves.rollouts, names=True, marks=(0.0, 1.0))
        note = (
            "Mean normalised return by domain, played on the way: 0 is random play, 1 the expert."
        )
        found.append(Chart("rollouts", "Scores while training", note, draw))
    if curves.rate is not None:
        draw = _lines([curves.rate], shown=lambda value, _: f"{value:g}")
        found.append(Chart("learning-rate", "Learning rate", "Of the last step of each log.", draw))
    if curves.speed is not None:
        draw = _lines([curves.speed], bottom=0, shown=lambda value, _: large(value))
        note = "Tokens per second of all processes, padding included."
        found.append(Chart("speed", "Speed of training", note, draw))
    return found


def few_shot(run: FewShot) -> Chart:
    """Returns of a few-shot run beside random play and the expert."""

    def draw() -> Figure:
        figure, axes = _axes(rows=2)
        dots: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 3, "alpha": 0.55, "mew": 0}
        axes.plot(run.played.steps, run.played.values, color=theme.hue(0), **dots)
        axes.plot(run.average.steps, run.average.values, color=theme.hue(0), lw=1.8)
        handles: list[tuple[str, Any]] = [
            ("evaluation", axes.lines[0]),
            (run.average.name, axes.lines[1]),
        ]
        if run.best is not None:
            ring: dict[str, Any] = {"marker": "o", "ms": 8, "mfc": "none", "mew": 1.6, "ls": "none"}
            (line,) = axes.plot(*run.best, color=theme.hue(1), **ring)
            handles.append(("score: its maximum", line))
        for place, (name, value) in enumerate((("random", run.random), ("expert", run.expert))):
            if value is not None:
                dashes = theme.DASHES[1 + place]
                mark = axes.axhline(value, color=theme.light("dim"), lw=1, ls=dashes)
                handles.append((name, mark))
        _legend(figure, handles)
        return figure

    note = f"Mean return after so many steps of fine-tuning on {run.task}."
    return Chart("few-shot", "Few-shot curve", note, draw)


def returns(strips: Sequence[Strip]) -> Chart:
    """How the returns of a corpus are distributed."""
    # The chart of data cards has colours of its own; those of the page take their place.
    own = {"#000000": "ink", "#555555": "dim", "#d8d8d8": "line", "#7aa6c2": "blue"}
    own |= {"#b3402e": "orange", "#1a7f4b": "green"}

    def draw() -> Figure:
        figure = draw_returns(strips, "")
        for artist in figure.findobj():
            _recolor(artist, own)
        return figure

    note = "A histogram for each task, beside random play and the expert."
    return Chart("returns", "Returns of the episodes", note, draw, wide=True)


def _recolor(artist: Any, roles: dict[str, str]) -> None:
    from matplotlib.colors import to_hex

    for part in ("color", "facecolor", "edgecolor"):
        get, put = getattr(artist, f"get_{part}", None), getattr(artist, f"set_{part}", None)
        if get is None or put is None or not isinstance(value := get(), str | tuple):
            continue
        role = roles.get(to_hex(value))
        if role is not None and not (isinstance(value, tuple) and value[-1] == 0):
            put(theme.light(role))


def _lines(
    series: Sequence[Series],
    *,
    log: bool = False,
    names: bool = False,
    bottom: float | None = None,
    marks: Sequence[float] = (),
    broken: Sequence[int] = (),
    shown: Callable[[float, int], str] = lambda value, _: short(value),
) -> Draw:
    """A drawing of lines over steps.

    Args:
        series: at least one.
        log: logarithmic if the values span far, as losses do.
        names: with a legend even of one line.
        bottom: where the scale begins.
        marks: levels with a faint line.
        broken: steps with a cross.
        shown: what values are called.
    """

    def draw() -> Figure:
        named = names or len(series) > 1
        figure, axes = _axes(rows=-(-len(series) // 2) if named else 0)
        for mark in marks:
            axes.axhline(mark, color=theme.light("dim"), lw=0.8, ls=theme.DASHES[2])
        lines = []
        for place, one in enumerate(series):
            style: dict[str, Any] = {"color": theme.hue(place), "ls": theme.dash(place), "lw": 1.5}
            # A point between two gaps would not be seen as a line.
            style |= {"marker": "o", "ms": 2.5} if len(one.steps) < 25 else {}
            lines += axes.plot(one.steps, one.values, **style)
        values = np.concatenate([one.values for one in series])
        values = values[np.isfinite(values)]
        if log and values.min() > 0 and values.max() > _LOG_FROM * values.min():
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.minorticks_off()
        elif bottom is not None:
            axes.set_ylim(bottom=bottom, top=float(values.max()) * 1.08 or 1)
        axes.yaxis.set_major_formatter(FuncFormatter(shown))
        if broken:
            cross: dict[str, Any] = {"ls": "none", "marker": "x", "ms": 5, "mew": 1.5}
            cross |= {"color": theme.light("bad"), "transform": axes.get_xaxis_transform()}
            axes.plot(broken, [0.03] * len(broken), clip_on=False, **cross)
        if named:
            _legend(figure, [(one.name, line) for one, line in zip(series, lines, strict=True)])
        return figure

    return draw


def _axes(rows: int = 0) -> tuple[Figure, Axes]:
    """A figure of the common size with room for a legend of so many rows, over steps."""
    figure = Figure(figsize=(SIZE[0], SIZE[1] + _ROW * rows), layout="constrained")
    axes = figure.add_subplot()
    dim = theme.light("dim")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(theme.light("line"))
    axes.grid(axis="y", color=theme.light("line"), lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=dim, length=0, labelsize=8.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: large(value)))
    axes.set_xlabel("step", color=dim, size=8.5)
    return figure, axes


def _legend(figure: Figure, lines: Sequence[tuple[str, Any]], color: Any = None) -> None:
    names = [_label(name) for name, _ in lines]
    figure.legend(
        [line for _, line in lines],
        names,
        loc="outside lower left",
        ncols=2,
        fontsize=8.5,
        frameon=False,
        labelcolor=theme.light("ink") if color is None else color,
        handlelength=1.8,
        columnspacing=1.2,
    )


def _label(name: str) -> str:
    """A name as a legend takes it: one that begins with "_" would be left out."""
    if len(name) > _NAME_LENGTH:
        half = (_NAME_LENGTH - 1) // 2
        name = f"{name[:half]}\u2026{name[-half:]}"
    return f" {name}" if name.startswith("_") else name
