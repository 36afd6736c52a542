"""Charts in files of their own: SVG or PNG, for a light and for a dark ground."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from gato_gym.evaluation.report import theme

SUFFIXES = (".png", ".svg")

Ink = Mapping[str, str]
"""Role, see `theme.COLORS` -> colour."""
LIGHT: Ink = {role: pair[0] for role, pair in theme.COLORS.items()}
DARK: Ink = {role: pair[1] for role, pair in theme.COLORS.items()}


def check_chart(path: Path) -> None:
    """Raise ValueError for a file that a figure cannot be written to."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"a chart is a file .svg or .png, got {str(path)!r}")


def save_chart(figure: Figure, path: Path) -> None:
    """Write a figure, complete or not at all; the same figure gives the same bytes.

    Raises:
        ValueError: see `check_chart`.
    """
    check_chart(path)
    theme.replace(path, theme.written(figure, "", path.suffix.lower()[1:], figure.dpi))


def save_both(draw: Callable[[Ink], Figure], path: Path) -> list[Path]:
    """Write a chart for a light ground to the path, for a dark one to NAME-dark beside it.

    Raises:
        ValueError: see `check_chart`.
    """
    check_chart(path)
    paths = [path, path.with_name(f"{path.stem}-dark{path.suffix}")]
    for ink, where in zip((LIGHT, DARK), paths, strict=True):
        with theme.drawing():
            figure = draw(ink)
        save_chart(figure, where)
    return paths
