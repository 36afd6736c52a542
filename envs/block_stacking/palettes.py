"""What the colours of the objects look like: the usual ones, and others that no data shows.

Names stay: a block that is called red is one whatever palette paints it. In `SAME_NAMES` people
would still say so.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping

Colour = tuple[float, float, float, float]
"""Red, green, blue and opacity, in [0, 1]."""

COLOURS: Mapping[str, Colour] = {
    "red": (0.86, 0.10, 0.12, 1),
    "green": (0.12, 0.66, 0.22, 1),
    "blue": (0.10, 0.28, 0.86, 1),
}


def _turned(degrees: float) -> dict[str, Colour]:
    """Every hue turned by as much on the circle of hues, as saturated and as bright as before."""
    found = {}
    for name, (*rgb, opacity) in COLOURS.items():
        hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
        found[name] = (*colorsys.hsv_to_rgb((hue + degrees / 360) % 1, saturation, value), opacity)
    return found


def _mixed(grey: float, share: float) -> dict[str, Colour]:
    """A share of every colour replaced by a grey, 0 black and 1 white."""
    found = {}
    for name, (red, green, blue, opacity) in COLOURS.items():
        red, green, blue = (part + share * (grey - part) for part in (red, green, blue))
        found[name] = (red, green, blue, opacity)
    return found


STANDARD = "standard"
PALETTES: Mapping[str, Mapping[str, Colour]] = {
    STANDARD: COLOURS,
    "dark": _mixed(0.0, 0.5),
    "pale": _mixed(1.0, 0.35),
    "hue30": _turned(30),
    "hue60": _turned(60),
}
"""By name; `hue30` is orange, teal and violet, `hue60` about yellow, cyan and magenta."""
SAME_NAMES = (STANDARD, "dark", "pale")
"""Palettes whose colours are still called red, green and blue."""
