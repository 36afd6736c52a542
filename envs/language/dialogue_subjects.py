"""What the questions of a dialogue are about: tasks from the catalogue, commands, pairs of blocks.

What the catalogue knows of a task is taken from it, so that an answer is never older than it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from gato_gym.envs import registry
from gato_gym.types import ObservationSpec, TaskSpec

COLOURS = ("red", "green", "blue")
"""Of the blocks of the block-stacking scene."""

MOST_ADDED = 5
"""Of a sum that goes on with the last one."""

NUMBERS = range(1, 21)
"""That a user may ask to remember."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What a question may be about.

    name   tells it from others
    slots  slot -> the words that may fill it
    """

    name: str
    slots: Mapping[str, tuple[str, ...]]


def pools(files: Iterable[Mapping]) -> dict[str, tuple[Subject, ...]]:
    """All subjects: those that the files list and those that are computed, by pool."""
    listed = {pool: some for file in files for pool, some in file.get("subjects", {}).items()}
    return {
        **{pool: tuple(_listed(pool, words) for words in some) for pool, some in listed.items()},
        "pairs": tuple(pair(a, b) for a, b in itertools.permutations(COLOURS, 2)),
        "towers": tuple(
            _subject(f"{a} {b} {c}", top=a, middle=b, bottom=c)
            for a, b, c in itertools.permutations(COLOURS)
        ),
        "sums": tuple(total(a, b) for a in range(1, 10) for b in range(1, 10)),
        "numbers": tuple(_subject(str(n), number=str(n)) for n in NUMBERS),
        "counts": tuple(
            _subject(str(n), count=f"{n} task{'s' if n > 1 else ''}") for n in range(1, 6)
        ),
    }


@cache
def pair(upper: str, lower: str) -> Subject:
    """A block that goes onto another one."""
    return _subject(f"{upper} {lower}", upper=upper, lower=lower)


@cache
def total(a: int, b: int) -> Subject:
    """Two numbers and their sum."""
    return _subject(f"{a} {b}", a=str(a), b=str(b), sum=str(a + b))


def _subject(name: str, /, **slots: str | Sequence[str]) -> Subject:
    return Subject(name, {k: (v,) if isinstance(v, str) else tuple(v) for k, v in slots.items()})


def _listed(pool: str, words: Mapping[str, str | list[str]]) -> Subject:
    name = next(iter(words.values()))
    assert isinstance(name, str)
    more: Mapping[str, str | list[str]] = {}
    if pool == "tasks":
        # A user may call a task by any of its names, a reply uses the first one.
        more = {**_facts(registry.load_tasks()[name]), "called": words["task"][0]}
    elif pool == "commands":
        # Of "gato-gym collect --domain babyai" the verb is the least that an example must hold.
        more = {"example_key": words["verb"]}
    return _subject(name, **words, **more)


def _facts(spec: TaskSpec) -> dict[str, str | list[str]]:
    """What the catalogue knows of a task, in words."""
    if spec.action.kind == "continuous":
        count = f"{spec.action.size} number{'s' if spec.action.size > 1 else ''}"
        actions, how = f"actions of {count}", "an action is made of numbers"
    else:
        actions, how = f"{spec.action.n[0]} actions", "each step takes one of a few actions"
    sees, sees_keys = _sight(spec.observations)
    extra = f"gato-gym[{spec.extra}]"
    return {
        "domain": spec.domain,
        "actions": actions,
        "control": spec.action.kind,
        "control_how": how,
        "sees": sees,
        "sees_keys": sees_keys,
        "install": [f'pip install "{extra}" brings {{called}}.', f'{{called}} needs "{extra}".']
        if spec.extra
        else [
            "{called} needs no extra, it comes with gato-gym.",
            "no extra is needed for {called}.",
        ],
        "install_key": extra if spec.extra else "no extra",
        # Only an expert's episodes can be collected; one that is still to be trained is none.
        **({"collected": spec.id} if spec.expert else {}),
    }


def _sight(leaves: tuple[ObservationSpec, ...]) -> tuple[str, list[str]]:
    """An observation in words, and the words that tell it from others."""
    kinds = {leaf.kind for leaf in leaves}
    if kinds == {"image"}:
        return "a picture", ["picture"]
    if "text" in kinds:
        return "the grid nearby and a mission in words", ["grid", "mission"]
    count = sum(math.prod(leaf.shape) for leaf in leaves)
    word = "whole number" if kinds == {"discrete"} else "number"
    words = f"{count} {word}s" if count > 1 else f"one {word}"
    return words, [words]
