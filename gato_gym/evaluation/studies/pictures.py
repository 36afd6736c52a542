"""How the pictures of studies look: grounds, lines, panels, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gato_gym.evaluation.report import theme

Theme = Literal["light", "dark"]
THEMES: Mapping[Theme, Mapping[str, str]] = {
    "light": {"ground": "#ffffff", "text": "#24292f", "faint": "#c9ced6"},
    "dark": {"ground": "#111318", "text": "#e6e8ee", "faint": "#3d434f"},
}
LINES = (
    ("#2f81c1", "o"),
    ("#2ea36b", "s"),
    ("#c9871f", "^"),
    ("#a16ad0", "v"),
    ("#d0574a", "D"),
)
"""Colour and mark of each line: told apart without colours too; the same on both grounds."""
SCORE = "score (0 random, 1 expert)"
DPI = 120


def new_picture(size: tuple[float, float], colours: Mapping[str, str]) -> Figure:
    """An empty picture of (width, height) inches."""
    picture = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor=colours["ground"])
    FigureCanvasAgg(picture)
    return picture


def label_panel(panel: Any, title: str, x: str, y: str, colours: Mapping[str, str]) -> None:
    """Title, axes and ground of a panel."""
    panel.set_facecolor(colours["ground"])
    panel.set_title(title, size=9, color=colours["text"])
    panel.set_xlabel(x, size=8, color=colours["text"])
    panel.set_ylabel(y, size=8, color=colours["text"])
    panel.tick_params(labelsize=7, colors=colours["text"])
    for side, spine in panel.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(colours["faint"])


def mark_levels(panel: Any, colours: Mapping[str, str]) -> None:
    """Lines at random play and at the expert."""
    for level, style in ((0, ":"), (1, "--")):
        panel.axhline(level, color=colours["faint"], ls=style, lw=1, zorder=0)


def add_legend(picture: Figure, handles: Sequence[Any], colours: Mapping[str, str]) -> None:
    """On the right, beside all panels."""
    legend = picture.legend(
        handles=list(handles), loc="outside right center", fontsize=8, frameon=False
    )
    for text in legend.get_texts():
        text.set_color(colours["text"])


def save_picture(picture: Figure, stem: Path, salt: str) -> list[Path]:
    """Write STEM.svg and STEM.png, each completely or not at all; their paths.

    Args:
        salt: of the names inside the SVG, so that the same study gives the same bytes.
    """
    paths = []
    for kind in ("svg", "png"):
        path = stem.with_name(f"{stem.name}.{kind}")
        theme.replace(path, theme.written(picture, salt, kind, picture.dpi))
        paths.append(path)
    return paths
