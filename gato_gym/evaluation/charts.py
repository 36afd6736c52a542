"""Small charts on a dark ground, fast enough for every frame of a video.

Boxes are (left, top, right, bottom) in pixels, right and bottom excluded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont

Box = tuple[float, float, float, float]
Color = tuple[int, int, int]

GROUND: Color = (17, 19, 24)
SUNKEN: Color = (31, 34, 42)
FAINT: Color = (104, 110, 125)
DIM: Color = (150, 156, 170)
BRIGHT: Color = (236, 238, 243)
BAR: Color = (94, 129, 190)
CHOSEN: Color = (250, 175, 60)

TEXT, SMALL = 13, 11
LINE = 18
_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's own font: it is where matplotlib is."""
    return ImageFont.truetype(str(_FONT), size)


@cache
def width(text: str, size: int = TEXT) -> int:
    """Pixels that a line of text takes."""
    return math.ceil(font(size).getlength(text))


def number(value: float) -> str:
    """Two digits behind the point, with a real minus and without one at zero; whole numbers."""
    text = str(value) if isinstance(value, int) else f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "\u2212")


def shorten(text: str, room: float, size: int = TEXT) -> str:
    """The text, or as much of it as fits, with an ellipsis in its middle; "" where nothing does."""
    if width(text, size) <= room:
        return text
    for kept in range(len(text) - 1, 1, -1):
        tail = kept // 2
        short = f"{text[: kept - tail]}\u2026{text[len(text) - tail :]}"
        if width(short, size) <= room:
            return short
    return ""


@cache
def _heat_table() -> np.ndarray:
    # Inferno is even to the eye; few games and robots have the colours of its bright end.
    colors = matplotlib.colormaps["inferno"](np.linspace(0, 1, 256))[:, :3]
    table: np.ndarray = (255 * colors).round().astype(np.uint8)
    return table


def heat(values: np.ndarray) -> np.ndarray:
    """(...) in [0, 1] -> (..., 3) uint8: dark where 0, yellow where 1."""
    return _heat_table()[(np.clip(values, 0, 1) * 255).astype(np.intp)]


def shades(values: np.ndarray) -> list[Color]:
    """Colours of (n,) bars of attention in [0, 1]: as `heat`, but none is lost in the ground."""
    return [(int(r), int(g), int(b)) for r, g, b in heat(0.35 + 0.6 * values)]


def heat_over(image: Image.Image, heights: np.ndarray) -> Image.Image:
    """A picture under a smooth heat map: what is looked at glows, the rest is dimmed.

    Args:
        image: RGB.
        heights: (rows, columns) in [0, 1], spread over the whole picture.
    """
    grid = Image.fromarray(heights.astype(np.float32))
    # Fine enough to be stretched without a trace, and far fewer pixels than the picture has.
    fine = grid.resize((8 * grid.width, 8 * grid.height), Image.Resampling.BICUBIC)
    smooth = np.asarray(fine).clip(0, 1)

    def stretch(values: np.ndarray) -> Image.Image:
        small = Image.fromarray(np.rint(255 * values).astype(np.uint8))
        return small.resize(image.size, Image.Resampling.BICUBIC)

    dimmed = ImageChops.multiply(image, stretch(0.55 + 0.45 * smooth).convert("RGB"))
    # The glow never covers: nearly half of what is under its brightest spot shows through.
    glow = stretch(heat(0.3 + 0.52 * smooth) / 255)
    return Image.composite(glow, dimmed, stretch(0.55 * smooth**1.3))


