"""Values out of files that anybody may have written, and how the page shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

ABSENT = "\u2013"
"""Stands where there is no value."""

Pair = tuple[float, float]


def number(value: object) -> float | None:
    """A finite number, else None: a file may have NaN, null or a word there."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def pair(value: object) -> Pair | None:
    """(low, high) of an interval, else None."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return None if low is None or high is None else (low, high)


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object, or an empty one where there is something else."""
    return value if isinstance(value, dict) else {}


def printable(text: object) -> str:
    """A name for one line: without line breaks and control characters, halves of letters mended."""
    whole = str(text).encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() else "\ufffd" for c in whole)


def short(value: float | None) -> str:
    """About three digits, thousands with commas, a real minus."""
    if value is None:
        return ABSENT
    if abs(value) >= 999.5:
        text = f"{value:,.0f}"
    elif value == round(value, 9) == int(value):
        text = f"{int(value)}"
    else:
        text = f"{value:.3g}"
    return text.replace("-", "\u2212") if "e" not in text else text


def fixed(value: float | None, digits: int = 2) -> str:
    """So many digits behind the point, a real minus and none at zero."""
    if value is None:
        return ABSENT
    text = f"{value:,.{digits}f}"
    text = text.lstrip("-") if not text.strip("-0.,") else text
    return text.replace("-", "\u2212")


def percent(value: float | None, digits: int = 0) -> str:
    """A share of 1 in per cent."""
    return ABSENT if value is None else f"{fixed(100 * value, digits)} %"


def whole(value: float | None) -> str:
    """A count with commas."""
    return ABSENT if value is None else f"{value:,.0f}"


def large(value: float | None) -> str:
    """A count in at most three digits and a unit: 16.3 M."""
    if value is None:
        return ABSENT
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * unit:
            return f"{value / unit:.3g} {letter}"
    return short(value)


def size(count: float | None) -> str:
    """Bytes in decimal units."""
    return ABSENT if count is None else f"{large(count)}B" if count >= 999.5 else f"{count:.0f} B"


def duration(seconds: float | None) -> str:
    """Seconds as minutes or hours."""
    if seconds is None:
        return ABSENT
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def interval(value: Pair | None, digits: int | None = None, scale: float = 1) -> str:
    """[low, high]; with `digits` behind the point, else about three digits."""
    if value is None:
        return ""
    told = [short(v * scale) if digits is None else fixed(v * scale, digits) for v in value]
    return f"[{told[0]}, {told[1]}]"
