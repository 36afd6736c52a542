"""Sentences that say which block to stack on which, and the pair that each is about."""

from __future__ import annotations

import itertools
import string
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

COLOURS = ("red", "blue", "green")
PAIRS = tuple(itertools.permutations(COLOURS, 2))
"""(upper, lower), all six."""

PHRASINGS = (
    "put the {upper} block on the {lower} one",
    "stack the {upper} block on the {lower} block",
    "place {upper} on {lower}",
    "put {upper} on top of {lower}",
    "set the {upper} cube on the {lower} cube",
    "move the {upper} block onto the {lower} one",
)
LETTERS = string.ascii_lowercase + " "
LENGTH = 48
"""Letters that a sentence may have: ten words and some room."""


@dataclass(frozen=True)
class Instruction:
    """What an episode asks for.

    Args:
        upper, lower: colours; `upper` is to rest on `lower`.
        text: a sentence that says so.
    """

    upper: str
    lower: str
    text: str

    @property
    def pair(self) -> tuple[str, str]:
        """(upper, lower)."""
        return self.upper, self.lower


def draw(rng: np.random.Generator) -> Instruction:
    """Any of the pairs in any of the phrasings, all alike."""
    upper, lower = PAIRS[rng.integers(len(PAIRS))]
    phrasing = PHRASINGS[rng.integers(len(PHRASINGS))]
    return Instruction(upper, lower, phrasing.format(upper=upper, lower=lower))


def space() -> spaces.Text:
    """The space of the sentences."""
    return spaces.Text(LENGTH, charset=LETTERS)
