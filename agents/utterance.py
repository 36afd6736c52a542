"""A text in the making: how its tokens are chosen, where it ends, what can be told of it yet."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gato_gym.agents.sampling import Sampler
from gato_gym.models.choice import Choose, deterministic
from gato_gym.models.stream import TokenStreams
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import TokenSequence

BROKEN = "\ufffd"
"""How a byte is decoded whose letter is not complete."""


@dataclass(frozen=True)
class Manner:
    """How a text is made.

    temperature  0 takes the likeliest token each time; else see `Sampler`
    top_p        see `Sampler`
    max_tokens   at most so many; None = as many as the task allows
    stop         the text ends before the first of these

    Raises:
        ValueError: a value out of range, or of another type.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        temperature: Any = 0.0,
        top_p: Any = 1.0,
        max_tokens: Any = None,
        stop: str | Sequence[str] = (),
    ) -> Manner:
        """From what a caller gives; one stop string may stand alone."""
        if not isinstance(stop, str | list | tuple):
            raise ValueError(f"stop must be a string or several, got {stop!r}")
        return cls(temperature, top_p, max_tokens, (stop,) if isinstance(stop, str) else (*stop,))

    def __post_init__(self) -> None:
        if not _is_number(self.temperature) or not 0 <= self.temperature < math.inf:
            raise ValueError(
                f"temperature must be a number from 0 (the likeliest tokens), e.g. 0.7, got "
                f"{self.temperature!r}"
            )
        if not _is_number(self.top_p) or not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be a number in (0, 1], got {self.top_p!r}")
        most = self.max_tokens
        if most is not None and (not isinstance(most, numbers.Integral) or most < 1):
            raise ValueError(f"max_tokens must be a whole number from 1, or None, got {most!r}")
        wrong = [one for one in self.stop if not isinstance(one, str) or not one]
        if wrong:
            raise ValueError(f"stop must be strings that are not empty, got {wrong[0]!r}")

    def chooser(self, generator: torch.Generator) -> Choose:
        """What picks tokens."""
        if not self.temperature:
            return deterministic
        return Sampler(generator, self.temperature, self.top_p)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


class Utterance:
    """One text. What is told of it never changes later, and is never half a letter.

    Args:
        text: the text model.
        end: the id that ends it.
        manner: of its making.
    """

    def __init__(self, text: TextTokenizer, end: int, manner: Manner) -> None:
        self._text, self._end, self._manner = text, end, manner
        self._ids: list[int] = []
        self._told = 0
        self.is_done = False
        """Whether nothing will be told any more."""

    def add(self, token: int) -> str:
        """Go on with a token; returns what can be told now."""
        if self.is_done:
            return ""
        if token == self._end:
            return self.finish()
        self._ids.append(token)
        if len(self._ids) == self._manner.max_tokens:
            return self.finish()
        # A letter may have several tokens, its bytes.
        whole = self._text.decode(self._ids).rstrip(BROKEN)
        return self._tell(whole, self._cut(whole), self._pending(whole))

    def finish(self) -> str:
        """There will be no more tokens; returns what was not told."""
        if self.is_done:
            return ""
        whole = self._text.decode(self._ids)
        self.is_done = True
        return self._tell(whole, self._cut(whole), 0)

    def _cut(self, whole: str) -> int | None:
        """Where it ends, None if that is not known yet."""
        found = [place for place in map(whole.find, self._manner.stop) if place >= 0]
        return min(found, default=None)

    def _pending(self, whole: str) -> int:
        """Letters at the end that may be the beginning of a stop string."""
        lengths = (
            length
            for stop in self._manner.stop
            for length in range(1, len(stop))
            if whole.endswith(stop[:length])
        )
        return max(lengths, default=0)

    def _tell(self, whole: str, cut: int | None, pending: int) -> str:
        if cut is not None:
            self.is_done, pending, whole = True, 0, whole[:cut]
        until = max(len(whole) - pending, self._told)
        piece, self._told = whole[self._told : until], until
        return piece


def speak(
    streams: TokenStreams,
    sequences: Sequence[TokenSequence],
    manner: Manner,
    generator: torch.Generator,
) -> Iterator[list[str]]:
    """Decide a text in each row, told piece by piece.

    The streams are left half-way: they are for this text alone.

    Args:
        streams: of tasks whose actions are text.
        sequences: what each row observes.
        manner: of the texts.
        generator: of random numbers.

    Yields:
        B pieces, some of them empty; joined by row they are the texts.

    Raises:
        NonFiniteError: the predictions are not finite.
    """
    pick = manner.chooser(generator)
    utterances = []
    for tokenizer in streams.tokenizers:
        assert tokenizer.text is not None and tokenizer.end is not None
        utterances.append(Utterance(tokenizer.text, tokenizer.end, manner))

    def choose(logits: Tensor, rows: list[int], ordered: bool) -> np.ndarray:
        values = pick(logits, rows, ordered)
        for place, row in enumerate(rows):
            if utterances[row].is_done:
                values[place] = 0  # its end: the others need not wait for it
        return values

    for found in streams.deciding(sequences, choose):
        pieces = [""] * len(utterances)
        for row, token in found.items():
            pieces[row] = utterances[row].add(token)
        yield pieces
        if all(utterance.is_done for utterance in utterances):
            return
    yield [utterance.finish() for utterance in utterances]
