"""Pictures of rooms: is it true what they say, and does the advice lead to the target?"""

import collections

import numpy as np
import pytest

pytest.importorskip("minigrid")

from minigrid.core.actions import Actions
from minigrid.core.constants import COLORS
from minigrid.core.grid import Grid
from minigrid.core.mission import MissionSpace
from minigrid.minigrid_env import MiniGridEnv

from gato_gym.envs.language.sources import grid

MOST_ACTIONS = 40


@pytest.fixture(scope="module")
def drawn():
    source = grid.Source()
    return [source.draw(np.random.default_rng(seed)) for seed in range(400)]


def tile(thing):
    return int(thing.x * grid.COLUMNS), int(thing.y * grid.ROWS)


class Room(MiniGridEnv):
    """MiniGrid's own world with the objects and the agent of a scene."""

    def __init__(self, scene):
        self.scene = scene
        mission = MissionSpace(lambda: "pick it up")
        super().__init__(mission, width=grid.COLUMNS, height=grid.ROWS, max_steps=99)

    def _gen_grid(self, width, height):
        self.grid = Grid(width, height)
        self.grid.wall_rect(0, 0, width, height)
        *objects, agent = self.scene.things
        for thing in objects:
            self.put_obj(grid.KINDS[thing.kind](thing.colour), *tile(thing))
        self.agent_pos = tile(agent)
        self.agent_dir = grid.FACING.index(self.scene.facts["facing"])
        self.mission = "pick it up"


def test_a_picture_is_minigrids_own(drawn):
    for scene in drawn[:30]:
        room = Room(scene)
        room.reset()
        assert np.array_equal(scene.image, room.get_frame(highlight=False, tile_size=grid.TILE))


def test_colours_are_where_the_objects_are(drawn):
    for scene in drawn:
        *objects, agent = scene.things
        assert (agent.colour, agent.kind) == ("", "agent")
        assert len({tile(thing) for thing in scene.things}) == len(scene.things)
        for thing in objects:
            x, y = (grid.TILE * index for index in tile(thing))
            pixels = scene.image[y : y + grid.TILE, x : x + grid.TILE].astype(float)
            # Of the tile's pixels that are not of the black and grey floor, the brightest.
            inner = pixels[1:, 1:].reshape(-1, 3)
            brightest = inner[inner.sum(axis=1).argmax()]
            wanted = COLORS[thing.colour].astype(float)
            likeness = brightest @ wanted / np.linalg.norm(brightest) / np.linalg.norm(wanted)
            assert likeness > 0.98, thing


def test_the_advice_leads_to_the_target(drawn):
    moves = {
        "turn left": Actions.left,
        "turn right": Actions.right,
        "go forward": Actions.forward,
        "pick it up": Actions.pickup,
    }
    for scene in drawn[:60]:
        objects = scene.things[:-1]
        target = next(thing for thing in objects if thing.name == scene.facts["target"])
        plan = grid.next_actions(tile(target), [tile(thing) for thing in objects])
        room = Room(scene)
        room.reset()
        advice = scene.facts["next"]
        for _ in range(MOST_ACTIONS):
            room.step(moves[advice])
            if advice == "pick it up":
                break
            advice = plan[(*map(int, room.agent_pos), room.agent_dir)]
        assert room.carrying is not None
        assert f"{room.carrying.color} {room.carrying.type}" == target.name


def test_no_way_is_shorter_than_the_advised_one():
    """Each pose is one action farther than its nearest neighbour, the ties go by the rule."""
    target, occupied = (4, 3), [(4, 3), (3, 3), (4, 2)]
    plan = grid.next_actions(target, occupied)

    def after(pose, action):
        x, y, direction = pose
        right, down = grid.STEPS[direction]
        return {
            "go forward": (x + right, y + down, direction),
            "turn left": (x, y, (direction - 1) % 4),
            "turn right": (x, y, (direction + 1) % 4),
        }[action]

    def length(pose):
        steps = 0
        while plan[pose] != "pick it up":
            pose, steps = after(pose, plan[pose]), steps + 1
        return steps

    assert len(plan) == 4 * (8 * 6 - len(occupied))
    for pose, advice in plan.items():
        x, y, direction = pose
        looks_at = x + grid.STEPS[direction][0], y + grid.STEPS[direction][1]
        assert (advice == "pick it up") == (looks_at == target)
        if advice != "pick it up":
            ways = {
                action: length(after(pose, action))
                for action in ("go forward", "turn left", "turn right")
                if after(pose, action) in plan
            }
            assert advice == min(ways, key=lambda action: ways[action])  # the first of the shortest


def test_a_target_that_is_walled_in_has_no_plan():
    assert grid.next_actions((1, 1), [(1, 1), (2, 1), (1, 2)]) == {}


def test_relations_are_clear_ones(drawn):
    for scene in drawn[:100]:
        told = {(r.subject, r.other): r.word for r in scene.relations}
        for i, one in enumerate(scene.things[:-1]):
            for j, other in enumerate(scene.things[:-1]):
                right, down = np.subtract(tile(one), tile(other))
                clear = max(abs(right), abs(down)) >= 2 and abs(right) != abs(down)
                assert ((i, j) in told) == clear
                if clear and abs(right) > abs(down):
                    assert told[i, j] == ("right of" if right > 0 else "left of")


def test_facts_are_balanced(drawn):
    for fact, values in {
        "next": {"turn left", "turn right", "go forward", "pick it up"},
        "facing": {"up", "down", "left", "right"},
    }.items():
        counts = collections.Counter(scene.facts[fact] for scene in drawn)
        assert set(counts) == values
        assert all(0.17 < count / len(drawn) < 0.33 for count in counts.values()), counts
    for scene in drawn:
        assert scene.facts["count"] == ("one", "two", "three")[len(scene.things) - 2]
    # The target's place among the things does not tell which one it is.
    of_three = [s for s in drawn if s.facts["count"] == "three"]
    places = collections.Counter(
        [t.name for t in s.things].index(s.facts["target"]) for s in of_three
    )
    assert all(places[i] > len(of_three) / 5 for i in range(3)), places
