"""Questions about a room with objects and an agent."""

from __future__ import annotations

import numpy as np

from gato_gym.envs.language.question_forms.aside import is_aside, what_aside
from gato_gym.envs.language.question_forms.build import (
    Form,
    Question,
    is_kept,
    question,
    which_colour,
    yes_no,
)
from gato_gym.envs.language.scene import Scene, Thing
from gato_gym.envs.language.words import pick

COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
KINDS = ("ball", "key", "box")
_AGENT_COLOUR = "red"
_COUNT_KEPT = {"two": 0.57, "three": 0.44}
_NEAR_SHARE = 0.8
_NEXT = {
    "turn left": ("left", "turn to the left"),
    "turn right": ("right", "turn to the right"),
    "go forward": ("forward", "move forward", "go straight", "go ahead"),
    "pick it up": ("pick up",),
}

_IS_THERE = ("is there a {}?", "do you see a {}?", "is a {} in the room?")
_HOW_MANY = ("how many objects are there?", "how many things are in the room?")
_WHAT_COLOUR = ("what colour is the {}?", "what is the colour of the {}?")
_WHAT_KIND = ("what is {}?", "which object is {}?", "what is the {} thing?")
_WHICH_WAY = ("which way does the agent look?", "where does the agent look?")
_WHAT_NEXT = (
    "what should the agent do next to get the {}?",
    "to get the {}, what is the next step?",
    "what is the next move to get the {}?",
)


def exists(scene: Scene, rng: np.random.Generator) -> Question:
    """Whether an object is there; most absent ones share a colour or a kind with one that is."""
    names = {thing.name for thing in _objects(scene)}
    thing = pick(rng, _objects(scene))
    if rng.random() < 0.5:
        return yes_no("exists", rng, _IS_THERE, (thing.name,), "yes")
    absent = [(c, k) for c in COLOURS for k in KINDS if f"{c} {k}" not in names]
    near = [(c, k) for c, k in absent if c == thing.colour or k == thing.kind]
    colour, kind = pick(rng, near if rng.random() < _NEAR_SHARE else absent)
    return yes_no("exists", rng, _IS_THERE, (f"{colour} {kind}",), "no")


def count(scene: Scene, rng: np.random.Generator) -> Question | None:
    """How many objects there are, the agent aside."""
    answer = scene.facts["count"]
    if not is_kept(rng, _COUNT_KEPT, answer):
        return None
    noun = "object" if answer == "one" else "objects"
    return question("count", rng, _HOW_MANY, "", answer, f"{answer} {noun}", f"only {answer}")


def what_colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    """The colour of an object that is the only one of its kind."""
    kinds = [thing.kind for thing in scene.things]
    sole = [thing for thing in _objects(scene) if kinds.count(thing.kind) == 1]
    if not sole:
        return None
    thing = pick(rng, sole)
    return which_colour("colour", rng, _WHAT_COLOUR, thing.kind, thing.colour, thing.kind)


def what_kind(scene: Scene, rng: np.random.Generator) -> Question | None:
    """The kind of an object that is the only thing of its colour."""
    colours = [thing.colour for thing in scene.things] + [_AGENT_COLOUR]
    sole = [thing for thing in _objects(scene) if colours.count(thing.colour) == 1]
    if not sole:
        return None
    thing = pick(rng, sole)
    return question("kind", rng, _WHAT_KIND, thing.colour, thing.kind, thing.name)


def facing(scene: Scene, rng: np.random.Generator) -> Question:
    """Where the agent looks."""
    way = scene.facts["facing"]
    return question("facing", rng, _WHICH_WAY, "", way, f"looks {way}", f"faces {way}")


def next_action(scene: Scene, rng: np.random.Generator) -> Question:
    """The first action of a shortest way to an object."""
    answer, target = scene.facts["next"], scene.facts["target"]
    more = _NEXT[answer]
    if answer == "pick it up":
        more = (*more, f"pick up the {target}", f"pick the {target} up")
    return question("next", rng, _WHAT_NEXT, target, answer, *more)


FORMS: dict[Form, float] = {
    exists: 1.5,
    count: 1.5,
    what_colour: 1.5,
    what_kind: 1.5,
    what_aside: 1.5,
    facing: 1.5,
    next_action: 2.0,
    is_aside: 0.7,
}
"""Form -> how often it is tried."""


def _objects(scene: Scene) -> list[Thing]:
    return [thing for thing in scene.things if thing.kind != "agent"]
