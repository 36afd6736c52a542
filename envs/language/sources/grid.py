"""A room of MiniGrid seen from above: objects, the agent, and what it should do next.

The room has 10 x 8 tiles of 8 pixels, the outer ones walls. There are one to three objects, no two
of the same colour and kind, and the agent, a red triangle that points where it looks.

relations  "left of", "right of", "above", "below" between objects, where they are at least
           `CLEARLY` tiles apart along that axis and less far along the other
facts      "facing"  up, down, left or right: the agent
           "count"   one, two or three objects
           "target"  the name of one object
           "next"    "turn left", "turn right", "go forward" or "pick it up": the first action of a
                     shortest way to stand before the target, look at it and pick it up, where a
                     turn costs as much as a step. Of equally short ways the one that goes forward
                     first is taken, else the one that turns left. All four are about as frequent
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

import numpy as np
from minigrid.core.grid import Grid
from minigrid.core.world_object import Ball, Box, Key, WorldObj

from gato_gym.envs.language.scene import HEIGHT, WIDTH, Relation, Scene, Thing

TILE = 8
COLUMNS, ROWS = WIDTH // TILE, HEIGHT // TILE
KINDS = {"ball": Ball, "key": Key, "box": Box}
COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
COUNTS = {"one": 0.2, "two": 0.35, "three": 0.45}
"""Number of objects -> how likely it is."""

CLEARLY = 2
# MiniGrid's directions: 0 looks to the right, each turn to the right adds one.
FACING = ("right", "down", "left", "up")
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))

Tile = tuple[int, int]
Pose = tuple[int, int, int]  # column, row, direction

_FREE = [(x, y) for x in range(1, COLUMNS - 1) for y in range(1, ROWS - 1)]
_NAMES = [(colour, kind) for colour in COLOURS for kind in KINDS]


class Source:
    """Rooms of MiniGrid, see the module."""

    name = "grid"

    def __init__(self) -> None:
        room = Grid(COLUMNS, ROWS)
        room.wall_rect(0, 0, COLUMNS, ROWS)
        self._room = room.render(TILE, agent_pos=(-1, -1))

    def draw(self, rng: np.random.Generator) -> Scene:
        """A room with objects at random places; the agent where the next action is as drawn."""
        count = int(rng.choice(len(COUNTS), p=list(COUNTS.values()))) + 1
        names = [_NAMES[i] for i in rng.choice(len(_NAMES), count, replace=False)]
        plan: dict[Pose, str] = {}
        while not plan:  # a target in a corner can be walled in by the other objects
            tiles = [_FREE[i] for i in rng.choice(len(_FREE), count, replace=False)]
            plan = next_actions(tiles[0], tiles)
        # The target is the first object; its place among the things must not tell.
        wanted = rng.choice(sorted(set(plan.values())))
        poses = [pose for pose, action in plan.items() if action == wanted]
        x, y, direction = poses[rng.integers(len(poses))]

        image = self._room.copy()
        for (colour, kind), tile in zip(names, tiles, strict=True):
            _paste(image, tile, KINDS[kind](colour), None)
        _paste(image, (x, y), None, direction)

        order = rng.permutation(count)
        things = [_thing(names[i], tiles[i]) for i in order]
        return Scene(
            image=image,
            source=self.name,
            things=(*things, _thing(("", "agent"), (x, y))),
            relations=_relations([tiles[i] for i in order]),
            facts={
                "facing": FACING[direction],
                "count": list(COUNTS)[count - 1],
                "target": " ".join(names[0]),
                "next": str(wanted),
            },
        )

    def close(self) -> None:
        """Nothing is held."""


def next_actions(target: Tile, occupied: Collection[Tile]) -> dict[Pose, str]:
    """The next action from each pose that the target can be reached from, see the module.

    Args:
        target: (column, row) of the object to pick up.
        occupied: tiles that the agent cannot enter, the target's among them.
    """
    free = set(_FREE).difference(occupied)
    steps: dict[Pose, int] = {}  # to a pose that looks at the target
    for direction, (right, down) in enumerate(STEPS):
        before = target[0] - right, target[1] - down
        if before in free:
            steps[(*before, direction)] = 0
    todo = deque(steps)
    while todo:  # from the goals backwards
        pose = todo.popleft()
        x, y, direction = pose
        right, down = STEPS[direction]
        earlier = [(x, y, (direction + 1) % 4), (x, y, (direction - 1) % 4)]
        if (x - right, y - down) in free:
            earlier.append((x - right, y - down, direction))
        for other in earlier:
            if other not in steps:
                steps[other] = steps[pose] + 1
                todo.append(other)
    return {pose: _first_action(pose, steps) for pose in steps}


def _first_action(pose: Pose, steps: dict[Pose, int]) -> str:
    if steps[pose] == 0:
        return "pick it up"
    x, y, direction = pose
    right, down = STEPS[direction]
    after = {
        "go forward": (x + right, y + down, direction),
        "turn left": (x, y, (direction - 1) % 4),
        "turn right": (x, y, (direction + 1) % 4),
    }
    return next(
        action for action, other in after.items() if steps.get(other, -1) == steps[pose] - 1
    )


def _paste(image: np.ndarray, tile: Tile, thing: WorldObj | None, direction: int | None) -> None:
    x, y = tile[0] * TILE, tile[1] * TILE
    image[y : y + TILE, x : x + TILE] = Grid.render_tile(thing, direction, tile_size=TILE)


def _thing(name: tuple[str, str], tile: Tile) -> Thing:
    return Thing(*name, (tile[0] + 0.5) / COLUMNS, (tile[1] + 0.5) / ROWS)


def _relations(tiles: list[Tile]) -> tuple[Relation, ...]:
    found = []
    for i, (x, y) in enumerate(tiles):
        for j, (other_x, other_y) in enumerate(tiles):
            right, down = x - other_x, y - other_y
            if abs(right) >= CLEARLY and abs(right) > abs(down):
                found.append(Relation(i, "right of" if right > 0 else "left of", j))
            elif abs(down) >= CLEARLY and abs(down) > abs(right):
                found.append(Relation(i, "below" if down > 0 else "above", j))
    return tuple(found)
