"""What a picture shows: pixels, and the truth about them from the simulator that drew them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

HEIGHT, WIDTH = 64, 80
"""Of every picture, in pixels: 20 patches."""


@dataclass(frozen=True)
class Thing:
    """Something in the picture that has a name.

    colour   "" where the kind alone tells it
    kind     a noun: "block", "key", "ball", "boxer", ...
    x, y     its middle in the picture, in [0, 1]; x to the right, y down
    """

    colour: str
    kind: str
    x: float
    y: float

    @property
    def name(self) -> str:
        """E.g. "red block"."""
        return f"{self.colour} {self.kind}".strip()


@dataclass(frozen=True)
class Relation:
    """One thing to another, as indices into the scene's things; e.g. (0, "on", 1)."""

    subject: int
    word: str
    other: int


@dataclass(frozen=True)
class Scene:
    """A picture and the truth about it.

    image      (64, 80, 3) uint8
    source     who drew it: "blocks", "atari" or "grid"
    things     what is seen, in an order that means nothing
    relations  all that hold and that a caption or a question may be about
    facts      what a few words answer, e.g. {"game": "boxing", "next": "turn left"}; which ones
               there are is in the module of the source
    """

    image: np.ndarray
    source: str
    things: tuple[Thing, ...]
    relations: tuple[Relation, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


class SceneSource(Protocol):
    """Draws scenes of one kind; keeps its simulator between them."""

    name: str

    def draw(self, rng: np.random.Generator) -> Scene:
        """A new scene; a function of the generator's state alone."""
        ...

    def close(self) -> None:
        """Free the simulator."""
        ...
