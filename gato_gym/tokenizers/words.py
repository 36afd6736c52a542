"""Texts in the slots of a step: what is observed, and what is said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.vocabulary import PAD

TEXT_SLOT, SPEAKER_SLOT = 64, 128
"""Tokens of a text in an observation, at most: where actions are numbers, and where they are text.
What is longer is cut at its end."""


class Words:
    """Texts <-> slots of ids, filled up with PAD.

    Args:
        text: the text model.
        slot: tokens of an observed text, at most.
        reply: tokens of a text that is an action, its end included, at most.
    """

    def __init__(self, text: TextTokenizer, slot: int, reply: int) -> None:
        self.text, self.slot, self.reply = text, slot, reply

    def observed(self, texts: Iterable[str]) -> np.ndarray:
        """T texts -> (T, slot) int32 ids."""
        return self._rows([self._observed(text) for text in texts], self.slot)

    def replies(self, texts: Iterable[str]) -> np.ndarray:
        """T texts -> (T, reply) int32 ids, each with its end, unless it was cut."""
        return self._rows([self._reply(text) for text in texts], self.reply)

    def observed_tokens(self, text: str) -> int:
        """How many of its slots an observed text needs."""
        return len(self._observed(text))

    def reply_tokens(self, text: str) -> int:
        """How many slots a text that is an action needs."""
        return len(self._reply(text))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, with or without its end."""
        return self.text.decode(token for token in ids if token not in (self.text.end, PAD))

    def _observed(self, text: str) -> Sequence[int]:
        return self.text.encode(text)[: self.slot]  # type: ignore[return-value]  # an array is one

    def _reply(self, text: str) -> Sequence[int]:
        return [*self.text.encode(text).tolist(), self.text.end][: self.reply]

    @staticmethod
    def _rows(texts: Sequence[Sequence[int]], width: int) -> np.ndarray:
        rows = np.full((len(texts), width), PAD, np.int32)
        for row, ids in zip(rows, texts, strict=True):
            row[: len(ids)] = ids
        return rows
