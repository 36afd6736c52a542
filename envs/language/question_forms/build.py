"""A question with its answers, and how forms make one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gato_gym.envs.language.scene import Scene
from gato_gym.envs.language.words import pick

NOTHING = ("none", "nothing", "no block", "no blocks", "nobody", "no one", "none of them")
"""Other words for the answer "none"."""


@dataclass(frozen=True)
class Question:
    """What is asked and what is right.

    form     which form of question, e.g. "count"
    text     lower case, at most 96 letters
    answer   the shortest right answer, which the expert gives; at most 48 letters
    answers  all right answers
    """

    form: str
    text: str
    answer: str
    answers: frozenset[str]


Form = Callable[[Scene, np.random.Generator], "Question | None"]


def question(
    form: str, rng: np.random.Generator, texts: Sequence[str], about: str, answer: str, *more: str
) -> Question:
    """One of the texts, filled with what it is about; `more` are other words for the answer."""
    return Question(form, pick(rng, texts).format(about), answer, frozenset((answer, *more)))


def which_colour(
    form: str,
    rng: np.random.Generator,
    texts: Sequence[str],
    about: str,
    colour: str,
    noun: str = "block",
) -> Question:
    """A question whose answer is a colour, or a thing that is named by it."""
    return question(form, rng, texts, about, colour, f"{colour} one", f"{colour} {noun}")


def yes_no(
    form: str, rng: np.random.Generator, texts: Sequence[str], about: Sequence[str], answer: str
) -> Question:
    """A question whose answer is "yes" or "no"."""
    return Question(form, pick(rng, texts).format(*about), answer, frozenset((answer,)))


def is_kept(rng: np.random.Generator, kept: Mapping[str, float], answer: str) -> bool:
    """Whether to ask a question with this answer, asked in only a share of the scenes.

    Sources draw some answers more often than others; what they draw too often is asked less.
    """
    return rng.random() < kept.get(answer, 1.0)
