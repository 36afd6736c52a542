"""The words that captions and questions are made of, and how a text is cut into what it means.

A text becomes a list of marks: ("thing", "red key"), ("relation", "left of"), ("and", ","), ...
Words that say nothing about a picture ("there is", "stands", "the") leave no mark.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

_Any = TypeVar("_Any")

COLOURS = ("red", "green", "blue", "purple", "yellow", "grey", "white", "black")
KINDS = ("block", "ball", "key", "box", "boxer", "agent")
NUMBERS = ("none", "one", "two", "three", "four", "five")

_COLOUR_OF = {**{colour: colour for colour in COLOURS}, "gray": "grey"}
_KIND_OF = {
    **{kind: kind for kind in KINDS},
    **{f"{kind}s": kind for kind in KINDS},
    **{"boxes": "box", "cube": "block", "cubes": "block", "fighter": "boxer", "robot": "agent"},
}
_PRONOUNS = {"it", "this", "that"}
# A colour's noun is left out, or stands for the last one: "the red block and the blue one".
_SAME_KIND = {"one", "ones"}

_PHRASES = {
    "relation": {
        "on": "on",
        "on top of": "on",
        "atop": "on",
        "upon": "on",
        "above": "above",
        "over": "above",
        "higher than": "above",
        "below": "below",
        "under": "below",
        "beneath": "below",
        "lower than": "below",
        **{f"{at}{side} of": f"{side} of" for side in ("left", "right") for at in ("", "to the ")},
        **{f"on the {side} of": f"{side} of" for side in ("left", "right")},
    },
    # The thing that is named first is the lower one.
    "carries": {"carries": "on", "holds": "on", "bears": "on"},
    # Compared with the only other thing of its kind.
    "place": {
        "on the left": "left of",
        "on the right": "right of",
        "at the top": "above",
        "at the bottom": "below",
    },
    "alone": dict.fromkeys(("alone", "apart", "by itself", "on its own"), "alone"),
    "order": {
        "from left to right": "left of",
        "from right to left": "right of",
        "from top to bottom": "on",
        "from bottom to top": "under",
    },
    "and": dict.fromkeys(("and", "while", "with", "but", ","), "and"),
    "end": dict.fromkeys((".", ";", ":", "!", "?"), "end"),
    "not": dict.fromkeys(("not", "never"), "not"),
}
_MARKS = {
    tuple(phrase.split()): (mark, value)
    for mark, phrases in _PHRASES.items()
    for phrase, value in phrases.items()
}
_LONGEST = max(map(len, _MARKS))
# Words that may follow a colour without being its noun.
_SILENT = frozenset(
    {"a", "an", "the", "is", "are", "there", "here", "i", "see", "sits", "stands", "lies", "in"}
    | {"room", "of", "to", "at", "from", "so", "seen", "be", "being", "only", "next", "also", "or"}
    | {"both", "shown", "looks", "stand", "sit", "lie", "rests", "hangs", "now"}
)


class Mark(NamedTuple):
    """A word or phrase that means something, see the module's text."""

    mark: str
    value: str


def pick(rng: np.random.Generator, choices: Sequence[_Any]) -> _Any:
    """One of them, all equally likely; at least one."""
    return choices[int(rng.integers(len(choices)))]


def marks(text: str, kind: str = "", games: Collection[str] = ()) -> list[Mark]:
    """What a text's words mean, in their order.

    A thing's value is its name, "" for "it". A colour without a noun gets the last one before it,
    else that of the colours it is listed with ("red and blue blocks"), else `kind`.

    Args:
        text: any text; case and punctuation do not matter.
        kind: the noun of a colour when the text names none.
        games: names of games that become ("game", name).
    """
    words = re.findall(r"[a-z0-9']+|[.,;:!?]", text.lower())
    named = {tuple(game.split()): ("game", game) for game in games}
    known = _MARKS | named
    longest = max([_LONGEST, *map(len, named)])
    found: list[Mark] = []
    place = 0
    while place < len(words):
        if words[place] in _COLOUR_OF:
            colour = _COLOUR_OF[words[place]]
            noun, place = _noun(words, place + 1, known)
            found.append(Mark("thing", f"{colour} {noun}".strip()))
            continue
        for length in range(min(longest, len(words) - place), 0, -1):
            phrase = tuple(words[place : place + length])
            if phrase in known:
                found.append(Mark(*known[phrase]))
                place += length
                break
        else:
            if words[place] in _KIND_OF:
                found.append(Mark("thing", _KIND_OF[words[place]]))
            elif words[place] in _PRONOUNS:
                found.append(Mark("thing", ""))
            place += 1
    return _with_nouns(found, kind)


def _noun(words: list[str], place: int, known: Collection[tuple[str, ...]]) -> tuple[str, int]:
    """The noun of a colour ("" where it is left out) and the place after it."""
    if place == len(words):
        return "", place
    word = words[place]
    if word in _SAME_KIND:
        return "", place + 1
    if word in _KIND_OF:
        return _KIND_OF[word], place + 1
    begins = any(phrase[0] == word for phrase in known)
    if begins or word in _SILENT or word in _COLOUR_OF or not word.isalpha():
        return "", place
    # No noun of ours, so no thing of ours: "a red dragon" must not pass for a red block.
    return word, place + 1


def _with_nouns(found: list[Mark], kind: str) -> list[Mark]:
    named: list[Mark] = []
    last = ""
    for place, mark in enumerate(found):
        if mark.mark == "thing" and mark.value:
            if mark.value in _COLOUR_OF:
                noun = last or _listed_noun(found, place) or kind
                mark = Mark("thing", f"{mark.value} {noun}".strip())
            else:
                last = mark.value.split()[-1]
        named.append(mark)
    return named


def _listed_noun(found: list[Mark], place: int) -> str:
    """The noun that ends a list of colours: "block" for "red" in "red, green and blue blocks"."""
    for mark in found[place + 1 :]:
        if mark.mark == "thing":
            colour, _, noun = mark.value.partition(" ")
            if noun or colour not in _COLOUR_OF:
                return noun
        elif mark.mark != "and":
            return ""
    return ""
