"""The next few actions towards a goal in a grid world.

What stands in the way is dealt with first, and before anything is fetched: a door whose key is
elsewhere, a ball in front of a door. Every rule looks at the grid alone, so whatever was done to
the agent, the plan goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from gato_gym.agents.experts.grid.goals import (
    Enter,
    Goal,
    Look,
    Open,
    Put,
    Remember,
    StandBeside,
    Take,
)
from gato_gym.agents.experts.grid.scene import (
    DONE,
    DROP,
    FORWARD,
    LEFT,
    MOVABLE,
    PICKUP,
    RIGHT,
    TOGGLE,
    Pose,
    Scene,
    Way,
)

Actions = tuple[int, ...]
Accept = Callable[[Pose], bool]


class NoPlanError(Exception):
    """There is no way to the goal that the planner can see."""


class Planner:
    """Plans for one state of the grid.

    Args:
        scene: the grid.
        committed: cells of obstacles chosen before; those chosen now are added.
    """

    def __init__(self, scene: Scene, committed: set[int]) -> None:
        self.scene, self.committed = scene, committed

    def plan(self, goal: Goal) -> Actions:
        """Actions to play until the goal is reached or something in the way is dealt with.

        Raises:
            NoPlanError: there is no way.
        """
        scene = self.scene
        match goal:
            case Enter(cells, moving):
                if moving:
                    return self._dodge(cells)
                return self._go(lambda pose: pose.cell in cells, also=cells)
            case Look(cells):
                return self._go(self._facing(cells)) or (DONE,)
            case StandBeside(cell):
                beside = scene.around(cell)
                return self._go(lambda pose: pose.cell in beside, then=DONE)
            case Remember(cell, distance):
                return self._go(self._looking_west(cell, distance))
            case Take(things):
                return self._take(things)
            case Open(doors):
                return self._open(doors)
            case Put(things, near, diagonally):
                return self._put(things, near, diagonally)

    def _facing(self, cells: Collection[int]) -> Accept:
        return lambda pose: self.scene.ahead(pose) in cells

    def _looking_west(self, cell: int, distance: int) -> Accept:
        row = cell // self.scene.width + 1  # the hall lies below the object
        low, high = cell % self.scene.width + 1, cell % self.scene.width + distance

        def accept(pose: Pose) -> bool:
            y, x = divmod(pose.cell, self.scene.width)
            return pose.heading == 2 and y == row and low <= x <= high

        return accept

    def _dodge(self, cells: Collection[int]) -> Actions:
        """One step towards the goal around things that move, or a turn to wait."""
        blocked = [c for c, thing in self.scene.things.items() if thing.type in MOVABLE]
        way = self.scene.way(lambda pose: pose.cell in cells, also=cells, but=blocked)
        if way is not None and way.actions:
            return way.actions[:1]
        return (LEFT,)

    def _way(self, accept: Accept, also: Collection[int] = (), but: Collection[int] = ()) -> Way:
        way = self.scene.way(accept, also, but)
        if way is None:
            raise NoPlanError("no way")
        return way

    def _go(
        self,
        accept: Accept,
        then: int | None = None,
        also: Collection[int] = (),
        but: Collection[int] = (),
    ) -> Actions:
        """Go to a pose and do something there, or deal with what is in the way."""
        way = self._way(accept, also, but)
        work = self._work(way, but)
        if work is not None:
            return work
        return way.actions if then is None else (*way.actions, then)

    def _work(self, way: Way, but: Collection[int] = ()) -> Actions | None:
        """What must be done before a way is free, None if it is.

        A lock whose key is in the hand comes first: the hand may be needed for something else.
        """
        if way.unlocking:
            return way.actions[: way.unlocking]
        return None if way.obstacle is None else self._deal_with(way.obstacle, but)

    def _deal_with(self, cell: int, but: Collection[int] = ()) -> Actions:
        self.committed.add(cell)
        if self.scene.things[cell].type == "door":
            return self._unlock(cell, but)
        return self._clear(cell, but)

    def _clear(self, cell: int, but: Collection[int]) -> Actions:
        """Take what lies in a cell; with a full hand first put down what it holds."""
        if self.scene.carrying is not None:
            return self._put_down()
        return self._go(self._facing((cell,)), PICKUP, but={*but, cell})

    def _unlock(self, cell: int, but: Collection[int]) -> Actions:
        """Open a locked door, or fetch its key."""
        door = self.scene.things[cell]
        facing, closed = self._facing((cell,)), {*but, cell}
        # The way to the door first: the hand must be free to clear it.
        way = self._way(facing, but=closed)
        work = self._work(way, closed)
        if work is not None:
            return work
        if self.scene.opens(door):
            return (*way.actions, TOGGLE)
        keys, boxes = [], []
        for place, thing in self.scene.things.items():
            if thing.type == "key" and thing.color == door.color:
                keys.append(place)
            inside = getattr(thing, "contains", None)
            if inside is not None and inside.type == "key" and inside.color == door.color:
                boxes.append(place)
        if not keys and not boxes:
            held = getattr(self.scene.carrying, "contains", None)
            if held is not None and held.type == "key":
                return self._put_down()
            raise NoPlanError("no key")
        wanted = keys or boxes
        key = self._way(self._facing(wanted), but=closed)
        work = self._work(key, closed)
        if work is not None:
            return work
        if keys and self.scene.carrying is not None:
            return self._put_down()
        return (*key.actions, PICKUP if keys else TOGGLE)

    def _take(self, things: Collection[Any]) -> Actions:
        places = self._places(things)
        if any(self.scene.carrying is thing for thing in things):
            return self._put_down()  # only what is taken anew counts
        way = self._way(self._facing(places))
        work = self._work(way)
        if work is not None:
            return work
        if self.scene.carrying is not None:
            return self._put_down()
        return (*way.actions, PICKUP)

    def _open(self, doors: Collection[Any]) -> Actions:
        places = self._places(doors)
        if not places:
            raise NoPlanError("the doors are gone")
        way = self._way(self._facing(places))
        work = self._work(way)
        if work is not None:
            return work
        cell = self.scene.ahead(way.end)
        door = self.scene.things[cell]
        if door.is_locked and not self.scene.opens(door):
            return self._deal_with(cell)
        # An open door is closed first.
        return (*way.actions, TOGGLE)

    def _put(self, things: Collection[Any], near: Collection[Any], diagonally: bool) -> Actions:
        scene = self.scene
        fixed = self._places(near)
        around = {
            cell
            for place in fixed
            for cell in (scene.ring(place) if diagonally else scene.around(place))
        }
        held = any(scene.carrying is thing for thing in things)
        if not fixed:  # it is in the hand
            return self._put_down()
        spots = {cell for cell in around if cell not in scene.things and scene.costs[cell]}
        if not spots:
            taken = {c for c in around if c in scene.things and scene.things[c].type in MOVABLE}
            if not taken:
                raise NoPlanError("no place near it")
            return self._go_clear(taken, around)
        # What blocks the way to that place is dealt with before anything is fetched.
        way = self._way(self._facing(spots))
        work = self._work(way)
        if work is not None:
            return work
        if held:
            return (*way.actions, DROP)
        source = self._way(self._facing(self._places(things)))
        work = self._work(source)
        if work is not None:
            return work
        if scene.carrying is not None:
            return self._put_down(around)
        return (*source.actions, PICKUP)

    def _go_clear(self, cells: Collection[int], around: Collection[int]) -> Actions:
        if self.scene.carrying is not None:
            return self._put_down(around)
        return self._go(self._facing(cells), PICKUP)

    def _places(self, things: Collection[Any]) -> tuple[int, ...]:
        places = (self.scene.where(thing) for thing in things)
        return tuple(p for p in places if p is not None and not self.scene.is_wall(p))

    def _put_down(self, but: Collection[int] = ()) -> Actions:
        """Drop what is carried where it is in nobody's way."""
        cleared = {*self.committed, *but}  # not back to where things were taken away
        for allowed, taboo in (
            (self._is_harmless, cleared),
            (self._is_no_doorstep, cleared),
            (lambda cell: True, cleared),
            (lambda cell: True, set(but)),
        ):
            way = self.scene.way(partial(self._may_drop, allowed, taboo))
            if way is not None and way.obstacle is None:
                return (*way.actions, DROP)
        raise NoPlanError("nowhere to put it")

    def _may_drop(self, allowed: Callable[[int], bool], taboo: Collection[int], pose: Pose) -> bool:
        scene, cell = self.scene, self.scene.ahead(pose)
        # The place where the agent stands now is empty once it has gone.
        empty = scene.is_floor(cell) or (
            cell == scene.pose.cell != pose.cell and cell not in scene.things
        )
        return empty and cell not in taboo and allowed(cell)

    def _is_no_doorstep(self, cell: int) -> bool:
        things = self.scene.things
        return all(
            other not in things or things[other].type != "door" for other in self.scene.around(cell)
        )

    def _is_harmless(self, cell: int) -> bool:
        """Whether all that can be reached could still be reached around a thing in a cell."""
        if not self._is_no_doorstep(cell):
            return False
        scene = self.scene
        free = [scene.costs[c] > 0 and not scene.needs_work(c) for c in scene.ring(cell)]
        if sum(free[n] != free[n - 1] for n in range(8)) > 2:
            return False
        # What lies beside it must be reachable from another side.
        for other in scene.around(cell):
            thing = scene.things.get(other)
            if thing is not None and thing.type in MOVABLE:
                sides = [c for c in scene.around(other) if c != cell]
                if not any(scene.costs[c] > 0 and not scene.needs_work(c) for c in sides):
                    return False
        return True


def moved(pose: Pose, action: int, scene: Scene) -> Pose:
    """Where an action of a plan leads."""
    if action == FORWARD:
        return Pose(scene.ahead(pose), pose.heading)
    turn = {LEFT: -1, RIGHT: 1}.get(action, 0)
    return Pose(pose.cell, (pose.heading + turn) % 4)
