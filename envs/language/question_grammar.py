"""Questions about a scene and their answers, balanced so that the question alone tells little.

Each form of question chooses what its answer shall be before it chooses what it asks about: as many
questions have "yes" for an answer as "no", as many "none" as each colour. Where the scene fixes the
answer, the more frequent ones are asked about less often.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from gato_gym.envs.language.scene import Scene

_Any = TypeVar("_Any")


@dataclass(frozen=True)
class Question:
    """What is asked and what is right.

    form     which kind of question, e.g. "count"
    text     lower case, at most 96 letters
    answer   the shortest right answer, which the expert gives; at most 48 letters
    answers  all right answers
    """

    form: str
    text: str
    answer: str
    answers: frozenset[str]


_Form = Callable[[Scene, np.random.Generator], "Question | None"]

_NOTHING = ("none", "nothing", "no block", "no blocks", "nobody", "no one", "none of them")
_ASIDE = ("left of", "right of", "above", "below")
# Share of the questions about a scene with this answer that are asked: the rarest answer's share
# of the scenes, and of what else can be asked about them, over this one's.
_TOWER_KEPT = {"two": 0.5, "three": 1.0, "none": 0.12}
_COUNT_KEPT = {"one": 1.0, "two": 0.57, "three": 0.44}


def ask(scene: Scene, rng: np.random.Generator) -> Question:
    """A question about a scene, a function of the scene and the generator."""
    forms = _FORMS[scene.source]
    weights = np.array([weight for _, weight in forms])
    while True:
        form, _ = forms[rng.choice(len(forms), p=weights / weights.sum())]
        question = form(scene, rng)
        if question is not None:
            return question


def _on(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Who stands on a block: one of two others, or nobody."""
    above = {r.other: r.subject for r in scene.relations if r.word == "on"}
    if not above:
        return None
    colours = [thing.colour for thing in scene.things]
    if rng.random() < 0.67:
        lower = _any(rng, sorted(above))
        return _colour("on", rng, _WHO_ON, colours[lower], colours[above[lower]])
    bare = [i for i in range(len(colours)) if i not in above]
    return _question("on", rng, _WHO_ON, colours[_any(rng, bare)], *_NOTHING)


def _under(scene: Scene, rng: np.random.Generator) -> Question | None:
    """What a block stands on: one of two others, or the table."""
    below = {r.subject: r.other for r in scene.relations if r.word == "on"}
    if not below:
        return None
    colours = [thing.colour for thing in scene.things]
    if rng.random() < 0.67:
        upper = _any(rng, sorted(below))
        return _colour("under", rng, _WHO_UNDER, colours[upper], colours[below[upper]])
    ground = [i for i in range(len(colours)) if i not in below]
    chosen = colours[_any(rng, ground)]
    return _question("under", rng, _WHO_UNDER, chosen, "the table", "the floor", *_NOTHING)


