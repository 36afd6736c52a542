"""What a caption claims about a picture, and what is true of it, in the same form.

A claim is a tuple of words:

    ("thing", a)                        a is in the picture
    ("on" | "left of" | "above", a, b)  a is there as seen from b; "right of" and "below" are turned
    ("alone", a)                        no block is on a, and a is on none
    ("flat",)                           no block is on another
    ("game", name)                      a frame of this game

An empty b stands for the only other thing of a's kind. What is denied ("there is no box", "red is
not on blue") claims nothing, whether it is true or not, but for ("flat",).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import pairwise

from gato_gym.envs.language.scene import Scene
from gato_gym.envs.language.words import COLOURS, KINDS, Mark, marks

Claim = tuple[str, ...]

_TURNED = {"right of": "left of", "below": "above", "under": "on"}
_KIND_OF_COLOURS = {"blocks": "block", "atari": "boxer"}

# "no block is on another", "nothing is stacked", "the blocks are not in a tower", ...
_FLAT = re.compile(
    r"\b(?:no|not|nothing|none|never|without)\b[^.;:!?,]*?"
    r"\b(?:stacked|stack|tower|on another|on others?|on each other|on top)\b"
    r"|\b(?:all|each|every)\b[^.;:!?,]*?\b(?:alone|apart|on its own|by itself)\b"
    r"|\bthe (?:three )?(?:block|cube)s (?:all )?(?:stand|are|lie) (?:alone|apart)\b"
)
_ALONE = r" (?:is|are|stands?) (?:alone|apart|on its own|by itself)\b"
_NO_THING = rf"\bno (?:(?:{'|'.join(COLOURS)}) )?(?:{'|'.join(KINDS)})(?:s|es)?\b"


def claims_of(caption: str, source: str, games: Collection[str] = ()) -> set[Claim]:
    """What a caption says; what cannot be read claims nothing.

    Args:
        caption: any text.
        source: of the picture, which decides what "the red one" is when nothing else does.
        games: the names of games to look for.
    """
    text = re.sub(_NO_THING + _ALONE, " ", caption.lower())
    rest = _FLAT.sub(" ", text) if source == "blocks" else text
    found: set[Claim] = {("flat",)} if rest != text else set()
    rest = re.sub(_NO_THING, " not ", rest)
    sentence: list[Mark] = []
    last = ""
    for mark in [*marks(rest, _KIND_OF_COLOURS.get(source, ""), games), Mark("end", "end")]:
        if mark.mark == "game":
            found.add(("game", mark.value))
        elif mark.mark == "thing":
            last = mark.value or last
            if last:
                found.add(("thing", last))
                sentence.append(Mark("thing", last))
        elif mark.mark == "end" and not _goes_on(sentence):
            found |= _sentence_claims(sentence)
            sentence = []
        elif mark.mark != "end":
            sentence.append(mark)
    return found | _sentence_claims(sentence)


def truths_of(scene: Scene) -> set[Claim]:
    """All claims that hold and that `claims_of` may find.

    A thing that is the only one of its kind goes by the kind, too. What is on a block is above it
    and above all below it. Sides and heights hold where the scene's relations tell them.
    """
    kinds = [thing.kind for thing in scene.things]
    names = [
        {thing.name, thing.kind} if kinds.count(thing.kind) == 1 else {thing.name}
        for thing in scene.things
    ]
    found: set[Claim] = {("thing", name) for thing in names for name in thing}
    found |= {("thing", kind) for kind in kinds}
    stacked: set[int] = set()
    for relation in scene.relations:
        subject, word, other = relation.subject, relation.word, relation.other
        others = set(names[other])
        if kinds.count(kinds[subject]) == 2 and kinds[subject] == kinds[other]:
            others.add("")
        found |= {turned(word, a, b) for a in names[subject] for b in others}
        if word == "on":
            stacked |= {subject, other}
            found |= {("above", a, b) for a in names[subject] for b in others}
    below = {r.subject: r.other for r in scene.relations if r.word == "on"}
    for top, lower in below.items():
        while lower in below:
            lower = below[lower]
            found |= {("above", a, b) for a in names[top] for b in names[lower]}
    if scene.source == "blocks":
        if not stacked:
            found.add(("flat",))
        found |= {("alone", scene.things[i].name) for i in range(len(kinds)) if i not in stacked}
    if "game" in scene.facts:
        found.add(("game", scene.facts["game"]))
    return found


def games_of(scene: Scene) -> tuple[str, ...]:
    """All games that a picture of the scene's source can show; () where it shows none."""
    if scene.source != "atari":
        return ()
    # Its package is there: it drew the scene.
    from gato_gym.envs.language.sources.atari import GAMES

    return tuple(GAMES)


def turned(word: str, subject: str, other: str) -> Claim:
    """A relation as a claim: "right of" and "below" become what the other is to the subject."""
    if word not in _TURNED:
        return (word, subject, other)
    # Without a name for the other, the inverse word keeps its own form.
    return (_TURNED[word], other, subject) if other else (word, subject, "")


def _goes_on(sentence: list[Mark]) -> bool:
    """Whether a sentence that ends here has only announced a list: "from left to right: ..."."""
    return bool(sentence) and sentence[-1].mark == "order"


def _sentence_claims(sentence: list[Mark]) -> set[Claim]:
    order = next((mark.value for mark in sentence if mark.mark == "order"), "")
    if order:
        # "The blocks, from left to right, are ...": the list is of what has a colour.
        things = [mark.value for mark in sentence if mark.mark == "thing" and " " in mark.value]
        return {turned(order, a, b) for a, b in pairwise(things)}
    found: set[Claim] = set()
    for place, mark in enumerate(sentence):
        if mark.mark in ("alone", "place"):
            subject = _nearest(sentence, place)
            if subject:
                alone = mark.mark == "alone"
                found.add(("alone", subject) if alone else turned(mark.value, subject, ""))
        elif mark.mark in ("relation", "carries"):
            pair = _pair(sentence, place)
            if pair is not None:
                subject, other = pair if mark.mark == "relation" else pair[::-1]
                found.add(turned(mark.value, subject, other))
    return found


def _pair(sentence: list[Mark], place: int) -> tuple[str, str] | None:
    """The subject of a relation and the other thing."""
    after = place + 1
    # "left of and above the black one": both relations have the same two things.
    while after < len(sentence) and sentence[after].mark in ("and", "relation"):
        after += 1
    if after == len(sentence) or sentence[after].mark != "thing":
        return None
    other = sentence[after].value
    before = place - 1
    while before > 0 and sentence[before].mark in ("and", "relation"):
        if sentence[before].mark == "and" and sentence[before - 1].mark != "relation":
            break
        before -= 1
    if before >= 0 and sentence[before].mark == "not":
        return None  # what is not so is no claim
    if before >= 0 and sentence[before].mark == "thing":
        return sentence[before].value, other
    # "on the red block is the green one": what follows is the subject.
    if after + 1 < len(sentence) and sentence[after + 1].mark == "thing":
        return sentence[after + 1].value, other
    things = [mark.value for mark in sentence[:place] if mark.mark == "thing"]
    return (things[-1], other) if things else None


def _nearest(sentence: list[Mark], place: int) -> str:
    before = place > 0 and sentence[place - 1].mark == "thing"
    if before:
        return sentence[place - 1].value
    after = place + 1 < len(sentence) and sentence[place + 1].mark == "thing"
    if after:
        return sentence[place + 1].value
    things = [mark.value for mark in sentence[:place] if mark.mark == "thing"]
    return things[-1] if things else ""
