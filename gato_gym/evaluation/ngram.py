"""An n-gram model of a conversation's replies: the baseline that a network must beat.

It counts the tokens of dialogues, one sequence of each: every user's turn and every reply with its
end. So a reply is predicted from the words just before it, the user's last ones among them, by
NLTK's interpolated absolute discounting (Ney, Essen and Kneser 1994). NLTK's Kneser-Ney counts
anew through all n-grams for each token that it scores, which makes it far too slow for this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from gato_gym.errors import MissingExtraError
from gato_gym.tokenizers.text import TextTokenizer

if TYPE_CHECKING:
    from nltk.lm import AbsoluteDiscountingInterpolated

Dialogue = Sequence[tuple[str, str]]
"""(what the user says, what is replied) of each turn."""

LONGEST_REPLY = 120
"""Tokens after which a reply of its own is cut."""

# Tokens are strings of their ids, as NLTK's vocabulary wants them; these are no ids.
_USER, _REPLY, _END = "user", "reply", "end"


@dataclass(frozen=True)
class NgramResult:
    """What the n-gram model made of the dialogues that it was tested on.

    perplexity  per token of the experts' replies, their ends included
    tokens      how many these were
    replies     what it says itself, of each dialogue and turn: the likeliest token by token
    """

    perplexity: float
    tokens: int
    replies: tuple[tuple[str, ...], ...]

    def accuracy_of(self, is_right: Callable[[int, int, str], bool]) -> float:
        """The share of its own replies that are right.

        Args:
            is_right: judges a reply: (number of the dialogue, of its turn, the reply).
        """
        judged = [
            is_right(i, j, reply)
            for i, replies in enumerate(self.replies)
            for j, reply in enumerate(replies)
        ]
        return sum(judged) / len(judged)


def ngram_baseline(
    train: Iterable[Dialogue],
    test: Iterable[Dialogue],
    text: TextTokenizer,
    order: int = 4,
    discount: float = 0.75,
) -> NgramResult:
    """Count the n-grams of some dialogues, and reply in others.

    Args:
        train: dialogues with the experts' replies. Two thousand take seconds.
        test: others, with at least one turn.
        text: makes tokens of words; perplexities are comparable for the same one only.
        order: tokens of the longest n-gram, the predicted one included.
        discount: taken from each count for n-grams that were never seen, in (0, 1).

    Raises:
        MissingExtraError: NLTK is not installed.
        ValueError: no dialogues, or settings out of range.
    """
    if order < 2 or not 0 < discount < 1:
        raise ValueError(
            f"order {order} and discount {discount}: expected at least 2, and one in (0, 1)"
        )
    model = _fitted([_tokens(dialogue, text) for dialogue in train], text, order, discount)
    scorer = _Scorer(model, order)
    surprise, count = 0.0, 0
    replies: list[tuple[str, ...]] = []
    for dialogue in test:
        said: list[str] = []
        own: list[str] = []
        for asked, reply in dialogue:
            said += [_USER, *_ids(asked, text), _REPLY]
            own.append(scorer.reply(said, text))
            for token in (*_ids(reply, text), _END):
                surprise -= math.log(scorer.probability(token, said))
                count += 1
                said.append(token)
        replies.append(tuple(own))
    if not count:
        raise ValueError("there is no dialogue with a turn to test on")
    return NgramResult(math.exp(surprise / count), count, tuple(replies))


class _Scorer:
    """Probabilities after the last `order` - 1 tokens, remembered."""

    def __init__(self, model: AbsoluteDiscountingInterpolated, order: int) -> None:
        self._model, self._before = model, order - 1
        # The same few contexts come again and again.
        self._probability = lru_cache(1 << 18)(model.unmasked_score)
        self._likeliest = lru_cache(1 << 16)(self._find_likeliest)

    def probability(self, token: str, said: Sequence[str]) -> float:
        """Of a token after what was said."""
        return self._probability(token, tuple(said[-self._before :]))

    def reply(self, said: Sequence[str], text: TextTokenizer) -> str:
        """The likeliest token after what was said, again and again until the end."""
        reply: list[str] = []
        while len(reply) < LONGEST_REPLY:
            token = self._likeliest(tuple([*said, *reply][-self._before :]))
            if not token.isdecimal():
                break
            reply.append(token)
        return text.decode(map(int, reply))

    def _find_likeliest(self, context: tuple[str, ...]) -> str:
        """Among the tokens that were seen after as much of the context as was ever seen."""
        known = context
        while known and not self._model.context_counts(known):
            known = known[1:]
        seen = sorted(self._model.context_counts(known))  # ties go to the first, in every run
        return max(seen, key=lambda token: self._probability(token, context))


def _fitted(
    sequences: Sequence[list[str]], text: TextTokenizer, order: int, discount: float
) -> AbsoluteDiscountingInterpolated:
    if not sequences:
        raise ValueError("there is no dialogue to count")
    try:
        from nltk.lm import AbsoluteDiscountingInterpolated, Vocabulary
        from nltk.util import everygrams
    except ImportError as error:
        raise MissingExtraError(
            'the n-gram baseline needs nltk: pip install "gato-gym[language]"'
        ) from error
    # Each token once more than it was seen, so that none has probability 0.
    everything = [*map(str, range(text.size)), _USER, _REPLY, _END]
    model = AbsoluteDiscountingInterpolated(
        order, discount=discount, vocabulary=Vocabulary(everything)
    )
    # Counted without `fit`, which would look up every token of every n-gram in the vocabulary.
    model.counts.update([[(token,) for token in everything]])
    model.counts.update(everygrams(sequence, max_len=order) for sequence in sequences)
    return model


def _tokens(dialogue: Dialogue, text: TextTokenizer) -> list[str]:
    tokens: list[str] = []
    for asked, reply in dialogue:
        tokens += [_USER, *_ids(asked, text), _REPLY, *_ids(reply, text), _END]
    return tokens


def _ids(words: str, text: TextTokenizer) -> list[str]:
    return [str(i) for i in text.encode(words)]
