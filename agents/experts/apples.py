"""The scripted expert of gato_gym/OrderOfApples-v0.

It knows the garden. Whenever the apples that are left change, it measures on a fine lattice how far
every place is from the nearest apple that may be taken, walking around walls and, while a green
apple is left, around gold ones. Its action is a function of the state alone, so it recovers from
whatever was done to it: it looks down that slope for the furthest point it can walk to in a
straight line, and plays the action that brings it most towards it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gato_gym.agents.experts.unsuitable import unsuitable
from gato_gym.envs.order_of_apples import ENV_ID

Point = tuple[float, float]

LATTICE = 4  # places along a cell
LOOKAHEAD = 14  # places down the slope that are tried for a straight line
# A turn by a radian is worth a walk of this many cells: it faces its way before it walks.
RADIAN_WORTH = 1.2
# Backwards and sideways one does not see where one goes: only to get away from a gold apple.
BLIND, BLIND_COST = (1, 2, 3), 5.0
WALL_ROOM = 0.02  # between the body and walls
GOLD_ROOM, GOLD_LEAST = 0.10, 0.04  # beyond the reach of a gold apple: planned, and at any cost
TAKEN_WITHIN = 0.35  # a place this near to an apple is as good as the apple's
SAMPLE = 0.15  # between the points tried along a straight line


class ScriptedForager:
    """Takes the green apples, nearest first, then the gold ones."""

    def __init__(self) -> None:
        self._garden: Any = None
        self._plan: _Plan | None = None

    def reset(self, env: Any) -> None:
        """Keeps the environment, whose state it reads.

        Raises:
            UnknownTaskError: it is no garden of apples.
        """
        if not hasattr(env.unwrapped, "moved"):
            raise unsuitable("the scripted forager", ENV_ID, env)
        self._garden, self._plan = env.unwrapped, None

    def act(self, obs: Any, deterministic: bool = True) -> int:
        """The next action; the observation is not looked at."""
        if self._garden is None:
            raise ValueError("call reset(env) first")
        garden = self._garden
        if self._plan is None or self._plan.left != garden.left:
            self._plan = _Plan(garden)
        plan = self._plan
        goal = plan.waypoint(garden.position)
        costs = [
            plan.cost(goal, *garden.moved(n)) + BLIND_COST * (n in BLIND)
            for n in range(garden.action_space.n)
        ]
        return costs.index(min(costs))


class _Plan:
    """The slope towards the apples that may be taken, for one set of apples left."""

    def __init__(self, garden: Any) -> None:
        # Not imported above: experts are listed without the drawing code.
        from gato_gym.envs.order_of_apples import env, world

        self.left = list(garden.left)
        self.turn = 2 * math.pi / world.HEADINGS
        self.reach, self.body = env.REACH, env.BODY + WALL_ROOM
        self.solid = garden.world.walls.tolist()
        spots = garden.world.apples
        green = [n for n in self.left if n < world.GREEN]
        wanted = spots[green or self.left]
        self.wanted: list[Point] = [tuple(spot) for spot in wanted.tolist()]
        feared = spots[[n for n in self.left if green and n >= world.GREEN]]
        self.feared: list[Point] = [tuple(spot) for spot in feared.tolist()]
        ticks = (np.arange(world.SIDE * LATTICE) + 0.5) / LATTICE
        self.places = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1)
        low = (self.places - self.body).astype(int)
        high = np.minimum(self.places + self.body, world.SIDE - 1).astype(int)
        walls = garden.world.walls
        blocked = np.zeros(self.places.shape[:2], bool)
        for x in (low[..., 0], high[..., 0]):
            for y in (low[..., 1], high[..., 1]):
                blocked |= walls[x, y]
        blocked |= self._nearest(feared) < self.reach + GOLD_ROOM
        sources = np.argwhere((self._nearest(wanted) < TAKEN_WITHIN) & ~blocked)
        self.slope = world.distances(blocked, sources)

    def waypoint(self, position: Point) -> Point:
        """The furthest point down the slope that lies in a straight line."""
        x, y = (int(side * LATTICE) for side in position)
        way: list[Point] = []
        if self.slope[x, y] < 0:  # too near to a wall or a gold apple: by the nearest good place
            away = np.hypot(*np.moveaxis(self.places - position, -1, 0))
            away[self.slope < 0] = np.inf
            x, y = (int(n) for n in np.unravel_index(int(away.argmin()), away.shape))
            way.append(tuple(self.places[x, y].tolist()))
        while self.slope[x, y] > 0 and len(way) < LOOKAHEAD:
            near = ((x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1))
            x, y = next(place for place in near if self.slope[place] == self.slope[x, y] - 1)
            way.append(tuple(self.places[x, y].tolist()))
        if self.slope[x, y] == 0:
            last = way[-1] if way else position
            way.append(min(self.wanted, key=lambda spot: math.dist(spot, last)))
        # The next place or two are no goal: a step would lead past them, and the next one back.
        least = min(2, len(way) - 1)
        return next(
            (point for point in way[:least:-1] if self._is_clear(position, point)), way[least]
        )

    def cost(self, goal: Point, position: Point, heading: int) -> float:
        """How far a pose is from walking to the goal; a gold apple is touched at no price."""
        nearest = min((math.dist(position, spot) for spot in self.feared), default=math.inf)
        if nearest < self.reach + GOLD_LEAST:
            return 1000.0 - nearest
        aim = math.atan2(goal[1] - position[1], goal[0] - position[0])
        error = abs(math.remainder(aim - heading * self.turn, 2 * math.pi))
        # Half a turn is as straight as it gets, and where one stands there is no way to face.
        away = math.dist(position, goal)
        return away + RADIAN_WORTH * min(away, 1.0) * max(0.0, error - self.turn / 2)

    def _nearest(self, spots: np.ndarray) -> np.ndarray:
        """Distance from each place to the nearest of (K, 2) spots."""
        offsets = self.places[:, :, None] - spots
        return np.hypot(offsets[..., 0], offsets[..., 1]).min(-1, initial=np.inf)

    def _is_clear(self, begin: Point, end: Point) -> bool:
        """Whether the body fits along the straight line, out of the reach of gold apples."""
        (x0, y0), (x1, y1) = begin, end
        count = max(1, math.ceil(math.dist(begin, end) / SAMPLE))
        for i in range(1, count + 1):
            x, y = x0 + (x1 - x0) * i / count, y0 + (y1 - y0) * i / count
            if any(math.dist((x, y), spot) < self.reach + GOLD_ROOM for spot in self.feared):
                return False
            west, east = self.solid[int(x - self.body)], self.solid[int(x + self.body)]
            south, north = int(y - self.body), int(y + self.body)
            if west[south] or west[north] or east[south] or east[north]:
                return False
        return True
