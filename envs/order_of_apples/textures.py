"""Surfaces made in code, with distance baked in.

Fog and blur both depend on the distance alone, so each texture is stored once per distance level,
already faded and already blurred to the width of a pixel there: drawing is one table look-up.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from gato_gym.envs.order_of_apples.world import FLOOR_STYLES, WALL_STYLES

LEVELS = 32
LEVELS_PER_UNIT = 2.0
FOG_DISTANCE = 17.0
FOG = {"day": (0.76, 0.86, 0.94), "dusk": (0.98, 0.68, 0.42)}
# How light falls on walls that face along x and along y, and on the floor.
LIGHT = {"day": (1.0, 0.80, 1.0), "dusk": (0.86, 0.66, 0.86)}
TINT = {"day": (1.0, 1.0, 1.0), "dusk": (1.10, 0.93, 0.80)}
TEXTURES = 2 * WALL_STYLES + FLOOR_STYLES
_MASTER = 64


def wall_texture(styles: np.ndarray, axis: int) -> np.ndarray:
    """Indices of walls' textures; axis 0 faces along x, 1 along y."""
    return 2 * styles + axis


def floor_texture(styles: np.ndarray) -> np.ndarray:
    """Indices of floors' textures; they come after those of the walls."""
    return 2 * WALL_STYLES + styles


def fog_share(distance: Any) -> Any:
    """How much of what is seen at a distance is fog, in [0, 1)."""
    return 1.0 - np.exp(-np.square(distance / FOG_DISTANCE))


@cache
def atlas(side: int, focal: float, mood: str) -> np.ndarray:
    """(LEVELS * TEXTURES * side * side,) uint32: level, texture, row, column; bytes R, G, B, 255.

    Args:
        side: texels along a unit, a power of two, at most 64.
        focal: of the view, in pixels; decides how wide a pixel is at a distance.
        mood: "day" or "dusk".
    """
    step = _MASTER // side
    masters = _masters().reshape(TEXTURES, side, step, side, step, 3).mean((2, 4))
    light = np.array([*LIGHT[mood][:2] * WALL_STYLES, *LIGHT[mood][2:] * FLOOR_STYLES])
    lit = masters * light[:, None, None, None] * TINT[mood]
    spectrum = np.fft.fft2(lit, axes=(1, 2))
    frequency = np.square(np.fft.fftfreq(side))
    squared = frequency[:, None] + frequency[None, :]
    distance = (np.arange(LEVELS) + 0.5) / LEVELS_PER_UNIT
    levels = np.empty((LEVELS, TEXTURES, side, side, 4), np.uint8)
    levels[..., 3] = 255
    for level, (away, fog) in enumerate(zip(distance, fog_share(distance), strict=True)):
        # A pixel covers away / focal units of a wall, and more of the floor, seen at a slant.
        upright = away / focal * side
        width = np.full(TEXTURES, upright)
        width[2 * WALL_STYLES :] = upright * (1.0 + away)
        # Never down to one colour: a hint of the pattern tells how far a wall is.
        sigma = 0.35 * np.minimum(width, side / 4.0)
        kernel = np.exp(-2.0 * np.square(np.pi * sigma)[:, None, None] * squared)
        blurred = np.fft.ifft2(spectrum * kernel[..., None], axes=(1, 2)).real
        faded = blurred * (1.0 - fog) + np.array(FOG[mood]) * fog
        levels[level, ..., :3] = np.clip(faded * 255.0 + 0.5, 0, 255)
    return levels.view(np.uint32).ravel()


@cache
def _masters() -> np.ndarray:
    """(TEXTURES, 64, 64, 3) in [0, 1]; row 0 is the top of a wall."""
    noise = _noise()
    walls = (_bricks(noise), _panels(noise), _stones(noise), _hexagons(noise), _weave(noise))
    floors = tuple(
        _tiles(noise, count, np.array(colour))
        for count, colour in (
            (2, (0.47, 0.47, 0.50)),
            (4, (0.36, 0.40, 0.50)),
            (2, (0.46, 0.36, 0.33)),
            (4, (0.43, 0.37, 0.46)),
        )
    )
    # Darker towards the floor, as a corner is; a bright rim closes the top.
    shade = np.ones(_MASTER)
    shade[-14:] = np.linspace(1.0, 0.62, 14)
    shade[:3] = 1.18
    shaded = [np.clip(wall * shade[:, None, None], 0, 1) for wall in walls]
    return np.stack([*(wall for wall in shaded for _ in range(2)), *floors])


