"""The expert's sentences: short common words in several orders, several words for one thing.

Each function gets a scene and a generator and gives a caption that tells all facts of
`captions.facts_of` and claims nothing false.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from gato_gym.envs.language.scene import Relation, Scene, Thing
from gato_gym.envs.language.words import pick

_SAID = {
    "on": ("on", "on", "on top of"),
    "under": ("under", "under", "below"),
    "above": ("above", "above", "over"),
    "below": ("below", "below", "under"),
    "left of": ("left of", "left of", "to the left of"),
    "right of": ("right of", "right of", "to the right of"),
}
_VERBS = {"block": ("is", "is", "sits", "stands"), "boxer": ("is", "is", "stands")}
_FLAT = (
    "no block is on another",
    "nothing is stacked",
    "no block is stacked",
    "the blocks are not stacked",
    "all blocks stand apart",
    "there is no tower",
    "each block stands alone",
)
_ALONE = ("{} stands alone", "{} is alone", "{} stands apart", "{} is by itself", "alone is {}")
_GAMES = (
    "this is {}",
    "this is the game {}",
    "a game of {}",
    "the game is {}",
    "you see {}",
    "i see a game of {}",
    "this looks like {}",
    "the picture shows {}",
    "someone plays {}",
    "here {} is played",
)
_ROOMS = ("there is {}", "i see {}", "the room has {}", "in the room is {}", "here is {}", "{}")


def blocks_caption(scene: Scene, rng: np.random.Generator) -> str:
    """Who is on whom and who stands alone; or that nobody is, and a relation or the whole row."""
    colours = [thing.colour for thing in scene.things]
    on = {r.subject: r.other for r in scene.relations if r.word == "on"}
    name = _Blocks(rng)
    if not on:
        flat, row = pick(rng, _FLAT), _row(scene)
        if row and rng.random() < 0.5:
            names = [name(colours[i]) for i in row]
            aside = f"from left to right: {names[0]}, {names[1]}, {names[2]}"
        elif scene.relations:
            aside = _related(pick(rng, scene.relations), lambda i: name(colours[i]), "block", rng)
        else:
            return _ended([flat], rng)
        return _ended([flat, aside] if rng.random() < 0.5 else [aside, flat], rng)
    top = next(i for i in on if i not in on.values())
    middle = on[top]
    if middle in on:
        return _ended(_tower(name, [colours[i] for i in (top, middle, on[middle])], rng), rng)
    rest = next(i for i in range(len(colours)) if i not in (top, middle))
    alone = pick(rng, _ALONE)
    if rng.random() < 0.3:
        first = alone.format(name(colours[rest]))
        return _ended([first, _stacked(name, colours[top], colours[middle], rng)], rng)
    first = _stacked(name, colours[top], colours[middle], rng)
    return _ended([first, alone.format(name(colours[rest]))], rng)


def atari_caption(scene: Scene, rng: np.random.Generator) -> str:
    """The game, and where one thing is seen from another if the scene says so."""
    said = [pick(rng, _GAMES).format(scene.facts["game"])]
    if scene.relations:
        relation = pick(rng, scene.relations)
        name = _Boxers(rng)
        said.append(_related(relation, lambda i: name(scene.things[i].colour), "boxer", rng))
        if rng.random() < 0.3:
            said.reverse()
    return _ended(said, rng)


def grid_caption(scene: Scene, rng: np.random.Generator) -> str:
    """Every object, and where one is seen from another if the scene says so."""
    things = [thing for thing in scene.things if thing.kind != "agent"]
    order = [things[i] for i in rng.permutation(len(things))]
    name = _Objects(scene.things, rng)
    if not scene.relations:
        return _ended([pick(rng, _ROOMS).format(_listed([name(t) for t in order]))], rng)
    relation = pick(rng, scene.relations)
    pair = (scene.things[relation.subject], scene.things[relation.other])
    rest = [thing for thing in order if thing not in pair]
    shape = rng.random()
    if shape < 0.4:  # all objects first, then the relation between two of them
        listed = pick(rng, _ROOMS).format(_listed([name(t) for t in order]))
        return _ended([listed, _related(relation, lambda i: name(scene.things[i]), "", rng)], rng)
    if shape < 0.6:  # "there is a red ball, left of it is a blue key"
        first = pick(rng, _ROOMS).format(name(pair[1]))
        said = f"{first}, {pick(rng, _SAID[relation.word])} it is {name(pair[0])}"
        return _ended([said, *(f"there is {name(t)}" for t in rest)], rng)
    if rest and rng.random() < 0.3:
        besides = f"there is {name(rest[0])}"
        return _ended([besides, _related(relation, lambda i: name(scene.things[i]), "", rng)], rng)
    said = _related(relation, lambda i: name(scene.things[i]), "", rng)
    return _ended([said, *(f"there is {name(t)}" for t in rest)], rng)


GRAMMARS: dict[str, Callable[[Scene, np.random.Generator], str]] = {
    "blocks": blocks_caption,
    "atari": atari_caption,
    "grid": grid_caption,
}


class _Blocks:
    """Names of blocks, or boxers, in the order of asking: "the red block", then "the blue one"."""

    FORMS: tuple[tuple[str, str], ...] = (
        ("the {} block", "the {} one"),
        ("the {} block", "the {} block"),
        ("a {} block", "a {} one"),
        ("{}", "{}"),
    )

    def __init__(self, rng: np.random.Generator) -> None:
        self.first, self.later = pick(rng, self.FORMS)
        self.told: set[str] = set()

    def __call__(self, colour: str) -> str:
        form = self.later if self.told else self.first
        if colour in self.told:
            form = form.replace("a {}", "the {}")
        self.told.add(colour)
        return form.format(colour)


class _Boxers(_Blocks):
    FORMS = (("the {} boxer", "the {} one"), ("the {} boxer", "the {} boxer"), ("{}", "{}"))


class _Objects:
    """Names of objects: "a red key" at first, later "the key", or "the red key" among others."""

    def __init__(self, things: Sequence[Thing], rng: np.random.Generator) -> None:
        kinds = [thing.kind for thing in things]
        self.alone = {kind for kind in kinds if kinds.count(kind) == 1}
        self.short = rng.random() < 0.7
        self.told: set[str] = set()

    def __call__(self, thing: Thing) -> str:
        if thing.name in self.told:
            short = self.short and thing.kind in self.alone
            return f"the {thing.kind if short else thing.name}"
        self.told.add(thing.name)
        return f"a {thing.name}"


def _related(
    relation: Relation, name: Callable[[int], str], kind: str, rng: np.random.Generator
) -> str:
    """A relation as a sentence, the subject first or last; names are asked for in their order."""
    word, verb = pick(rng, _SAID[relation.word]), pick(rng, _VERBS.get(kind, ("is",)))
    if rng.random() < 0.75:
        subject = name(relation.subject)
        return f"{subject} {verb} {word} {name(relation.other)}"
    other = name(relation.other)
    return f"{word} {other} {verb} {name(relation.subject)}"


def _stacked(name: _Blocks, top: str, bottom: str, rng: np.random.Generator) -> str:
    """That one block is on another, told from either."""
    shape = rng.random()
    if shape < 0.7:
        upper = pick(rng, (Relation(0, "on", 1), Relation(0, "on", 1), Relation(1, "under", 0)))
        return _related(upper, lambda i: name((top, bottom)[i]), "block", rng)
    lower = name(bottom)
    return f"{lower} {pick(rng, ('carries', 'holds'))} {name(top)}"


def _tower(name: _Blocks, colours: Sequence[str], rng: np.random.Generator) -> list[str]:
    """A tower of all blocks, `colours` from top to bottom."""
    shape = rng.integers(4)
    if shape == 0:
        listed = ", ".join(name(colour) for colour in colours)
        return [f"from top to bottom: {listed}"]
    if shape == 1:
        listed = ", ".join(name(colour) for colour in reversed(colours))
        return [f"from bottom to top: {listed}"]
    if shape == 2:
        top, middle, bottom = (name(colour) for colour in colours)
        joint = pick(rng, (" ", ", ", ", which is "))
        begin = pick(rng, ("", "", "a tower: "))
        return [f"{begin}{top} is on {middle}{joint}on {bottom}"]
    pairs = [(colours[0], colours[1]), (colours[1], colours[2])]
    if rng.random() < 0.4:
        pairs.reverse()
    return [_stacked(name, top, bottom, rng) for top, bottom in pairs]


def _row(scene: Scene) -> list[int]:
    """All things from left to right, [] where the scene does not tell each from its neighbour."""
    left = {(r.subject, r.other) for r in scene.relations if r.word == "left of"}
    row = sorted(range(len(scene.things)), key=lambda i: scene.things[i].x)
    clear = all(pair in left for pair in pairwise(row))
    return row if clear and len(row) == 3 else []


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _ended(sentences: Sequence[str], rng: np.random.Generator) -> str:
    """The sentences as one text; what announces a list is a sentence of its own."""
    own = any(":" in sentence for sentence in sentences)
    joint = ". " if own else pick(rng, (" and ", ", ", ". ", "; "))
    return joint.join(sentences) + pick(rng, ("", "."))
