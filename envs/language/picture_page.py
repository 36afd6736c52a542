"""What a person sees of an episode of pictures and words: the picture, and what was said so far."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAGE = 640, 400
"""Width and height in pixels."""

_BACK, _INK, _DIM, _LINE = (24, 26, 32), (236, 238, 242), (150, 156, 170), (60, 64, 76)
_RIGHT, _PART, _WRONG = (92, 200, 120), (240, 190, 80), (236, 96, 90)
_SCALE, _EDGE = 4, 16
_ROWS = 5  # lines of text beside a small picture


class Told(NamedTuple):
    """A pair that is done: the picture (64, 80, 3), the question or "", what was said about it.

    `reference` is what the expert would have said.
    """

    image: np.ndarray
    asked: str
    words: str
    reference: str
    reward: float


def draw_page(image: np.ndarray, asked: str, told: Sequence[Told], pairs: int) -> np.ndarray:
    """(400, 640, 3) uint8: the picture large, the pairs that are done at its right.

    Args:
        image: (64, 80, 3) uint8, the picture that is shown now.
        asked: the question about it, "" if none.
        told: the pairs that are done, at most `pairs`.
        pairs: of the episode.
    """
    page = Image.new("RGB", PAGE, _BACK)
    draw = ImageDraw.Draw(page)
    high, wide = image.shape[:2]
    page.paste(_scaled(image, _SCALE), (_EDGE, _EDGE))
    low = _EDGE + high * _SCALE + 12
    done = len(told) == pairs
    number = f"picture {min(len(told) + 1, pairs)} of {pairs}"
    draw.text((_EDGE, low), number, _DIM, ImageFont.load_default(12))
    lines = textwrap.wrap(asked, 38)[:3] if asked else []
    draw.multiline_text((_EDGE, low + 22), "\n".join(lines), _INK, ImageFont.load_default(16))
    if done:
        mean = sum(pair.reward for pair in told) / pairs
        score = f"mean reward {mean:.2f}"
        draw.text((_EDGE, PAGE[1] - _EDGE - 16), score, _INK, ImageFont.load_default(14))

    column = 2 * _EDGE + wide * _SCALE
    row_high = (PAGE[1] - 2 * _EDGE) // pairs
    draw.line((column - 8, _EDGE, column - 8, PAGE[1] - _EDGE), _LINE)
    for number_done, pair in enumerate(told):
        _draw_pair(page, draw, pair, (column, _EDGE + number_done * row_high))
    return np.asarray(page)


def _draw_pair(
    page: Image.Image, draw: ImageDraw.ImageDraw, pair: Told, corner: tuple[int, int]
) -> None:
    left, top = corner
    page.paste(Image.fromarray(pair.image), (left, top))
    left += pair.image.shape[1] + 10
    colour = _RIGHT if pair.reward == 1 else _WRONG if pair.reward == 0 else _PART
    lines = [(line, _DIM) for line in _wrapped(pair.asked, 2)]
    right = [(line, _RIGHT) for line in _wrapped(pair.reference, 2)] if pair.reward < 1 else []
    said = _wrapped(pair.words or "(nothing)", _ROWS - len(lines) - len(right))
    lines += [(line, _INK) for line in said] + right
    font = ImageFont.load_default(11)
    for number, (line, ink) in enumerate(lines):
        draw.text((left, top - 2 + number * 13), line, ink, font)
    draw.rectangle((left - 7, top, left - 5, top + pair.image.shape[0] - 1), colour)


def _wrapped(text: str, rows: int) -> list[str]:
    lines = textwrap.wrap(text, 34)
    return lines if len(lines) <= rows else [*lines[: rows - 1], lines[rows - 1][:30] + " ..."]


def _scaled(image: np.ndarray, times: int) -> Image.Image:
    high, wide = image.shape[:2]
    size = (wide * times, high * times)
    return Image.fromarray(image).resize(size, Image.Resampling.NEAREST)
