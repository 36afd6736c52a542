"""Whether a reply is right: it holds what the answer needs, and nothing that contradicts it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from gato_gym.envs.language.dialogue_grammar import Kind, fill, fillings, grammar
from gato_gym.envs.language.dialogue_subjects import Subject

_WORD = re.compile(r"[\w/.\-\[\]]+")

Keys = tuple[tuple[str, ...], ...]
"""What an answer must hold: one of each group."""


@dataclass(frozen=True)
class Answer:
    """Tells right replies from wrong ones.

    required  key words of the right answer
    others    key words of the answers that it would be mistaken for
    numbers   all numbers that a right reply may hold
    """

    required: Keys
    others: tuple[Keys, ...]
    numbers: frozenset[str]

    def accepts(self, reply: str) -> bool:
        """Whether a reply holds all that is required, no other answer and no other number."""
        words = plain_words(reply)
        return (
            _holds(words, self.required)
            and numbers_of(words) <= self.numbers
            and not any(_holds(words, other) for other in self.others)
        )


def plain_words(text: str) -> str:
    """The words with single spaces between and around them, without punctuation and case."""
    words = (word.strip(".") for word in _WORD.findall(text.casefold()))
    return f" {' '.join(word for word in words if word)} "


def numbers_of(words: str) -> frozenset[str]:
    """The whole numbers among plain words."""
    return frozenset(word for word in words.split() if word.isdecimal())


def _holds(words: str, keys: Keys) -> bool:
    return all(any(f" {key} " in words for key in group) for group in keys)


@cache
def answer(kind: Kind, subject: Subject) -> Answer:
    """The answer to a question of this kind about this subject.

    It is mistaken for the one about another subject, or to a question of the topic that has no
    subject. What some phrase of the right answer holds is no mistake.
    """
    phrases = [plain_words(words) for reply in kind.replies for words in fillings(reply, subject)]
    return Answer(
        required=_keys(kind, subject),
        others=tuple(
            keys
            for keys in dict.fromkeys(_mistakes(kind, subject))
            if not any(_holds(words, keys) for words in phrases)
        ),
        numbers=frozenset().union(*map(numbers_of, phrases)),
    )


def _keys(kind: Kind, subject: Subject) -> Keys:
    keys: list[str] = []
    for key in kind.keys:
        # "@slot" stands for all of a slot's words.
        keys += subject.slots[key[1:]] if key.startswith("@") else [fill(key, subject)]
    return tuple(tuple(plain_words(one).strip() for one in group.split("|")) for group in keys)


def _mistakes(kind: Kind, subject: Subject) -> list[Keys]:
    return [
        *(_keys(kind, other) for other in kind.subjects if other is not subject),
        *(
            _keys(other, other.subjects[0])
            for other in grammar().values()
            if other.topic == kind.topic and len(other.subjects) == 1 and other is not kind
        ),
    ]
