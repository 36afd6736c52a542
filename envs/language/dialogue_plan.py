"""Who says what: dialogues put together from the grammar, as a pure function of the seed.

Questions come in threads: the first names its kind and its subject, those that follow leave out
what the last one said ("and how many actions does it have?", "what about pong?").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from gato_gym.envs.language import dialogue_grammar as grammar
from gato_gym.envs.language import dialogue_subjects as subjects
from gato_gym.envs.language.dialogue_answers import Answer, answer
from gato_gym.envs.language.dialogue_grammar import Kind
from gato_gym.envs.language.dialogue_subjects import Subject
from gato_gym.envs.language.seeds import EVALUATION_SEEDS

LEAST, MOST = 3, 6
"""Turns of a dialogue."""

TOPICS = {
    "tasks": 0.38,
    "commands": 0.15,
    "concepts": 0.13,
    "blocks": 0.12,
    "about": 0.10,
    "numbers": 0.06,
    "memory": 0.06,
}
"""How often a thread is about each; small talk opens and ends dialogues."""

_GREETED, _ENDED, _GOES_ON, _RECALLED = 0.35, 0.3, 0.65, 0.8
_LEADS = ("", "", "", "", "", "so, ", "well, ", "hm, ", "oh, ")
_NO_MARK = 0.15  # people leave the last mark out

_SALT = 0x7A1C

T = TypeVar("T")


@dataclass(frozen=True)
class Turn:
    """One exchange.

    text      what the user says
    reply     what the expert answers
    source    the topic
    kind      of the question, and its subject's name
    held_out  whether training never asks this combination
    answer    tells right replies from wrong ones
    """

    text: str
    reply: str
    source: str
    kind: str
    subject: str
    held_out: bool
    answer: Answer


@dataclass(frozen=True)
class _Question:
    kind: Kind
    form: str
    subject: Subject


def dialogue(seed: int) -> tuple[Turn, ...]:
    """The dialogue of a seed: 3 to 6 turns.

    Those of `EVALUATION_SEEDS` ask held-out combinations in half of their turns or more; all others
    in none.
    """
    rng = np.random.default_rng([seed, _SALT])
    questions = _Planner(rng).plan(int(rng.integers(LEAST, MOST + 1)))
    unseen = np.zeros(len(questions), bool)
    if seed in EVALUATION_SEEDS:
        least = -(-len(questions) // 2)
        count = int(rng.integers(least, len(questions) + 1))
        unseen[rng.permutation(len(questions))[:count]] = True
    return tuple(_spoken(q, bool(new), rng) for q, new in zip(questions, unseen, strict=True))


def _spoken(question: _Question, unseen: bool, rng: np.random.Generator) -> Turn:
    kind, subject = question.kind, question.subject
    held = grammar.held_out(kind, question.form, subject)
    phrases = [p for p in kind.forms[question.form] if (p in held) == unseen]
    text = grammar.fill(_pick(phrases, rng), subject, rng)
    if kind.place in ("middle", "recall"):
        text = _pick(_LEADS, rng) + text
    if rng.random() < _NO_MARK:
        text = text.rstrip("?!.")
    return Turn(
        text=text,
        reply=grammar.fill(_pick(kind.replies, rng), subject, rng),
        source=kind.topic,
        kind=kind.name,
        subject=subject.name,
        held_out=unseen,
        answer=answer(kind, subject),
    )


class _Planner:
    """Draws the questions of one dialogue."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.kinds = grammar.grammar()
        self.questions: list[_Question] = []
        self.asked: set[tuple[Kind, Subject]] = set()
        self.known: dict[str, Subject] = {}
        """What the user told: kind of the question that recalls it -> its subject."""

    def plan(self, count: int) -> list[_Question]:
        """So many questions in their order."""
        ending = self._placed("last") if self.rng.random() < _ENDED else None
        room = count - (ending is not None)
        if self.rng.random() < _GREETED:
            self._add(self._placed("first"))
        while len(self.questions) < room:
            self._thread(room)
        return [*self.questions, *([ending] if ending else [])]

    def _add(self, question: _Question) -> None:
        self.questions.append(question)
        kind, subject = question.kind, question.subject
        self.asked.add((kind, subject))
        if "name" in subject.slots:
            self.known["ask_name"] = subject
        elif kind.name in ("tell_number", "tell_colour"):
            self.known[kind.name.replace("tell", "ask")] = subject
        elif "domain" in subject.slots and kind.place == "middle":
            self.known.setdefault("first_task", subject)

    def _thread(self, room: int) -> None:
        """A question and those that follow from it; the last turn may go back to something told."""
        last = len(self.questions) == room - 1
        if last and self._recall():
            return
        kinds: list[Kind] = []
        while not kinds:  # who told a name, a number and a colour has nothing left to tell
            topic = _pick(list(TOPICS), self.rng, list(TOPICS.values()))
            kinds = self._openings(topic)
        question = self._draw(kinds)
        self._add(question)
        while len(self.questions) < room and self.rng.random() < _GOES_ON:
            following = self._following(question)
            if following is None:
                return
            question = following
            self._add(question)

    def _recall(self) -> bool:
        told = sorted(self.known)
        if not told or self.rng.random() > _RECALLED:
            return False
        name = _pick(told, self.rng)
        subject = self.known[name]
        if name == "first_task" and self.rng.random() < 0.4:
            name, subject = "count_tasks", self._count()
        self._add(_Question(self.kinds[name], "ask", subject))
        return True

    def _count(self) -> Subject:
        tasks = {q.subject.name for q in self.questions if "domain" in q.subject.slots}
        return next(s for s in self.kinds["count_tasks"].subjects if s.name == str(len(tasks)))

    def _placed(self, place: str) -> _Question:
        return self._draw([kind for kind in self.kinds.values() if kind.place == place])

    def _openings(self, topic: str) -> list[Kind]:
        return [
            kind
            for kind in self.kinds.values()
            if kind.topic == topic
            and kind.place == "middle"
            and kind.name.replace("tell", "ask") not in self.known  # nobody has two names
        ]

    def _draw(self, kinds: Sequence[Kind]) -> _Question:
        kind = _pick(kinds, self.rng, [kind.weight for kind in kinds])
        return _Question(kind, "ask", _pick(kind.subjects, self.rng))

    def _following(self, last: _Question) -> _Question | None:
        """What may follow: another kind about the same subject, or the same about another one."""
        kind, subject = last.kind, last.subject
        if "sum" in subject.slots and self.rng.random() < 0.5:
            result = subject.slots["a" if kind.name == "minus" else "sum"][0]
            more = int(self.rng.integers(1, subjects.MOST_ADDED + 1))
            return _Question(self.kinds["more"], "ask", subjects.total(int(result), more))
        again = [
            other
            for other in self.kinds.values()
            if "again" in other.forms
            and subject in other.subjects
            and (other, subject) not in self.asked
        ]
        forms = [form for form in ("about", "swap") if form in kind.forms]
        options = [*forms, *(["again"] * 2 if again else [])]
        if not options:
            return None
        form = _pick(options, self.rng)
        if form == "again":
            return _Question(_pick(again, self.rng, [k.weight for k in again]), form, subject)
        if form == "swap":
            upper, lower = subject.slots["upper"][0], subject.slots["lower"][0]
            return _Question(kind, form, subjects.pair(lower, upper))
        new = [other for other in kind.subjects if (kind, other) not in self.asked]
        return _Question(kind, form, _pick(new, self.rng))


def _pick(
    options: Sequence[T], rng: np.random.Generator, weights: Sequence[float] | None = None
) -> T:
    if weights is None:
        return options[int(rng.integers(len(options)))]
    shares = np.cumsum(weights)
    return options[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]
