"""The sky and the far hills, a function of the direction one looks in.

It is a compass (the sun and the hills stay where they are) and the clock of the task: day while a
green apple is left, dusk once the gold ones may be taken.
"""

from __future__ import annotations

import numpy as np

ZENITH = {"day": (0.20, 0.44, 0.80), "dusk": (0.27, 0.20, 0.42)}
HORIZON = {"day": (0.78, 0.88, 0.95), "dusk": (1.00, 0.70, 0.40)}
CLOUD = {"day": (1.00, 1.00, 1.00), "dusk": (1.00, 0.62, 0.50)}
SUN = {"day": (1.00, 0.97, 0.80), "dusk": (1.00, 0.88, 0.55)}
HILLS = {"day": (0.47, 0.58, 0.72), "dusk": (0.42, 0.28, 0.42)}
SUN_AZIMUTH = 0.9
SUN_ELEVATION = {"day": 0.42, "dusk": 0.20}


def sky_colour(azimuth: np.ndarray, elevation: np.ndarray, mood: str) -> np.ndarray:
    """(..., 3) uint8 colours.

    Args:
        azimuth, elevation: in radians, of one shape; elevation >= 0.
        mood: "day" or "dusk".
    """
    height = np.clip(elevation / 0.75, 0.0, 1.0)[..., None] ** 0.7
    colour = np.array(HORIZON[mood]) * (1 - height) + np.array(ZENITH[mood]) * height
    cover = np.clip(_clouds(azimuth, elevation), 0.0, 0.85)[..., None]
    colour = colour * (1 - cover) + np.array(CLOUD[mood]) * cover
    away = np.arccos(
        np.clip(
            np.sin(elevation) * np.sin(SUN_ELEVATION[mood])
            + np.cos(elevation) * np.cos(SUN_ELEVATION[mood]) * np.cos(azimuth - SUN_AZIMUTH),
            -1.0,
            1.0,
        )
    )
    glow = np.clip(0.55 * np.exp(-away / 0.22) + np.clip((0.085 - away) / 0.02, 0, 1), 0, 1)
    colour = colour + (np.array(SUN[mood]) - colour) * glow[..., None]
    ridge = _ridge(azimuth)
    hill = np.clip((ridge - elevation) / 0.012, 0.0, 1.0)[..., None]
    haze = 0.55 + 0.45 * np.clip(elevation / 0.12, 0, 1)[..., None]
    far = np.array(HILLS[mood]) * haze + np.array(HORIZON[mood]) * (1 - haze)
    return np.clip((colour * (1 - hill) + far * hill) * 255.0 + 0.5, 0, 255).astype(np.uint8)


def _ridge(azimuth: np.ndarray) -> np.ndarray:
    """Elevation of the hills; whole frequencies, so that they close around the horizon."""
    return (
        0.105
        + 0.035 * np.sin(3 * azimuth + 1.0)
        + 0.022 * np.sin(7 * azimuth + 0.3)
        + 0.012 * np.sin(17 * azimuth + 2.0)
        + 0.006 * np.sin(41 * azimuth)
    )


def _clouds(azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Flat-bottomed puffs in a belt: waves of whole frequencies, each bent by the last."""
    bent = azimuth + 0.10 * np.sin(5 * azimuth + 9 * elevation)
    value = (
        0.5 * np.sin(4 * bent + 3.0 + 2.5 * np.sin(6.0 * elevation))
        + 0.35 * np.sin(9 * bent - 11.0 * elevation)
        + 0.22 * np.sin(19 * bent + 21.0 * elevation + 1.3)
        + 0.12 * np.sin(37 * bent - 40.0 * elevation)
    )
    belt = np.exp(-np.square((elevation - 0.42) / 0.20))
    return 1.5 * (value - 0.15) * belt