def _is_on(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Whether one block is on another; half of the wrong pairs are a right one turned around."""
    names = [thing.colour for thing in scene.things]
    true = [(names[r.subject], names[r.other]) for r in scene.relations if r.word == "on"]
    if not true:
        return None
    if rng.random() < 0.5:
        return _yes_no("is on", rng, _IS_ON, _any(rng, true), "yes")
    turned = [pair[::-1] for pair in true]
    others = [(a, b) for a in names for b in names if a != b and (a, b) not in true + turned]
    pair = _any(rng, turned if not others or rng.random() < 0.5 else others)
    return _yes_no("is on", rng, _IS_ON, pair, "no")


def _tower(scene: Scene, rng: np.random.Generator) -> Question | None:
    answer = scene.facts["tower"]
    if rng.random() > _TOWER_KEPT.get(answer, 1.0):
        return None
    more = ("no tower", *_NOTHING) if answer == "none" else (f"{answer} blocks",)
    return _question("tower", rng, _HOW_HIGH, "", answer, *more)


def _alone(scene: Scene, rng: np.random.Generator) -> Question | None:
    alone = scene.facts.get("alone")
    return _colour("alone", rng, _WHO_ALONE, "", alone) if alone else None


def _end(scene: Scene, rng: np.random.Generator) -> Question | None:
    end = _any(rng, ("top", "bottom"))
    colour = scene.facts.get(end)
    return _colour("end", rng, _WHO_END, end, colour) if colour else None


def _row(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Which of three blocks is the outermost or the middle one."""
    left = [r.subject for r in scene.relations if r.word == "left of"]
    order = sorted(range(len(scene.things)), key=lambda i: -left.count(i))
    if [left.count(i) for i in order] != [2, 1, 0]:
        return None
    place = int(rng.integers(3))
    colour = scene.things[order[place]].colour
    said = ("on the left", "in the middle", "on the right")[place]
    return _colour("row", rng, _WHO_ROW, said, colour)


def _is_aside(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Whether one thing is left of, right of, above or below another."""
    true = [r for r in scene.relations if r.word in _ASIDE]
    if not true:
        return None
    relation = _any(rng, true)
    answer = _any(rng, ("yes", "no"))
    word = relation.word if answer == "yes" else _OPPOSITE[relation.word]
    names = [thing.name for thing in scene.things]
    said = (names[relation.subject], word, names[relation.other])
    return _yes_no("is aside", rng, _IS_ASIDE, said, answer)


def _game(scene: Scene, rng: np.random.Generator) -> Question | None:
    game = scene.facts["game"]
    return _question("game", rng, _WHICH_GAME, "", game, f"game {game}", f"game of {game}")


def _ahead(scene: Scene, rng: np.random.Generator) -> Question | None:
    ahead = scene.facts.get("ahead")
    if ahead is None:
        return None
    if ahead == "nobody":
        return _question("ahead", rng, _WHO_AHEAD, "", ahead, "neither", "no one", *_NOTHING)
    return _colour("ahead", rng, _WHO_AHEAD, "", ahead, "boxer")


def _boxer(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Which of two boxers is at a side."""
    if len(scene.things) != 2 or not scene.relations:
        return None
    relation = _any(rng, scene.relations)
    colour = scene.things[relation.subject].colour
    return _colour("boxer", rng, _WHO_SIDE, _SIDES[relation.word], colour, "boxer")


def _exists(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Whether an object is there; of the absent ones, most share a colour or a kind with one."""
    there = [thing for thing in scene.things if thing.kind != "agent"]
    thing = _any(rng, there)
    if rng.random() < 0.5:
        return _yes_no("exists", rng, _IS_THERE, (thing.name,), "yes")
    absent = [
        (colour, kind)
        for colour in _OBJECT_COLOURS
        for kind in _OBJECT_KINDS
        if f"{colour} {kind}" not in {one.name for one in there}
    ]
    near = [pair for pair in absent if thing.colour == pair[0] or thing.kind == pair[1]]
    colour, kind = _any(rng, near if rng.random() < 0.8 else absent)
    return _yes_no("exists", rng, _IS_THERE, (f"{colour} {kind}",), "no")


def _count(scene: Scene, rng: np.random.Generator) -> Question | None:
    answer = scene.facts["count"]
    if rng.random() > _COUNT_KEPT.get(answer, 1.0):
        return None
    noun = "object" if answer == "one" else "objects"
    return _question("count", rng, _HOW_MANY, "", answer, f"{answer} {noun}", f"only {answer}")


def _what_colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    kinds = [thing.kind for thing in scene.things]
    sole = [t for t in scene.things if kinds.count(t.kind) == 1 and t.kind != "agent"]
    if not sole:
        return None
    thing = _any(rng, sole)
    return _colour("colour", rng, _WHAT_COLOUR, thing.kind, thing.colour, thing.kind)


def _what_kind(scene: Scene, rng: np.random.Generator) -> Question | None:
    colours = [thing.colour for thing in scene.things]
    sole = [t for t in scene.things if colours.count(t.colour) == 1 and t.kind != "agent"]
    if not sole:
        return None
    thing = _any(rng, sole)
    return _question("kind", rng, _WHAT_KIND, thing.colour, thing.kind, thing.name)


def _what_aside(scene: Scene, rng: np.random.Generator) -> Question | None:
    """What is at one side of an object, where only one is, however far to the other sides."""
    if any(r.word == "on" for r in scene.relations):
        return None  # a tower is beside a block as a whole
    clear = [r for r in scene.relations if _beside(scene, r.other, r.word) == [r.subject]]
    if not clear:
        return None
    relation = _any(rng, clear)
    said = f"{relation.word} the {scene.things[relation.other].name}"
    thing = scene.things[relation.subject]
    if scene.source == "blocks":
        return _colour("aside", rng, _WHAT_ASIDE, said, thing.colour)
    return _question("aside", rng, _WHAT_ASIDE, said, thing.name)


def _facing(scene: Scene, rng: np.random.Generator) -> Question | None:
    facing = scene.facts["facing"]
    more = (f"looks {facing}", f"faces {facing}", f"{facing}wards", f"{facing}ward")
    return _question("facing", rng, _WHICH_WAY, "", facing, *more)


def _next(scene: Scene, rng: np.random.Generator) -> Question | None:
    answer, target = scene.facts["next"], scene.facts["target"]
    more = {
        "turn left": ("left", "turn to the left"),
        "turn right": ("right", "turn to the right"),
        "go forward": ("forward", "move forward", "go straight", "go ahead"),
        "pick it up": ("pick up", f"pick up the {target}", f"pick the {target} up"),
    }
    return _question("next", rng, _WHAT_NEXT, target, answer, *more.get(answer, ()))


_WHO_ON = ("which block is on the {} block?", "what is on the {} block?", "who is on the {} one?")
_WHO_UNDER = ("what is under the {} block?", "on what does the {} block stand?")
_IS_ON = ("is the {} block on the {} block?", "does the {} block stand on the {} one?")
_HOW_HIGH = ("how many blocks are in the tower?", "how high is the tower?")
_WHO_ALONE = ("which block stands alone?", "which block is by itself?")
_WHO_END = ("which block is at the {} of the tower?", "what is at the {} of the tower?")
_WHO_ROW = ("which block is {}?", "of the three blocks, which is {}?")
_IS_ASIDE = ("is the {} {} the {}?", "do you see the {} {} the {}?")
_WHICH_GAME = ("which game is this?", "what game is this?", "which game is played here?")
_WHO_AHEAD = ("who is ahead?", "which boxer is ahead?", "who leads the fight?")
_WHO_SIDE = ("which boxer is {}?", "who is {}?")
_IS_THERE = ("is there a {}?", "do you see a {}?", "is a {} in the room?")
_HOW_MANY = ("how many objects are there?", "how many things are in the room?")
_WHAT_COLOUR = ("what colour is the {}?", "which colour has the {}?")
_WHAT_KIND = ("what is {}?", "which object is {}?", "what is the {} thing?")
_WHAT_ASIDE = ("what is {}?", "which object is {}?")
_WHICH_WAY = ("which way does the agent look?", "where does the agent look?")
_WHAT_NEXT = (
    "what should the agent do next to get the {}?",
    "to get the {}, what is the next step?",
    "how does the agent get the {}?",
)

_OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
_SIDES = {
    "left of": "on the left",
    "right of": "on the right",
    "above": "higher up",
    "below": "lower down",
}
_OBJECT_COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
_OBJECT_KINDS = ("ball", "key", "box")

_FORMS: dict[str, tuple[tuple[_Form, float], ...]] = {
    "blocks": (
        (_on, 2),
        (_under, 1.5),
        (_is_on, 1),
        (_tower, 2),
        (_alone, 1),
        (_end, 1.5),
        (_row, 1.5),
        (_what_aside, 1.5),
        (_is_aside, 0.4),
    ),
    "atari": ((_game, 3), (_ahead, 3), (_boxer, 3), (_is_aside, 1.5)),
    "grid": (
        (_exists, 1.5),
        (_count, 1.5),
        (_what_colour, 1.5),
        (_what_kind, 1.5),
        (_what_aside, 1.5),
        (_facing, 1.5),
        (_next, 2),
        (_is_aside, 0.7),
    ),
}


def _beside(scene: Scene, other: int, word: str) -> list[int]:
    """Places of the objects that are at a side of another, if only by a little."""
    axis, sign = {
        "left of": ("x", -1),
        "right of": ("x", 1),
        "above": ("y", -1),
        "below": ("y", 1),
    }[word]
    origin = getattr(scene.things[other], axis)
    return [
        i
        for i, thing in enumerate(scene.things)
        if thing.kind != "agent" and sign * (getattr(thing, axis) - origin) > 1e-6
    ]


def _question(
    form: str, rng: np.random.Generator, texts: Sequence[str], about: str, answer: str, *more: str
) -> Question:
    return Question(form, _any(rng, texts).format(about), answer, frozenset((answer, *more)))


def _colour(
    form: str,
    rng: np.random.Generator,
    texts: Sequence[str],
    about: str,
    colour: str,
    noun: str = "block",
) -> Question:
    return _question(form, rng, texts, about, colour, f"{colour} one", f"{colour} {noun}")


def _yes_no(
    form: str, rng: np.random.Generator, texts: Sequence[str], about: Sequence[str], answer: str
) -> Question:
    return Question(form, _any(rng, texts).format(*about), answer, frozenset((answer,)))


def _any(rng: np.random.Generator, choices: Sequence[_Any]) -> _Any:
    return choices[rng.integers(len(choices))]
