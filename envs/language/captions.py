"""Captions: words for a scene, and how many of its facts a caption tells.

`describe` is the expert's grammar. `judge` reads any caption, in these or other words, and checks
it against the scene: a fact that it must tell counts once, each false claim takes one away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gato_gym.envs.language.caption_grammar import GRAMMARS
from gato_gym.envs.language.claims import Claim, claims_of, games_of, truths_of, turned
from gato_gym.envs.language.scene import Scene

MAX_LETTERS, MAX_WORDS = 160, 22
"""Of the expert's captions."""

Fact = frozenset[Claim]
"""Claims that are one fact in other words; any of them tells it."""


@dataclass(frozen=True)
class Judgement:
    """What a caption got right.

    right   facts that it tells
    wrong   its claims that are false
    total   facts that it must tell
    """

    right: int
    wrong: int
    total: int

    @property
    def score(self) -> float:
        """In [0, 1]; a false claim takes away what a true one brings."""
        return max(0, self.right - self.wrong) / self.total


def describe(scene: Scene, rng: np.random.Generator) -> str:
    """A true caption that tells all facts; lower case and short."""
    while True:
        caption = GRAMMARS[scene.source](scene, rng)
        if len(caption.split()) <= MAX_WORDS and len(caption) <= MAX_LETTERS:
            return caption


def facts_of(scene: Scene) -> tuple[Fact, ...]:
    """What a caption must tell.

    blocks  who is on whom, who stands alone beside them; or that no block is on another, and one
            true relation
    atari   the game; where the picture has relations, one of them
    grid    each object with its colour, and one true relation if there is any
    """
    names = [thing.name for thing in scene.things]
    told = [(r.word, names[r.subject], names[r.other]) for r in scene.relations]
    aside = frozenset(
        claim
        for claim in truths_of(scene)
        if claim[0] in ("left of", "right of", "above", "below") and len(claim) == 3
    )
    facts: list[Fact] = []
    if scene.source == "blocks":
        on = [(word, a, b) for word, a, b in told if word == "on"]
        facts += [frozenset({pair, turned("below", pair[2], pair[1])}) for pair in on]
        stacked = {name for pair in on for name in pair[1:]}
        if on:
            return (*facts, *(frozenset({("alone", n)}) for n in names if n not in stacked))
        facts.append(frozenset({("flat",)}))
    elif scene.source == "atari":
        facts.append(frozenset({("game", scene.facts["game"])}))
    else:
        facts += [frozenset({("thing", t.name)}) for t in scene.things if t.kind != "agent"]
    return (*facts, aside) if aside else tuple(facts)


def judge(caption: str, scene: Scene) -> Judgement:
    """Check a caption, in whatever words, against the scene."""
    claims = claims_of(caption, scene.source, games_of(scene))
    facts = facts_of(scene)
    return Judgement(
        right=sum(bool(claims & fact) for fact in facts),
        wrong=len(claims - truths_of(scene)),
        total=len(facts),
    )