def fit(
    image: np.ndarray, box: Box, ratio: float | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """An image as large as fits into a box, and where its upper left corner goes: at the top.

    Args:
        image: (height, width, 3) uint8; its pixels stay visible where there are few.
        box: where.
        ratio: width by height to give it; None keeps its own.
    """
    left, top, right, bottom = box
    picture = Image.fromarray(np.ascontiguousarray(image))
    ratio = picture.width / picture.height if ratio is None else ratio
    high = min(bottom - top, (right - left) / ratio)
    size = max(1, int(high * ratio)), max(1, int(high))
    way = Image.Resampling.BICUBIC if size[1] < 2 * picture.height else Image.Resampling.NEAREST
    return picture.resize(size, way), (int(left + (right - left - size[0]) / 2), int(top))


class Canvas:
    """A picture to draw charts on; (width, height) pixels."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.image = Image.new("RGB", size, GROUND)
        self.draw = ImageDraw.Draw(self.image)

    def text(
        self,
        place: tuple[float, float],
        text: str,
        color: Color = BRIGHT,
        size: int = TEXT,
        anchor: str = "lm",
    ) -> None:
        """One line; `anchor` as in Pillow, e.g. "lm" = left, middle."""
        self.draw.text(place, text, fill=color, font=font(size), anchor=anchor)

    def title(self, box: Box, text: str, note: str = "") -> Box:
        """A headline with a note at its right; returns what is left of the box."""
        left, top, right, bottom = box
        room = right - left
        note = note if width(note, SMALL) + width(text) + 12 <= room else ""
        self.text((left, top + LINE / 2), shorten(text, room), BRIGHT)
        if note:
            self.text((right, top + LINE / 2), note, DIM, SMALL, "rm")
        return left, top + LINE + 4, right, bottom

    def rectangle(self, box: Box, color: Color) -> None:
        """Filled; nothing where it is narrower than half a pixel."""
        left, top, right, bottom = (round(value) for value in box)
        if right > left and bottom > top:
            self.draw.rectangle((left, top, right - 1, bottom - 1), fill=color)

    def columns(
        self, box: Box, heights: np.ndarray, colors: Sequence[Color], gap: float = 0.2
    ) -> None:
        """Upright bars of heights in [0, 1], side by side."""
        left, top, right, bottom = box
        step = (right - left) / len(heights)
        gap = gap if step >= 4 else 0.0
        for number, (height, color) in enumerate(zip(heights.tolist(), colors, strict=True)):
            x = left + number * step
            y = bottom - (bottom - top) * min(height, 1)
            self.rectangle((x + gap * step / 2, y, x + step - gap * step / 2, bottom), color)

    def row(
        self, box: Box, label: str, share: float, note: str, color: Color, label_room: float
    ) -> None:
        """A lying bar of a share in [0, 1], its label before it and a note behind it."""
        left, top, right, bottom = box
        middle, note_room = (top + bottom) / 2, width("100 %", SMALL) + 8
        start, end = left + label_room, right - note_room
        half = max(1.0, min((bottom - top) * 0.36, 8.0))
        emphasis = BRIGHT if color == CHOSEN else DIM
        self.text((left, middle), shorten(label, label_room - 8, SMALL), emphasis, SMALL)
        self.rectangle((start, middle - half, end, middle + half), SUNKEN)
        self.rectangle((start, middle - half, start + (end - start) * share, middle + half), color)
        self.text((right, middle), note, emphasis, SMALL, "rm")

    def grid(self, box: Box, heights: np.ndarray) -> None:
        """(rows, columns) in [0, 1] as square cells of the heat's colours."""
        rows, columns = heights.shape
        left, top, right, bottom = box
        side = min((right - left) / columns, (bottom - top) / rows)
        cells = heat(heights)
        for row in range(rows):
            for column in range(columns):
                x, y = left + column * side, top + row * side
                shade = tuple(cells[row, column].tolist())
                self.rectangle((x, y, x + side - (side > 4), y + side - (side > 4)), shade)

    def strip(self, box: Box, heights: np.ndarray) -> None:
        """(n,) in [0, 1] as one row of shades between ground and bar, stretched over the box."""
        left, top, right, bottom = (round(value) for value in box)
        if right > left and bottom > top:
            dark, bright = np.array(SUNKEN), np.array(BAR)
            row = dark + (bright - dark) * heights[:, None]
            picture = Image.fromarray(row[None].astype(np.uint8))
            self.image.paste(picture.resize((right - left, bottom - top)), (left, top))

    def paste(self, picture: Image.Image, place: tuple[int, int]) -> None:
        """Put a picture's upper left corner at a place."""
        self.image.paste(picture, place)

    def array(self) -> np.ndarray:
        """(height, width, 3) uint8."""
        return np.array(self.image)
