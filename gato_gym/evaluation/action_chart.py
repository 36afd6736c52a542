"""The distribution of the next action as a chart: bars of values, curves of continuous numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gato_gym.evaluation import charts
from gato_gym.evaluation.charts import BAR, CHOSEN, LINE, SMALL, Box, Canvas

if TYPE_CHECKING:
    from gato_gym.agents.explanation import ActionNumber, Explanation

BINS = 64
_ROW = 13  # pixels that a line needs at least
_ROOM = 26.0  # and as many as it takes where there is room


def draw_action(
    canvas: Canvas,
    box: Box,
    explanation: Explanation,
    names: Sequence[Sequence[str]] | None = None,
) -> None:
    """Every number of the next action, as much of it as fits into the box."""
    numbers = explanation.numbers
    mean = np.mean([number.entropy for number in numbers])
    which = "entropy" if len(numbers) == 1 else "mean entropy"
    box = canvas.title(box, "next action", f"{which} {mean:.2f} nats")
    if explanation.spec.action.kind == "continuous":
        _draw_continuous(canvas, box, numbers)
    elif len(numbers) == 1:
        _draw_values(canvas, box, numbers[0], _names(names, 0, numbers[0]))
    else:
        _draw_discrete(canvas, box, numbers, names)


def action_height(explanation: Explanation) -> float:
    """Pixels that `draw_action` fills if it may; infinite unless the action is one discrete one."""
    if explanation.spec.action.kind == "continuous" or len(explanation.numbers) > 1:
        return math.inf
    return LINE + 4 + _ROOM * len(explanation.numbers[0].values)


def _names(
    names: Sequence[Sequence[str]] | None, index: int, number: ActionNumber
) -> Sequence[str]:
    """Of all values; the values themselves where they have no names."""
    count = len(number.values)
    if names is None or index >= len(names) or len(names[index]) < count:
        return [str(value) for value in range(count)]
    return names[index]


def _draw_values(canvas: Canvas, box: Box, number: ActionNumber, names: Sequence[str]) -> None:
    """One line per value in their order, or the likeliest ones where not all fit."""
    left, top, right, bottom = box
    count = min(len(names), max(1, int((bottom - top) // _ROW)))
    chosen = int(number.chosen)
    shown = [int(value) for value, _ in number.top(count)]
    if count == len(names):
        shown.sort()
    high = min(_ROOM, (bottom - top) / count)
    label_room = min(
        max(charts.width(names[value], SMALL) for value in shown) + 12.0, (right - left) * 0.5
    )
    for line, value in enumerate(shown):
        share = float(number.probabilities[value])
        y = top + line * high
        canvas.row(
            (left, y, right, y + high),
            names[value],
            share,
            _percent(share),
            CHOSEN if value == chosen else BAR,
            label_room,
        )


def _percent(share: float) -> str:
    return "" if share < 0.005 else f"{share:.0%}"


def _draw_discrete(
    canvas: Canvas,
    box: Box,
    numbers: Sequence[ActionNumber],
    names: Sequence[Sequence[str]] | None,
) -> None:
    left, top, right, bottom = box
    high = (bottom - top) / len(numbers)
    if high >= 4 * _ROW:
        for index, number in enumerate(numbers):
            y = top + index * high
            cell = canvas.title((left, y, right, y + high - 6), f"number {index}")
            _draw_values(canvas, cell, number, _names(names, index, number))
        return
    count = min(len(numbers), max(1, int((bottom - top) // _ROW)))
    for index, number in enumerate(numbers[:count]):
        value, share = number.top(1)[0]
        y = top + index * (bottom - top) / count
        label = f"{index}: {_names(names, index, number)[int(value)]}"
        row = (left, y, right, y + (bottom - top) / count)
        canvas.row(row, label, share, _percent(share), CHOSEN, (right - left) * 0.4)


def _draw_continuous(canvas: Canvas, box: Box, numbers: Sequence[ActionNumber]) -> None:
    """Curves over [-1, 1]; as strips where there are too many for that."""
    left, top, right, bottom = box
    high = min((bottom - 14 - top) / len(numbers), 130.0)
    label_room = charts.width(str(len(numbers) - 1), SMALL) + 10
    start, end = left + label_room, right - charts.width("\u22120.00", SMALL) - 10
    curved = high >= 22
    for index, number in enumerate(numbers):
        y, floor = top + index * high, top + (index + 1) * high
        shares = number.histogram(BINS)
        heights = shares / shares.max()
        value = float(number.chosen)
        place = start + (end - start) * (value + 1) / 2
        if curved:
            canvas.rectangle((start, floor - 4, end, floor - 3), charts.FAINT)
            colors = [BAR] * BINS
            colors[int((value + 1) / 2 * BINS)] = CHOSEN
            canvas.columns((start, y + 4, end, floor - 4), heights, colors, gap=0.0)
        else:
            canvas.strip((start, y, end, floor - (high > 4)), heights)
            canvas.rectangle((place - 1, y, place + 1, floor - (high > 4)), CHOSEN)
        if high >= _ROW - 1:
            middle = (y + floor) / 2
            canvas.text((left, middle), str(index), charts.DIM, SMALL)
            canvas.text((right, middle), charts.number(value), CHOSEN, SMALL, "rm")
    y = top + len(numbers) * high + 7
    for place, text in ((start, "\u22121"), ((start + end) / 2, "0"), (end, "1")):
        canvas.text((place, y), text, charts.DIM, SMALL, "mm")
