"""Apples as shaded pictures with soft edges, one per size, fog and mood; drawn far to near."""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from PIL import Image

from gato_gym.envs.order_of_apples.textures import FOG, fog_share

# A sprite shows this much of the world: a square that stands on the floor [units].
EXTENT = 0.72
FOG_STEPS = 8
FOG_STEP = 2.0  # units of distance
_MASTER = 128
_CENTRE, _RADIUS = 0.40, 0.25  # of the body above the floor [units]
_BODY = {"green": (0.25, 0.80, 0.16), "gold": (1.00, 0.77, 0.10)}
_LIGHT = np.array([-0.45, 0.65, 0.61])


@lru_cache(maxsize=2048)
def sprite(kind: str, side: int, fog: int, mood: str) -> tuple[np.ndarray, np.ndarray]:
    """The picture of an apple: colour (side, side, 3) uint16 times its share, and 256 - share.

    The share of 256 says how much it hides of what is behind: drawing is
    `colour + (behind * rest >> 8)`.

    Args:
        kind: "green" or "gold".
        side: in pixels.
        fog: distance in FOG_STEPs.
        mood: "day" or "dusk".
    """
    colour, share = _master(kind)
    # Half of the fog only: near and far apples must have the same colour to the eye.
    mix = 0.5 * float(fog_share(fog * FOG_STEP))
    tint = np.array((1.0, 0.95, 0.88)) if mood == "dusk" else 1.0
    faded = colour * tint * (1 - mix) + np.array(FOG[mood]) * mix * share[..., None]
    layers = [*np.moveaxis(faded, -1, 0), share]
    how = Image.Resampling.BOX if side < _MASTER else Image.Resampling.BILINEAR
    small = [
        np.asarray(Image.fromarray(x.astype(np.float32)).resize((side, side), how)) for x in layers
    ]
    picture = np.stack(small[:3], axis=-1)
    rest = np.rint(256.0 * (1.0 - small[3])).astype(np.uint16)[..., None]
    # Rounded down, so that colour and what shines through never add up to more than 255.
    return np.clip(picture * 254.0, 0, 256.0 - rest).astype(np.uint16), rest


@cache
def _master(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Colour times share (128, 128, 3), share (128, 128): sphere, dimple, stem, leaf, shadow."""
    ticks = (np.arange(_MASTER) + 0.5) / _MASTER * EXTENT
    across, up = np.meshgrid(ticks - EXTENT / 2, EXTENT - ticks)
    x, y = across / _RADIUS, (up - _CENTRE) / _RADIUS
    # An apple is a ball that narrows downwards, with a dip on top.
    x = x / (1.0 + 0.10 * np.clip(y, -1, 1))
    y = y + 0.17 * np.exp(-np.square(x / 0.30)) * np.clip(2.0 * y, 0, 1)
    inside = np.clip((1.0 - np.hypot(x, y)) / 0.05, 0, 1)
    z = np.sqrt(np.clip(1.0 - x * x - y * y, 0, 1))
    normal = np.stack([x, y, z], -1)
    facing = np.clip(normal @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
    body = np.array(_BODY[kind]) * (0.42 + 0.70 * facing[..., None])
    gloss = np.exp(-(np.square(x + 0.34) + np.square(y - 0.42)) / 0.030)
    body = body + 0.75 * gloss[..., None]
    shadow = 0.55 * np.exp(-((np.square(across / 0.20) + np.square((up - 0.055) / 0.035)) ** 2))
    colour = np.zeros((_MASTER, _MASTER, 3))
    share = shadow
    colour, share = _over(colour, share, body, inside)
    bend = 0.03 * np.square((up - 0.58) / 0.1)
    stem = np.clip((0.016 - np.abs(across - bend)) / 0.006, 0, 1) * ((up > 0.57) & (up < 0.70))
    colour, share = _over(colour, share, np.array((0.36, 0.22, 0.10)), stem)
    leaf_x, leaf_y = (
        (across - 0.095) * 0.9 + (up - 0.665) * 0.45,
        (up - 0.665) - 0.4 * (across - 0.095),
    )
    leaf = np.clip((1.0 - np.hypot(leaf_x / 0.085, leaf_y / 0.034)) / 0.2, 0, 1)
    tone = np.where(leaf_y > 0, 1.0, 0.75)[..., None]
    colour, share = _over(colour, share, np.array((0.16, 0.52, 0.14)) * tone, leaf)
    return np.clip(colour, 0, 1), share


def _over(
    below: np.ndarray, below_share: np.ndarray, colour: np.ndarray, share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Paint a colour over a picture whose colours are multiplied by their share."""
    mixed = below * (1 - share[..., None]) + np.clip(colour, 0, 1) * share[..., None]
    return mixed, below_share * (1 - share) + share
