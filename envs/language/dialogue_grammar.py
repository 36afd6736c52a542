"""What can be asked and answered: the phrases of `dialogues/*.json`, put together from their parts.

A phrase is English with "(one|another)" where either fits and "{slot}" where its subject is named.
A question is a *combination*: one phrase of one form of one kind, about one subject. A fifth of the
phrases of each subject is held out of training, by a hash, so a held-out question is one that was
never asked with these words about this subject.
"""

from __future__ import annotations

import itertools
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from gato_gym.envs.language import dialogue_subjects
from gato_gym.envs.language.dialogue_subjects import Subject

FOLDER = Path(__file__).with_name("dialogues")
HELD_OUT_SHARE = 5
"""One phrase of so many is held out, at least one."""

FORMS = ("ask", "again", "about", "swap")
"""How a question names its subject and its kind: both in "ask", the kind alone in "again" (the
subject is the last one), the subject alone in "about" (the kind is the last one), neither in
"swap" (the last pair, exchanged)."""

_CHOICE = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of question.

    name      e.g. "domain"
    topic     what it is about, e.g. "tasks"
    subjects  what may be put into its slots
    forms     form -> phrases, slots unfilled
    replies   phrases of the answer
    keys      what a right answer holds, see `answers`
    place     where in a dialogue: "first", "middle", "last"; "recall" (of something said earlier)
              or "chain" (goes on with the last answer)
    weight    how often it is asked beside others of its topic
    """

    name: str
    topic: str
    subjects: tuple[Subject, ...]
    forms: Mapping[str, tuple[str, ...]]
    replies: tuple[str, ...]
    keys: tuple[str, ...]
    place: str
    weight: float


def expand(phrase: str) -> list[str]:
    """All phrases that the choices in the parentheses allow; slots stay."""
    parts = _CHOICE.split(phrase)
    options = [part.split("|") if i % 2 else [part] for i, part in enumerate(parts)]
    return ["".join(chosen) for chosen in itertools.product(*options)]


def slots_of(phrase: str) -> set[str]:
    """The names of a phrase's slots."""
    return set(_SLOT.findall(phrase))


def fill(phrase: str, subject: Subject, rng: np.random.Generator | None = None) -> str:
    """The phrase with the subject's words; drawn where there are several, else the first ones."""

    def word(match: re.Match[str]) -> str:
        options = subject.slots[match[1]]
        return options[0 if rng is None else int(rng.integers(len(options)))]

    while _SLOT.search(phrase):  # a filling may have slots of its own
        phrase = _SLOT.sub(word, phrase)
    return phrase


def fillings(phrase: str, subject: Subject) -> list[str]:
    """The phrase with each choice of the subject's words."""
    slot = _SLOT.search(phrase)
    if slot is None:
        return [phrase]
    started = (phrase.replace(slot[0], word) for word in subject.slots[slot[1]])
    return [filled for one in started for filled in fillings(one, subject)]


@cache
def held_out(kind: Kind, form: str, subject: Subject) -> frozenset[str]:
    """The phrases that training never uses for this subject: those of least hash.

    Their order by hash, not a threshold on it, so that every subject has some and keeps most.
    """

    def mark(phrase: str) -> int:
        return zlib.crc32(f"{kind.name}|{form}|{phrase}|{subject.name}".encode())

    phrases = kind.forms[form]
    return frozenset(sorted(phrases, key=mark)[: max(1, len(phrases) // HELD_OUT_SHARE)])


@cache
def grammar() -> Mapping[str, Kind]:
    """Every kind of question by name; read once per process."""
    files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]
    pools = dialogue_subjects.pools(files)
    kinds: dict[str, Kind] = {}
    for file in files:
        for name, data in file["kinds"].items():
            assert name not in kinds, f"two kinds are called {name!r}"
            kinds[name] = _kind(name, data, file, pools)
    return kinds


def _kind(
    name: str, data: Mapping, file: Mapping, pools: Mapping[str, tuple[Subject, ...]]
) -> Kind:
    phrases = {form: data.get(form, file.get(form, [])) for form in FORMS}
    expanded = {
        form: tuple(dict.fromkeys(itertools.chain(*map(expand, some))))
        for form, some in phrases.items()
    }
    needed = {slot for phrase in data["reply"] for slot in slots_of(phrase)}
    needed |= {slot for phrase in expanded["ask"] for slot in slots_of(phrase)}
    return Kind(
        name=name,
        topic=data.get("topic", file["topic"]),
        subjects=_suitable(name, needed, pools),
        forms={form: some for form, some in expanded.items() if some},
        replies=tuple(itertools.chain(*map(expand, data["reply"]))),
        keys=tuple(data["keys"]),
        place=data.get("place", "middle"),
        weight=data.get("weight", 1),
    )


def _suitable(
    name: str, needed: set[str], pools: Mapping[str, tuple[Subject, ...]]
) -> tuple[Subject, ...]:
    """The subjects that have all slots: of the one pool that has such."""
    if not needed:
        return (Subject("", {}),)
    found: Sequence[tuple[Subject, ...]] = [
        subjects
        for pool in pools.values()
        if (subjects := tuple(s for s in pool if needed <= s.slots.keys()))
    ]
    assert len(found) == 1, f"{len(found)} pools of subjects have the slots {needed} of {name!r}"
    return found[0]
