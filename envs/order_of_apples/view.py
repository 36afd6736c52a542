"""The first-person picture: grid ray casting in NumPy, no GL.

Every ray is crossed with every grid line at once, in place of walking from cell to cell. Headings
are few, so all that depends on the heading alone is computed once per picture size. Below, W and H
are columns and rows, L the SIDE - 1 grid lines of either axis, T the texels along a unit.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gato_gym.envs.order_of_apples.sky import sky_colour
from gato_gym.envs.order_of_apples.sprites import EXTENT, FOG_STEP, FOG_STEPS, sprite
from gato_gym.envs.order_of_apples.textures import (
    LEVELS,
    LEVELS_PER_UNIT,
    TEXTURES,
    atlas,
    floor_texture,
    wall_texture,
)
from gato_gym.envs.order_of_apples.world import GREEN, HEADINGS, SIDE, World

FIELD_OF_VIEW = np.deg2rad(80.0)  # horizontal
EYE = 0.5  # height of the eye; walls are 1 high
NEAREST = 0.12  # apples nearer than this are not drawn
_PITCH = 16  # cells of a row of the look-up tables, a power of two
_FAR = np.float32(1e6)


class Tables:
    """What a world looks like, flat: index = axis * 256 + line cell * 16 + other cell."""

    def __init__(self, world: World) -> None:
        solid = np.ones((_PITCH, _PITCH), bool)
        solid[:SIDE, :SIDE] = world.walls
        rooms = np.zeros((_PITCH, _PITCH), int)
        rooms[:SIDE, :SIDE] = world.rooms
        self.solid = np.concatenate([solid.ravel(), solid.T.ravel()])
        styles = world.wall_styles[rooms]
        # A wall shows the style of the room it is seen from.
        self.wall = np.concatenate(
            [wall_texture(styles, 0).ravel(), wall_texture(styles.T, 1).ravel()]
        ).astype(np.int32)
        self.floor = floor_texture(world.floor_styles[rooms]).ravel().astype(np.int32)


class FirstPersonView:
    """Draws pictures of one size; `first_person_view` keeps one per size.

    Args:
        height, width: of the picture; the height is even.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.focal = width / 2 / float(np.tan(FIELD_OF_VIEW / 2))
        self.texels = 32 if width <= 160 else 64
        self._shift = self.texels.bit_length() - 1
        across = (np.arange(width) + 0.5 - width / 2) / self.focal
        angles = np.arange(HEADINGS) * (2 * np.pi / HEADINGS)
        self.forward = np.stack([np.cos(angles), np.sin(angles)], 1)
        self.right = np.stack([np.sin(angles), -np.cos(angles)], 1)
        rays = self.forward[:, :, None] + self.right[:, :, None] * across  # (HEADINGS, 2, W)
        # No ray is parallel to an axis: its crossings would lie at infinity.
        rays = np.where(np.abs(rays) < 1e-4, 1e-4, rays)
        self._rays = rays.astype(np.float32)[:, :, None, :]
        self._inverse = (1.0 / rays).astype(np.float32)[:, :, None, :]
        self._lines = np.arange(1, SIDE, dtype=np.float32)[None, :, None]
        # The cell that a ray enters at a line, and how far back in the table the one it leaves is.
        entered = np.arange(1, SIDE)[:, None] - (rays < 0)[:, :, None, :]
        axis = np.arange(2)[:, None, None] * _PITCH**2
        self._entered = (axis + entered * _PITCH).astype(np.int32)
        self._back = np.where(rays > 0, -_PITCH, _PITCH).astype(np.int32)
        self._columns = np.arange(width)
        rows = np.arange(height) + 0.5 - height / 2
        self._slope = (rows / self.focal * self.texels).astype(np.float32)[:, None]
        below = EYE * self.focal / rows[height // 2 :]  # distance of the floor in each lower row
        self._below = below
        level = np.minimum(below * LEVELS_PER_UNIT, LEVELS - 1).astype(np.int32)
        self._floor_level = (level * TEXTURES * self.texels**2)[:, None].astype(np.int32)
        self._floors: dict[int, np.ndarray] = {}
        self._skies: dict[tuple[int, str], np.ndarray] = {}

    def draw(
        self,
        tables: Tables,
        position: tuple[float, float],
        heading: int,
        apples: np.ndarray,
        kinds: np.ndarray,
        mood: str,
    ) -> np.ndarray:
        """(H, W, 3) uint8.

        Args:
            tables: of the world.
            position: of the eye, inside of a free cell.
            heading: in [0, HEADINGS).
            apples: (N, 2) positions of those that are left.
            kinds: (N,) their numbers in `World.apples`; below GREEN they are green.
            mood: "day" or "dusk".
        """
        depth, base = self._walls(tables, position, heading)
        half, texels = self.height // 2, self.texels
        # Texel row of every pixel as if all were wall; unsigned, so that above the top is large.
        rows = (self._slope * depth + np.float32(texels * EYE)).astype(np.int32)
        upright = rows.view(np.uint32) < texels
        index = (rows << self._shift) + base
        ground = self._ground(tables, position, heading)
        np.copyto(ground, index[half:], where=upright[half:])
        colours = atlas(texels, self.focal, mood)
        picture = np.empty((self.height, self.width), np.uint32)
        colours.take(index[:half], out=picture[:half], mode="clip")
        np.copyto(picture[:half], self._sky(heading, mood), where=~upright[:half])
        colours.take(ground, out=picture[half:], mode="clip")
        frame = np.empty((self.height, self.width, 3), np.uint8)
        packed = picture.view(np.uint8).reshape(self.height, self.width, 4)
        for channel in range(3):  # five times as fast as a copy of packed[..., :3]
            frame[..., channel] = packed[..., channel]
        if len(apples):
            self._apples(frame, depth, position, heading, apples, kinds, mood)
        return frame

    def _walls(
        self, tables: Tables, position: tuple[float, float], heading: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of each column: distance along the view's axis, and atlas index of its row 0."""
        here = np.array(position, np.float32)[:, None, None]
        away = (self._lines - here) * self._inverse[heading]  # (2, L, W)
        other = here[::-1] + away * self._rays[heading][::-1]
        # Crossings outside of the garden look up some wrong cell: the border lies before them.
        index = other.astype(np.int32) + self._entered[heading]
        hit = tables.solid.take(index, mode="clip")
        crossing = np.where(hit, away, _FAR).reshape(-1, self.width)
        # As unsigned numbers, floats below zero (crossings behind one's back) are the largest.
        first = crossing.view(np.uint32).argmin(0)
        flat = first * self.width + self._columns
        depth = crossing.ravel().take(flat)
        axis = (first >= SIDE - 1).view(np.int8)
        left = index.ravel().take(flat) + self._back[heading][axis, self._columns]
        texture = tables.wall.take(left)
        along = (other.ravel().take(flat) * self.texels).astype(np.int32) & (self.texels - 1)
        level = np.minimum(depth * LEVELS_PER_UNIT, LEVELS - 1).astype(np.int32)
        return depth, ((level * TEXTURES + texture) << (2 * self._shift)) + along

    def _ground(self, tables: Tables, position: tuple[float, float], heading: int) -> np.ndarray:
        """(H / 2, W) atlas indices of the floor, walls or not."""
        if heading not in self._floors:
            rays = self._rays[heading].transpose(1, 0, 2)[0][:, None, :]
            points = self._below[None, :, None] * rays * self.texels
            # Floored where they are added up, so that texels do not jump at the axes.
            self._floors[heading] = np.floor(points).astype(np.int32)
        texels, mask = self.texels, self.texels - 1
        x, y = self._floors[heading]
        x = x + int(position[0] * texels)
        y = y + int(position[1] * texels)
        cell = ((x >> self._shift) & (_PITCH - 1)) * _PITCH
        cell += (y >> self._shift) & (_PITCH - 1)
        index = tables.floor.take(cell)
        index <<= 2 * self._shift
        x &= mask
        x <<= self._shift
        y &= mask
        index += x
        index += y
        index += self._floor_level
        return index

    def _sky(self, heading: int, mood: str) -> np.ndarray:
        """(H / 2, W) packed colours."""
        if (heading, mood) not in self._skies:
            rays = self._rays[heading][:, 0].astype(np.float64)
            rise = -self._slope[: self.height // 2].astype(np.float64) / self.texels
            azimuth = np.broadcast_to(np.arctan2(rays[1], rays[0]), (self.height // 2, self.width))
            elevation = np.arctan2(rise, np.hypot(rays[0], rays[1]))
            packed = np.full((*azimuth.shape, 4), 255, np.uint8)
            packed[..., :3] = sky_colour(azimuth, elevation, mood)
            self._skies[heading, mood] = packed.view(np.uint32)[..., 0]
        return self._skies[heading, mood]

    def _apples(
        self,
        frame: np.ndarray,
        depth: np.ndarray,
        position: tuple[float, float],
        heading: int,
        apples: np.ndarray,
        kinds: np.ndarray,
        mood: str,
    ) -> None:
        offset = apples - position
        ahead = offset @ self.forward[heading]
        aside = offset @ self.right[heading]
        reach = ahead * (self.width / 2 / self.focal) + EXTENT / 2
        seen = np.flatnonzero((ahead > NEAREST) & (np.abs(aside) < reach))
        for number in seen[np.argsort(-ahead[seen])].tolist():
            away = float(ahead[number])
            side = max(2, round(EXTENT * self.focal / away))
            if side > 64:
                side -= side % 4  # fewer pictures to keep
            bottom = round(self.height / 2 + EYE * self.focal / away)
            left = round(self.width / 2 + float(aside[number]) * self.focal / away - side / 2)
            top = bottom - side
            rows = slice(max(top, 0), min(bottom, self.height))
            columns = slice(max(left, 0), min(left + side, self.width))
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            free = depth[columns] > away
            if not free.any():
                continue
            kind = "green" if kinds[number] < GREEN else "gold"
            fog = min(int(away / FOG_STEP), FOG_STEPS - 1)
            colour, rest = sprite(kind, side, fog, mood)
            part = (
                slice(rows.start - top, rows.stop - top),
                slice(columns.start - left, columns.stop - left),
            )
            behind = frame[rows, columns]
            mixed = colour[part] + (behind * rest[part] >> 8)
            np.copyto(behind, mixed, where=free[None, :, None], casting="unsafe")


@lru_cache(maxsize=8)
def first_person_view(height: int, width: int) -> FirstPersonView:
    """The view of a size, shared by all environments of the process."""
    return FirstPersonView(height, width)