def _noise() -> np.ndarray:
    """(3, 64, 64): smooth tiling noise, coarse to fine, mean 0, deviation 1."""
    rng = np.random.default_rng(19)
    frequency = np.fft.fftfreq(_MASTER) * _MASTER
    radius = np.hypot(frequency[:, None], frequency[None, :])
    fields = []
    for width in (3.0, 8.0, 24.0):
        spectrum = np.fft.fft2(rng.normal(size=(_MASTER, _MASTER))) * np.exp(
            -((radius / width) ** 2)
        )
        spectrum[0, 0] = 0
        field = np.fft.ifft2(spectrum).real
        fields.append(field / field.std())
    return np.stack(fields)


def _grid() -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:_MASTER, :_MASTER]
    return rows, columns


def _paint(colour: tuple[float, float, float], value: np.ndarray) -> np.ndarray:
    return np.clip(np.array(colour) * value[..., None], 0, 1)


def _bevel(rows: np.ndarray, columns: np.ndarray, height: int, width: int) -> np.ndarray:
    """Light on the upper left edges of blocks, shadow on the lower right, dark joints between."""
    value = np.ones(rows.shape)
    value[(rows == 1) | (columns == 1)] = 1.16
    value[(rows == height - 1) | (columns == width - 1)] = 0.80
    value[(rows == 0) | (columns == 0)] = 0.52
    return value


def _bricks(noise: np.ndarray) -> np.ndarray:
    rows, columns = _grid()
    course = rows // 8
    shifted = (columns + 8 * (course % 2)) % _MASTER
    tone = 1.0 + 0.10 * np.sin(3.1 * course + 7.7 * (shifted // 16))
    value = _bevel(rows % 8, shifted % 16, 8, 16) * tone * (1 + 0.05 * noise[2])
    return _paint((0.70, 0.29, 0.24), value)


def _panels(noise: np.ndarray) -> np.ndarray:
    rows, columns = _grid()
    value = _bevel(rows % 32, columns % 32, 32, 32) * (1 + 0.04 * noise[1])
    inner = np.maximum(np.abs(rows % 32 - 16), np.abs(columns % 32 - 16))
    value *= np.where(inner == 10, 0.75, np.where(inner < 10, 1.12, 1.0))
    return _paint((0.22, 0.42, 0.74), value)


def _stones(noise: np.ndarray) -> np.ndarray:
    rows, columns = _grid()
    course = rows // 16
    shifted = (columns + 11 * course) % _MASTER
    tone = 1.0 + 0.12 * np.sin(5.3 * course + 2.9 * (shifted // 32))
    value = _bevel(rows % 16, shifted % 32, 16, 32) * tone * (1 + 0.07 * noise[2] + 0.04 * noise[0])
    return _paint((0.62, 0.62, 0.66), value)


def _hexagons(noise: np.ndarray) -> np.ndarray:
    rows, columns = _grid()
    across, down = columns * (2 * np.pi / 16), rows * (2 * np.pi / 32)
    cells = np.cos(across) + np.cos(across / 2 + down) + np.cos(across / 2 - down)
    value = 0.88 + 0.14 * np.tanh(2.5 * cells) + 0.04 * noise[1]
    return _paint((0.58, 0.34, 0.70), value)


def _weave(noise: np.ndarray) -> np.ndarray:
    rows, columns = _grid()
    over = (rows // 8 + columns // 8) % 2 == 0
    bulge = np.where(
        over, np.sin(np.pi * (columns % 8 + 0.5) / 8), np.sin(np.pi * (rows % 8 + 0.5) / 8)
    )
    return _paint((0.20, 0.56, 0.60), (0.62 + 0.45 * bulge) * (1 + 0.03 * noise[2]))


def _tiles(noise: np.ndarray, count: int, colour: np.ndarray) -> np.ndarray:
    rows, columns = _grid()
    side = _MASTER // count
    chequer = 1.0 + 0.10 * np.where((rows // side + columns // side) % 2 == 0, 1, -1)
    value = _bevel(rows % side, columns % side, side, side) ** 0.6 * chequer
    return np.clip(colour * (value * (1 + 0.05 * noise[1] + 0.03 * noise[2]))[..., None], 0, 1)
