"""Questions about three blocks."""

from __future__ import annotations

import numpy as np

from gato_gym.envs.language.question_forms.aside import is_aside, what_aside
from gato_gym.envs.language.question_forms.build import (
    NOTHING,
    Form,
    Question,
    is_kept,
    question,
    which_colour,
    yes_no,
)
from gato_gym.envs.language.scene import Scene
from gato_gym.envs.language.words import pick

# Two thirds of the answers are one of two colours, so that "none" is as frequent as either.
_COLOUR_SHARE = 2 / 3
_TOWER_KEPT = {"two": 0.42, "none": 0.18}

_WHO_ON = ("which block is on the {} block?", "what is on the {} block?", "who is on the {} one?")
_WHO_UNDER = ("what is under the {} block?", "on what does the {} block stand?")
_IS_ON = ("is the {} block on the {} block?", "does the {} block stand on the {} one?")
_HOW_HIGH = ("how many blocks are in the tower?", "how high is the tower?")
_WHO_ALONE = ("which block stands alone?", "which block is by itself?")
_WHO_END = ("which block is at the {} of the tower?", "what is at the {} of the tower?")
_WHO_ROW = ("which block is {}?", "of the three blocks, which is {}?")


def on(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Who stands on a block: one of two others, or nobody."""
    above = {r.other: r.subject for r in scene.relations if r.word == "on"}
    if not above:
        return None
    colours = [thing.colour for thing in scene.things]
    if rng.random() < _COLOUR_SHARE:
        lower = pick(rng, sorted(above))
        return which_colour("on", rng, _WHO_ON, colours[lower], colours[above[lower]])
    bare = [i for i in range(len(colours)) if i not in above]
    return question("on", rng, _WHO_ON, colours[pick(rng, bare)], *NOTHING)


def under(scene: Scene, rng: np.random.Generator) -> Question | None:
    """What a block stands on: one of two others, or the table."""
    below = {r.subject: r.other for r in scene.relations if r.word == "on"}
    if not below:
        return None
    colours = [thing.colour for thing in scene.things]
    if rng.random() < _COLOUR_SHARE:
        upper = pick(rng, sorted(below))
        return which_colour("under", rng, _WHO_UNDER, colours[upper], colours[below[upper]])
    ground = colours[pick(rng, [i for i in range(len(colours)) if i not in below])]
    return question("under", rng, _WHO_UNDER, ground, "the table", "on the table", *NOTHING)


def is_on(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Whether one block is on another; half of the wrong pairs are a right one turned around."""
    names = [thing.colour for thing in scene.things]
    true = [(names[r.subject], names[r.other]) for r in scene.relations if r.word == "on"]
    if not true:
        return None
    if rng.random() < 0.5:
        return yes_no("is on", rng, _IS_ON, pick(rng, true), "yes")
    turned = [pair[::-1] for pair in true]
    others = [(a, b) for a in names for b in names if a != b and (a, b) not in true + turned]
    return yes_no("is on", rng, _IS_ON, pick(rng, pick(rng, (turned, others))), "no")


def tower(scene: Scene, rng: np.random.Generator) -> Question | None:
    """How many blocks stand on each other: two, three or none."""
    answer = scene.facts["tower"]
    if not is_kept(rng, _TOWER_KEPT, answer):
        return None
    more = ("no tower", *NOTHING) if answer == "none" else (f"{answer} blocks",)
    return question("tower", rng, _HOW_HIGH, "", answer, *more)


def alone(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Which block is beside a tower of two."""
    colour = scene.facts.get("alone")
    return which_colour("alone", rng, _WHO_ALONE, "", colour) if colour else None


def end(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Which block is the highest or the lowest of the tower."""
    place = pick(rng, ("top", "bottom"))
    colour = scene.facts.get(place)
    return which_colour("end", rng, _WHO_END, place, colour) if colour else None


def row(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Which of three blocks is the outermost or the middle one."""
    left = [r.subject for r in scene.relations if r.word == "left of"]
    order = sorted(range(len(scene.things)), key=lambda i: -left.count(i))
    if [left.count(i) for i in order] != [2, 1, 0]:
        return None
    place = int(rng.integers(3))
    said = ("on the left", "in the middle", "on the right")[place]
    return which_colour("row", rng, _WHO_ROW, said, scene.things[order[place]].colour)


FORMS: dict[Form, float] = {
    on: 2.0,
    under: 1.5,
    is_on: 1.0,
    tower: 2.0,
    alone: 1.0,
    end: 1.5,
    row: 1.5,
    what_aside: 1.5,
    is_aside: 0.4,
}
"""Form -> how often it is tried."""
