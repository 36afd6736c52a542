"""A grid world as it is now, and the cheapest way through it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

# The actions of `minigrid.core.actions.Actions`.
LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)

# What it is worth to walk around: fetching a key, or carrying something out of the way. Rough, and
# the same wherever one stands, so that a choice made once is not taken back on the way.
LOCKED_COST, BLOCKED_COST = 60, 14
# A lock or an obstacle that the plan is busy with already.
COMMITTED_COST = 4

MOVABLE = ("ball", "box", "key")


class Pose(NamedTuple):
    """Where the agent stands and looks: cell number and 0 east, 1 south, 2 west, 3 north."""

    cell: int
    heading: int


@dataclass(frozen=True)
class Way:
    """The actions of a way, up to the first thing that must be dealt with.

    Args:
        actions: what to play.
        obstacle: the cell of a locked door or of a thing that ends the actions, None at the end.
        end: where the actions lead.
        unlocking: how many actions open the first locked door, by the key in the hand; 0 is none.
    """

    actions: tuple[int, ...]
    obstacle: int | None
    end: Pose
    unlocking: int = 0


class Scene:
    """Reads a `MiniGridEnv`. Cells are numbered row by row, with a rim of walls around the grid.

    Args:
        world: the unwrapped environment.
        committed: cells of locked doors and obstacles that the plan has chosen to deal with.
    """

    def __init__(self, world: Any, committed: Iterable[int] = ()) -> None:
        grid = world.grid
        self.width = grid.width + 2
        self.things: dict[int, Any] = {}
        self.offsets = (1, self.width, -1, -self.width)
        rim = [0] * self.width
        costs = [*rim]
        for y in range(grid.height):
            costs.append(0)
            for x in range(grid.width):
                thing = grid.grid[y * grid.width + x]
                if thing is not None:
                    self.things[len(costs)] = thing
                costs.append(1)
            costs.append(0)
        costs += rim
        self.carrying = world.carrying
        self.pose = Pose(self.number(world.agent_pos), int(world.agent_dir))
        chosen = frozenset(committed)
        for cell, thing in self.things.items():
            costs[cell] = self._cost(thing, cell in chosen)
        self.costs = costs  # of entering a cell, 0 where one cannot

    def number(self, position: Any) -> int:
        """The cell of a position of the environment, (x, y)."""
        return (int(position[1]) + 1) * self.width + int(position[0]) + 1

    def ahead(self, pose: Pose) -> int:
        """The cell that a pose faces."""
        return pose.cell + self.offsets[pose.heading]

    def around(self, cell: int) -> list[int]:
        """The four cells beside a cell."""
        return [cell + offset for offset in self.offsets]

    def ring(self, cell: int) -> list[int]:
        """The eight cells around a cell, in a circle that begins in the east."""
        e, s, w, n = self.offsets
        return [cell + step for step in (e, e + s, s, s + w, w, w + n, n, n + e)]

    def where(self, thing: Any) -> int | None:
        """The cell where a thing lies, None if it is carried or gone."""
        return next((cell for cell, other in self.things.items() if other is thing), None)

    def is_floor(self, cell: int) -> bool:
        """Whether something can be dropped there."""
        return self.costs[cell] > 0 and cell not in self.things and cell != self.pose.cell

    def is_wall(self, cell: int) -> bool:
        """Whether a cell holds a wall; the rim counts as one."""
        thing = self.things.get(cell)
        return self.costs[cell] == 0 if thing is None else thing.type == "wall"

    def shut(self, cells: Iterable[int]) -> None:
        """Let nobody enter some cells."""
        for cell in cells:
            self.costs[cell] = 0

    def opens(self, door: Any) -> bool:
        """Whether what is carried is the key of a door."""
        held = self.carrying
        return held is not None and held.type == "key" and held.color == door.color

    def needs_work(self, cell: int) -> bool:
        """Whether a cell cannot be entered by toggling and walking alone."""
        thing = self.things.get(cell)
        if thing is None:
            return False
        if thing.type == "door":
            return thing.is_locked and not self.opens(thing)
        return thing.type in MOVABLE

    def _cost(self, thing: Any, committed: bool) -> int:
        if thing.type == "door":
            if thing.is_open:
                return 1
            if not thing.is_locked or self.opens(thing):
                return 2
            return COMMITTED_COST if committed else LOCKED_COST
        if thing.type in MOVABLE:
            return COMMITTED_COST if committed else BLOCKED_COST
        return int(thing.type == "floor")  # not into walls, lava and goals

    def way(
        self, accept: Callable[[Pose], bool], also: Iterable[int] = (), but: Iterable[int] = ()
    ) -> Way | None:
        """The cheapest way to a pose, None if there is none.

        Args:
            accept: whether a pose is an end.
            also: cells that may be entered here although others of their kind may not.
            but: cells that may not be entered.
        """
        costs = self.costs
        if also or but:
            costs = list(costs)
            for cell in also:
                costs[cell] = 1
            for cell in but:
                costs[cell] = 0
        # Poses as numbers, 4 * cell + heading: this loop is most of what planning costs.
        start = 4 * self.pose.cell + self.pose.heading
        best = {start: 0}
        before: dict[int, tuple[int, int] | None] = {start: None}
        queue = [(0, start)]
        while queue:
            cost, code = heapq.heappop(queue)
            if cost > best[code]:
                continue
            cell, heading = divmod(code, 4)
            if accept(Pose(cell, heading)):
                return self._actions(code, before)
            into = cell + self.offsets[heading]
            first = code - heading
            steps = [(1, first + (heading - 1) % 4, LEFT), (1, first + (heading + 1) % 4, RIGHT)]
            if costs[into]:
                steps.append((costs[into], 4 * into + heading, FORWARD))
            for price, after, action in steps:
                if cost + price < best.get(after, cost + price + 1):
                    best[after] = cost + price
                    before[after] = (code, action)
                    heapq.heappush(queue, (cost + price, after))
        return None

    def _actions(self, end: int, before: dict[int, tuple[int, int] | None]) -> Way:
        steps = []
        code = end
        while (step := before[code]) is not None:
            steps.append((step[1], Pose(*divmod(code, 4))))
            code = step[0]
        pose = self.pose
        actions: list[int] = []
        unlocking = 0
        for action, after in reversed(steps):
            if action == FORWARD:
                if self.needs_work(after.cell):
                    return Way(tuple(actions), after.cell, pose, unlocking)
                thing = self.things.get(after.cell)
                if thing is not None and thing.type == "door" and not thing.is_open:
                    actions.append(TOGGLE)
                    if thing.is_locked and not unlocking:
                        unlocking = len(actions)
            actions.append(action)
            pose = after
        return Way(tuple(actions), None, pose, unlocking)
