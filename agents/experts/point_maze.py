"""The scripted expert of Gymnasium-Robotics' point mazes: the shortest way, from point to point."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np

from gato_gym.agents.experts.unsuitable import unsuitable

EXPERT = "scripted/point_maze"

# The force is PULL per metre to where it should be, less DRAG per metre per second.
PULL, DRAG = 30.0, 6.0
ROOM = 0.22  # metres between the ball's centre and walls, on a straight way
SAMPLE = 0.05  # metres between the points that are tried along it

Cell = tuple[int, int]


class ScriptedPointMaze:
    """Rolls straight to the furthest point of the shortest way that no wall hides.

    What it does is a function of the observation and of the maze alone.
    """

    def __init__(self) -> None:
        self._maze: Any = None

    def reset(self, env: Any) -> None:
        """Read the map.

        Raises:
            UnknownTaskError: the environment is no point maze.
        """
        world = env.unwrapped
        if not hasattr(world, "maze") or not hasattr(world, "point_env"):
            raise unsuitable(EXPERT, "PointMaze_*", env)
        self._maze = world.maze
        self._free = [[cell != 1 for cell in row] for row in world.maze.maze_map]

    def act(self, obs: Any, deterministic: bool = True) -> np.ndarray:
        """(2,) float32 forces in [-1, 1]; there is no chance in it."""
        if self._maze is None:
            raise RuntimeError("call reset(env) before act(obs)")
        place, speed = obs["observation"][:2], obs["observation"][2:]
        aim = self._aim(place, obs["desired_goal"])
        return np.clip(PULL * (aim - place) - DRAG * speed, -1, 1).astype(np.float32)

    def _aim(self, place: np.ndarray, goal: np.ndarray) -> np.ndarray:
        here, there = self._cell(place), self._cell(goal)
        way = [self._maze.cell_rowcol_to_xy(np.array(cell)) for cell in self._way(here, there)]
        way = [*way[:-1], goal]  # the goal is not in the middle of its cell
        for point in reversed(way):
            if self._sees(place, point):
                return point
        # Beside a wall nothing may be in sight: to the middle of the cell first.
        return self._maze.cell_rowcol_to_xy(np.array(here))

    def _cell(self, place: np.ndarray) -> Cell:
        row, column = self._maze.cell_xy_to_rowcol(place)
        return int(row), int(column)

    def _way(self, here: Cell, there: Cell) -> list[Cell]:
        """The cells of the shortest way, from the first step to the goal's."""
        before: dict[Cell, Cell] = {there: there}
        todo = deque([there])
        while todo and here not in before:
            row, column = todo.popleft()
            for near in (
                (row + 1, column),
                (row - 1, column),
                (row, column + 1),
                (row, column - 1),
            ):
                if near not in before and self._is_free(near):
                    before[near] = (row, column)
                    todo.append(near)
        if here not in before:
            return [there]
        way = []
        while here != there:
            here = before[here]
            way.append(here)
        return way or [there]

    def _is_free(self, cell: Cell) -> bool:
        row, column = cell
        inside = 0 <= row < len(self._free) and 0 <= column < len(self._free[0])
        return inside and self._free[row][column]

    def _sees(self, begin: np.ndarray, end: np.ndarray) -> bool:
        """Whether the ball can roll straight from one point to another."""
        count = max(1, math.ceil(math.dist(begin, end) / SAMPLE))
        corners = ROOM * np.array([(1, 1), (1, -1), (-1, 1), (-1, -1)])
        for n in range(1, count + 1):
            point = begin + (end - begin) * (n / count)
            if not all(self._is_free(self._cell(point + corner)) for corner in corners):
                return False
        return True
