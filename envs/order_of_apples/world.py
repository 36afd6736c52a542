"""The arena of one episode: four rooms with doorways and pillars, apples and a place to start.

Cells are unit squares; cell [x, y] covers [x, x + 1) x [y, y + 1). The border is wall.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

SIDE = 15
ROOMS = 4
GREEN, GOLD = 9, 5
HEADINGS = 24
DOOR_WIDTH = 2
PILLARS_PER_ROOM = 2
JITTER = 0.2  # of an apple around the centre of its cell
WALL_STYLES, FLOOR_STYLES = 5, 4


@dataclass(frozen=True)
class World:
    """What an episode is drawn from its seed.

    walls         (SIDE, SIDE) bool
    rooms         (SIDE, SIDE) int, the room each cell belongs to
    wall_styles   (ROOMS,) int, no two rooms alike
    floor_styles  (ROOMS,) int, no two rooms alike
    apples        (GREEN + GOLD, 2) float64, the green ones first
    start         (x, y), the centre of a cell
    heading       of the start, in [0, HEADINGS); 0 looks along x, counter-clockwise
    """

    walls: np.ndarray
    rooms: np.ndarray
    wall_styles: np.ndarray
    floor_styles: np.ndarray
    apples: np.ndarray
    start: tuple[float, float]
    heading: int


def generate(rng: np.random.Generator) -> World:
    """A world in which every apple can be reached without touching a gold one on the way."""
    walls, rooms, doors = _layout(rng)
    chosen = _spread(rng, walls, doors)
    start, golds, greens = chosen[0], chosen[1 : 1 + GOLD], chosen[1 + GOLD :]
    apples = np.array([*greens, *golds], np.float64) + 0.5
    apples += rng.uniform(-JITTER, JITTER, apples.shape)
    return World(
        walls=walls,
        rooms=rooms,
        wall_styles=rng.permutation(WALL_STYLES)[:ROOMS],
        floor_styles=rng.permutation(FLOOR_STYLES)[:ROOMS],
        apples=apples,
        start=(start[0] + 0.5, start[1] + 0.5),
        heading=int(rng.integers(HEADINGS)),
    )


def distances(blocked: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Steps between free neighbours from the nearest source, -1 out of reach; int, like `blocked`.

    Args:
        blocked: (N, M) bool; all of the border is blocked.
        sources: (K, 2) int, cells that count as free.
    """
    width = blocked.shape[1]
    steps = np.where(blocked, -2, -1).ravel().tolist()
    queue = deque((sources[:, 0] * width + sources[:, 1]).tolist())
    for cell in queue:
        steps[cell] = 0
    while queue:
        cell = queue.popleft()
        for near in (cell - width, cell - 1, cell + 1, cell + width):
            if steps[near] == -1:
                steps[near] = steps[cell] + 1
                queue.append(near)
    return np.maximum(np.array(steps).reshape(blocked.shape), -1)


def _layout(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    walls = np.zeros((SIDE, SIDE), bool)
    walls[[0, -1], :] = walls[:, [0, -1]] = True
    column, row = (int(n) for n in rng.integers(SIDE // 2 - 1, SIDE // 2 + 2, 2))
    walls[column, :] = walls[:, row] = True
    rooms = 2 * (np.arange(SIDE) > column)[:, None] + (np.arange(SIDE) > row)[None, :]
    doors = np.zeros_like(walls)
    # One of the four inner walls may be missing: rooms then differ in shape too.
    open_wall = int(rng.integers(2 * ROOMS))
    parts = (
        (column, 1, row, True),
        (column, row + 1, SIDE - 1, True),
        (row, 1, column, False),
        (row, column + 1, SIDE - 1, False),
    )
    for part, (line, low, high, vertical) in enumerate(parts):
        begin, end = low, high
        if part != open_wall:
            begin = int(rng.integers(low, high - DOOR_WIDTH + 1))
            end = begin + DOOR_WIDTH
        if vertical:
            doors[line, begin:end] = True
        else:
            doors[begin:end, line] = True
    walls &= ~doors
    _add_pillars(rng, walls, rooms)
    return walls, rooms, doors


def _add_pillars(rng: np.random.Generator, walls: np.ndarray, rooms: np.ndarray) -> None:
    """A pillar with eight free neighbours cuts nothing off."""
    left = [PILLARS_PER_ROOM] * ROOMS
    for x, y in rng.permutation(np.argwhere(~walls)).tolist():
        room = int(rooms[x, y])
        if left[room] and not walls[x - 1 : x + 2, y - 1 : y + 2].any():
            walls[x, y] = True
            left[room] -= 1


def _spread(
    rng: np.random.Generator, walls: np.ndarray, doors: np.ndarray
) -> list[tuple[int, int]]:
    """The start, the gold and the green cells; no two are neighbours, diagonals included."""
    while True:
        chosen: list[tuple[int, int]] = []
        blocked, taken = walls.copy(), walls.copy()
        for x, y in rng.permutation(np.argwhere(~walls & ~doors)).tolist():
            if taken[x, y]:
                continue
            if 1 <= len(chosen) <= GOLD:
                blocked[x, y] = True
                # A gold apple that would shut anything off lies elsewhere.
                if (distances(blocked, np.array(chosen[:1])) < 0).sum() != blocked.sum():
                    blocked[x, y] = False
                    continue
            chosen.append((x, y))
            taken[x - 1 : x + 2, y - 1 : y + 2] = True
            if len(chosen) == 1 + GREEN + GOLD:
                return chosen
