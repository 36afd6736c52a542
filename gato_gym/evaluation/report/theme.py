"""The colours of page and figures, and how a figure becomes part of a page or files of its own.

A figure is drawn once, in the light colours. In the page each of them becomes a CSS variable, so
that it follows the reader's theme; texts stay texts, in the page's font. The hues of the lines are
told apart with every common colour vision (after Okabe and Ito), and lines differ by dashes, too.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLORS = {
    "ground": ("#f7f6f3", "#121418"),
    "card": ("#ffffff", "#1a1d23"),
    "ink": ("#1b1e24", "#e8eaee"),
    "dim": ("#5a616e", "#a0a7b4"),
    "line": ("#dfddd7", "#333944"),
    "soft": ("#efede8", "#242830"),
    "blue": ("#0a66b0", "#62b0f2"),
    "orange": ("#c24f0c", "#f2935a"),
    "green": ("#00806a", "#37c7a4"),
    "pink": ("#a64a8a", "#e193c5"),
    "yellow": ("#9a7200", "#e6bb45"),
    "gray": ("#6b7280", "#b4bac5"),
    "warn": ("#8a5300", "#f0b959"),
    "bad": ("#b3261e", "#ff8f86"),
}
"""Role -> (light, dark)."""
HUES = ("blue", "orange", "green", "pink", "yellow", "gray")
DASHES = ("solid", (0, (5, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)))

DPI = 200
_LARGEST = 1.4  # pixels of the page for a point of a figure
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_ROLES = {light: role for role, (light, _) in COLORS.items()}
_PAINT = re.compile(r"((?:fill|stroke): )(#[0-9a-f]{6})")
_FONT = re.compile(r"font-family: [^;]*;? ?")
_OWN = re.compile(r"url\(#")


def light(role: str) -> str:
    """The light colour of a role; what figures are drawn in."""
    return COLORS[role][0]


def hue(place: int) -> str:
    """The colour of the line of a number."""
    return light(HUES[place % len(HUES)])


def dash(place: int) -> str | tuple[float, tuple[float, ...]]:
    """The dashes of the line of a number: others once the colours begin again."""
    return DASHES[place // len(HUES) % len(DASHES)]  # type: ignore[return-value]  # of both kinds


def variables(dark: bool) -> Markup:
    """The colours of a theme as CSS."""
    return Markup(" ".join(f"--{role}: {pair[dark]};" for role, pair in COLORS.items()))


@contextmanager
def drawing(salt: str = "") -> Iterator[None]:
    """Matplotlib as it has to be when figures are made and written.

    A task may be called `$x`, which is no formula, or have letters that the font lacks.
    """
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": f"gato-gym {salt}",
        "text.parse_math": False,
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.unicode_minus": True,
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def inline(figure: Figure, name: str, told: str, shown: str = "") -> Markup:
    """A figure as an SVG element of a page.

    Args:
        figure: its ground is left out.
        name: letters, digits and dashes; other than that of any other figure of the page.
        told: what it shows, for those who cannot see it.
        shown: CSS classes that tell on which grounds and widths it is seen.
    """
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    root = ElementTree.fromstring(written(figure, name, "svg"))
    for element in root.iter():
        attributes = element.attrib
        if "id" in attributes:
            attributes["id"] = f"{name}-{attributes['id']}"
        if _HREF in attributes:  # always of the same file
            attributes["href"] = f"#{name}-{attributes.pop(_HREF).removeprefix('#')}"
        if "clip-path" in attributes:
            attributes["clip-path"] = _OWN.sub(f"url(#{name}-", attributes["clip-path"])
        if "style" in attributes:
            attributes["style"] = _FONT.sub("", _PAINT.sub(_variable, attributes["style"]))
        element.tag = element.tag.removeprefix(_SVG)
    for defs in [one for one in root if any(child.tag == "style" for child in one)]:
        root.remove(defs)  # the page's own style says it
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    # Letters that grow without end are no easier to read.
    root.attrib["style"] = f"max-width: {_LARGEST * 72 * figure.get_figwidth():.0f}px"
    root.attrib |= {"role": "img", "aria-label": told, "data-figure": name}
    if shown:
        root.attrib["class"] = shown
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _variable(found: re.Match[str]) -> str:
    role = _ROLES.get(found[2])
    return found[0] if role is None else f"{found[1]}var(--{role})"


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write name.png and name.svg on a white ground, each complete or not at all."""
    figure.set_facecolor("white")
    figure.patch.set_visible(True)
    files = []
    for kind in ("png", "svg"):
        path = folder / f"{name}.{kind}"
        replace(path, written(figure, name, kind))
        files.append(path)
    return files


def replace(path: Path, data: bytes) -> None:
    """Write a file completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def written(figure: Figure, name: str, kind: str, dpi: float = DPI) -> bytes:
    """The bytes of a figure: the same for the same figure, so without time and versions."""
    nothing = ("Software",) if kind == "png" else ("Date", "Creator", "Format", "Type")
    buffer = io.BytesIO()
    with drawing(name):
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=dict.fromkeys(nothing))
    return buffer.getvalue()
