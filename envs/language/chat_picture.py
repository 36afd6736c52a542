"""A conversation as a picture: speech bubbles, the newest at the bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK = (244, 243, 239), (28, 30, 34)
_USER, _RIGHT, _WRONG = (206, 224, 247), (212, 236, 208), (246, 214, 206)
_FONT, _LINE, _PAD, _GAP = 15, 19, 8, 8
_WIDEST = 0.78  # of the picture, so that it shows on which side a bubble is


@dataclass(frozen=True)
class Utterance:
    """What somebody said. `right` is None for the user, who is not judged."""

    text: str
    right: bool | None = None


class _Bubble(NamedTuple):
    lines: list[str]
    width: int
    height: int


def draw_chat(said: Sequence[Utterance], width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8: the user left, replies right, green if they are correct.

    What does not fit goes out at the top.
    """
    picture = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(picture)
    bottom = height - _GAP
    for utterance in reversed(said):
        bubble = _bubble(utterance.text, int(_WIDEST * width))
        top = bottom - bubble.height
        left = _GAP if utterance.right is None else width - _GAP - bubble.width
        colour = {None: _USER, True: _RIGHT, False: _WRONG}[utterance.right]
        pen.rounded_rectangle((left, top, left + bubble.width, bottom), 9, colour)
        for i, line in enumerate(bubble.lines):
            pen.text((left + _PAD, top + _PAD - 2 + i * _LINE), line, _INK, _font())
        bottom = top - _GAP
        if bottom < 0:
            break
    return np.asarray(picture)


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT)


def _bubble(text: str, widest: int) -> _Bubble:
    lines = _wrapped(text, widest - 2 * _PAD) or [""]
    width = max(int(_font().getlength(line)) for line in lines) + 2 * _PAD + 1
    return _Bubble(lines, width, len(lines) * _LINE + 2 * _PAD - 3)


def _wrapped(text: str, widest: int) -> list[str]:
    """Lines of whole words, of parts of words where one is wider than a line."""
    lines: list[str] = []
    for word in text.split():
        if lines and _font().getlength(f"{lines[-1]} {word}") <= widest:
            lines[-1] += f" {word}"
            continue
        while _font().getlength(word) > widest:
            fits = next(n for n in range(len(word), 0, -1) if _font().getlength(word[:n]) <= widest)
            lines.append(word[:fits])
            word = word[fits:]
        lines.append(word)
    return lines
