"""Questions about what is left of, right of, above or below what."""

from __future__ import annotations

import numpy as np

from gato_gym.envs.language.question_forms.build import Question, question, which_colour, yes_no
from gato_gym.envs.language.scene import Scene
from gato_gym.envs.language.words import pick

_OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
_AXES = {"left of": ("x", -1), "right of": ("x", 1), "above": ("y", -1), "below": ("y", 1)}

_IS_ASIDE = ("is the {} {} the {}?", "do you see the {} {} the {}?")
_WHAT_ASIDE = ("what is {}?", "which object is {}?")
_WHICH_BLOCK = ("what is {}?", "which block is {}?")


def is_aside(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Whether one thing is at a side of another; if not, it is at the opposite one."""
    true = [r for r in scene.relations if r.word in _OPPOSITE]
    if not true:
        return None
    relation, answer = pick(rng, true), pick(rng, ("yes", "no"))
    word = relation.word if answer == "yes" else _OPPOSITE[relation.word]
    said = (scene.things[relation.subject].name, word, scene.things[relation.other].name)
    return yes_no("is aside", rng, _IS_ASIDE, said, answer)


def what_aside(scene: Scene, rng: np.random.Generator) -> Question | None:
    """What is at one side of an object, where only one is, if only by a little."""
    if any(r.word == "on" for r in scene.relations):
        return None  # a tower is beside a block as a whole
    clear = [r for r in scene.relations if _beside(scene, r.other, r.word) == [r.subject]]
    if not clear:
        return None
    relation = pick(rng, clear)
    said = f"{relation.word} the {scene.things[relation.other].name}"
    thing = scene.things[relation.subject]
    if thing.kind == "block":
        return which_colour("what aside", rng, _WHICH_BLOCK, said, thing.colour)
    return question("what aside", rng, _WHAT_ASIDE, said, thing.name)


def _beside(scene: Scene, other: int, word: str) -> list[int]:
    """Places of the objects at a side of another one."""
    axis, sign = _AXES[word]
    origin = getattr(scene.things[other], axis)
    return [
        i
        for i, thing in enumerate(scene.things)
        if thing.kind != "agent" and sign * (getattr(thing, axis) - origin) > 1e-6
    ]
