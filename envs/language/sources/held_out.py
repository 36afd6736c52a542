"""Which combinations are not trained on, so that answers about them cannot be remembered.

A combination is what a scene says as a whole, e.g. which block stands on which. About one in five
is held out, by a hash of its name: a rule that never changes and needs no list. `SALT` was searched
for so that no colour, pair of blocks, side or leader is held out everywhere: each is still trained
on in other combinations.

blocks  a tower of two: its top and bottom and the side of the third block; a tower of three: its
        order; no tower: the order of the blocks from left to right
atari   boxing: the side that the white boxer is on, whether he is higher up, and who is ahead; the
        other games are not combinations of anything, and are never held out
grid    each unordered pair of objects; a scene with such a pair is held out
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

from gato_gym.envs.language.scene import Scene

SALT = "2491"
ONE_IN = 5
# Three of a scene's pairs can be held out: fewer pairs make about as many scenes.
ONE_PAIR_IN = 8


def held_out(scene: Scene) -> bool:
    """Whether a scene shows a combination that must not be trained on.

    Environments that make training data draw again then; those that evaluate may show any.
    """
    one_in = ONE_PAIR_IN if scene.source == "grid" else ONE_IN
    names = (f"{SALT}/{scene.source}: {name}" for name in combinations(scene))
    return any(_hash(name) % one_in == 0 for name in names)


def combinations(scene: Scene) -> Iterator[str]:
    """The names of a scene's combinations, see the module."""
    things = scene.things
    if scene.source == "blocks":
        yield _blocks(scene)
    elif scene.source == "grid":
        objects = sorted(thing.name for thing in things if thing.kind != "agent")
        yield from (f"{one}, {other}" for one, other in itertools.combinations(objects, 2))
    elif "ahead" in scene.facts:
        white, black = things
        side = "left" if white.x < black.x else "right"
        height = "higher" if white.y < black.y else "lower"
        yield f"{side}, {height}, {scene.facts['ahead']}"


def _blocks(scene: Scene) -> str:
    below = {r.subject: r.other for r in scene.relations if r.word == "on"}
    lower = set(below.values())
    if not below:
        return ", ".join(t.colour for t in sorted(scene.things, key=lambda t: t.x))
    top = next(i for i in below if i not in lower)
    tower = [top]
    while tower[-1] in below:
        tower.append(below[tower[-1]])
    name = " on ".join(scene.things[i].colour for i in tower)
    if len(tower) == len(scene.things):
        return name
    alone = next(t for i, t in enumerate(scene.things) if i not in tower)
    return f"{name}, {'left' if alone.x < scene.things[tower[-1]].x else 'right'}"


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
