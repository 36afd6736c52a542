"""Texts that one network makes: which task they belong to, and what it reads before it speaks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gato_gym.agents.demonstrations import Demonstrations
from gato_gym.agents.role import Role, find_prompt
from gato_gym.agents.utterance import Manner, speak
from gato_gym.data.sources.texts import clean
from gato_gym.errors import UnknownTaskError
from gato_gym.models.decode import Decoder
from gato_gym.models.stream import TokenStreams
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import ACTION_ROW, TokenSequence
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import ActionSpec, Episode, TaskSpec

logger = logging.getLogger(__name__)

Prompt = str | Path | Episode | None

TOGETHER = 32
"""Texts that are decided in one batch."""

LONGEST = 1 << 16
"""Letters of a text that are looked at. No slot holds as many."""

_FORMS = {
    "caption": (1, 0, "text/captioning", "one picture and no text"),
    "answer": (1, 1, "text/vqa", "one picture and one text"),
    "chat": (0, 1, "text/dialogue", "one text"),
}
"""Number of pictures and of texts, the task of ours, and the form in words."""


class Speaker:
    """Makes texts with one network.

    Args:
        decoder: runs the network.
        specs: the tasks that it was trained on.
        prompts: its own demonstrations of them.
        vocabulary, text: of the network.
        generator: of random numbers.
    """

    def __init__(
        self,
        decoder: Decoder,
        specs: Mapping[str, TaskSpec],
        prompts: Mapping[str, Episode],
        vocabulary: Vocabulary,
        text: TextTokenizer | None,
        generator: torch.Generator,
    ) -> None:
        self.decoder, self.specs, self.prompts = decoder, specs, prompts
        self.vocabulary, self.text, self.generator = vocabulary, text, generator

    def find(self, what: str, task: str | None) -> TaskSpec:
        """The task to "caption", "answer" or "chat" in.

        Raises:
            UnknownTaskError: there is none, or `task` is not one of them.
            ValueError: there are several, and none of them is the suite's.
        """
        pictures, texts, usual, form = _FORMS[what]
        fitting = [
            name
            for name, spec in self.specs.items()
            if spec.speaks and _leaves(spec) == (pictures, texts, len(spec.observations))
        ]
        if task is None and usual in fitting:
            task = usual
        if task is None and len(fitting) > 1:
            raise ValueError(f"several tasks observe {form}: pass task=, one of {fitting}")
        if task is None and fitting:
            task = fitting[0]
        if task not in fitting:
            speaking = [name for name, spec in self.specs.items() if spec.speaks]
            asked = "" if task is None else f", not {task!r}"
            fix = f"pass task=, one of {fitting}" if fitting else f"load one trained on {usual}"
            raise UnknownTaskError(
                f"{what} needs a task whose actions are text and whose observations are {form}"
                f"{asked}; this agent was trained on "
                f"{', '.join(fitting or speaking) or 'no task that speaks'}: {fix}"
            )
        return self.specs[task]

    def role(self, spec: TaskSpec) -> Role:
        """See `Role`."""
        return Role(spec, None, self.vocabulary, self.text, self.decoder.config.context)

    def prompted(self, role: Role, prompt: Prompt) -> TokenStreams | None:
        """A one-row stream of a prompt, if there is one."""
        found = find_prompt(role.spec, prompt, self.prompts)
        if found is None:
            return None
        read = Demonstrations(self.decoder)
        read.read([role], {role.spec.id: found}, own=prompt == "expert")
        return read.of(role)

    def say(
        self,
        role: Role,
        sequences: Sequence[TokenSequence],
        manner: Manner,
        prompt: TokenStreams | None = None,
    ) -> Iterator[list[str]]:
        """Pieces of a text for each sequence; all of them start from the same stream."""
        streams = TokenStreams(self.decoder, [role.tokenizer] * len(sequences))
        for row in range(len(sequences)):
            streams.restart(row, prompt)
        return speak(streams, sequences, manner, self.generator)

    def say_all(
        self,
        role: Role,
        sequences: Sequence[TokenSequence],
        manner: Manner,
        prompt: TokenStreams | None = None,
    ) -> list[str]:
        """Whole texts."""
        said: list[str] = []
        for start in range(0, len(sequences), TOGETHER):
            told = self.say(role, sequences[start : start + TOGETHER], manner, prompt)
            said += ["".join(pieces) for pieces in zip(*told, strict=True)]
        return said

    def read(self, role: Role, picture: Any = None, text: str | None = None) -> TokenSequence:
        """What a task observes, of its one picture and its one text."""
        observation: dict[str, Any] = {}
        for item in role.spec.observations:
            if item.kind == "image":
                from gato_gym.envs.pictures import read_picture

                size = item.shape[0], item.shape[1]
                observation[item.key] = read_picture(picture, size)
            else:
                observation[item.key] = readable(text, role)
        return role.read(observation, 0)

    def converse(
        self, role: Role, turns: Sequence[tuple[str, str | None]], prompt: TokenStreams | None
    ) -> tuple[TokenSequence, TokenStreams]:
        """The tokens of the newest turn, and a stream that holds those before it.

        The oldest turns fall out where not all of them fit the context.
        """
        newest = self.read(role, text=turns[-1][0])
        streams = TokenStreams(self.decoder, [role.tokenizer])
        streams.restart(0, prompt)
        room = self.decoder.config.context - len(newest) - 1 - streams.rows[0].window.length
        kept: list[tuple[TokenSequence, np.ndarray]] = []
        for said, reply in reversed(turns[:-1]):
            # A conversation may begin with a reply: nothing was said before it.
            sequence = self.read(role, text=said) if said else role.read(_nothing(role.spec), 0)
            ids = role.tokenizer.action_ids(np.array([readable(reply)]))[0]
            room -= len(sequence) + int((ids >= 0).sum())
            if room < 0:
                break
            kept.insert(0, (sequence, ids))
        if kept:
            streams.teach([sequence for sequence, _ in kept], np.stack([ids for _, ids in kept]))
        return newest, streams

    def continued(
        self, text: str, spec: TaskSpec, manner: Manner
    ) -> tuple[Role, TokenSequence, Manner]:
        """A role with room for as many tokens, a step that begins with `text` as its action, and
        the manner of what comes after it: the role alone would allow the tokens of `text` again.

        Raises:
            ValueError: both do not fit the context.
        """
        plain = self.role(spec)
        words = plain.tokenizer.words
        assert words is not None
        begun = words.text.encode(readable(text))
        if len(text) > LONGEST:
            raise ValueError(
                f"the text has {len(text)} letters, at most {LONGEST} are read: pass its end"
            )
        asked = manner.max_tokens or spec.action.size
        room = self.decoder.config.context - plain.tokenizer.observation_slots - 1
        if len(begun) + asked > room:
            raise ValueError(
                f"the text takes {len(begun)} tokens and max_tokens is {asked}: these weights have "
                f"room for {room} of both: pass the end of the text, or a smaller max_tokens"
            )
        wider = replace(spec, action=ActionSpec("text", len(begun) + asked))
        role = self.role(wider)
        return role, _begun(role.read(_nothing(spec), 0), begun), replace(manner, max_tokens=asked)


def _nothing(spec: TaskSpec) -> dict[str, str]:
    """An observation where nothing is said."""
    return {item.key: "" for item in spec.observations}


def _begun(sequence: TokenSequence, ids: np.ndarray) -> TokenSequence:
    """A step whose action has begun with some ids."""
    fill = np.full(len(ids), -1, np.int32)
    local = np.full(len(ids), ACTION_ROW, np.int16)
    return replace(
        sequence,
        ids=np.concatenate([sequence.ids, ids]),
        local=np.concatenate([sequence.local, local]),
        targets=np.concatenate([sequence.targets, fill]),
    )


def _leaves(spec: TaskSpec) -> tuple[int, int, int]:
    """Number of pictures, of texts, and of both in an observation."""
    kinds = [item.kind for item in spec.observations]
    images, texts = kinds.count("image"), kinds.count("text")
    return images, texts, images + texts


def readable(text: Any, role: Role | None = None) -> str:
    """A text as the network reads it, without control characters but tabs and newlines; of more
    than `LONGEST` letters only the first are looked at.

    Args:
        text: of a user.
        role: whose observation it is; what does not fit its slot is cut, and that is told.

    Raises:
        ValueError: no string, nothing in it where something is observed, or no Unicode.
    """
    if not isinstance(text, str):
        raise ValueError(f"expected a text (str), got {type(text).__name__}: {str(text)[:60]!r}")
    start = text[:LONGEST]
    broken = next((i for i, c in enumerate(start) if "\ud800" <= c <= "\udfff"), None)
    if broken is not None:
        raise ValueError(
            f"the text has half a character, {text[broken]!r}, at {broken}: it was read from bytes "
            'that are not UTF-8; bytes.decode("utf-8", errors="replace") mends it'
        )
    start = clean(start)
    if role is None:
        return start
    if not start.strip():
        raise ValueError(f"the text is empty ({text!r}): say something")
    words = role.tokenizer.words
    assert words is not None
    tokens = words.text.encode(start)
    if len(tokens) > words.slot:
        logger.warning(
            "%s: the text of %d letters is cut after the first %d tokens",
            *(role.spec.id, len(text), words.slot),
        )
        return words.text.decode(tokens[: words.slot]).rstrip("\ufffd")
    return start
