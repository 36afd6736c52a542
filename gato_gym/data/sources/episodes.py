"""Rows and texts -> the episodes that they become, each under a number that is a function of the
data alone, so that an import that was stopped finds what it has.

| form | an episode | its steps |
|---|---|---|
| captions, vqa | five rows, those with empty words left out (section 3.2 of the paper) | a row |
| text | a document, or a part of `MOST_STEPS` passages of it | a passage |
| chat | a conversation | a reply |
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from gato_gym.data.sources.forms import Reading, read_pair, read_turns
from gato_gym.data.sources.tables import Row
from gato_gym.data.sources.texts import passages
from gato_gym.errors import DatasetError
from gato_gym.types import Episode

PAIRS = 5
"""Rows of an episode: the paper puts five images with their texts into a sequence (section 3.2)."""

MOST_STEPS = 64
"""Passages of an episode."""

# Letters that one array of strings may hold: it has the longest one's room for each.
_FIXED_WIDTH = 1 << 20
_Got = TypeVar("_Got")


class Plan(NamedTuple):
    """An episode that could be made: its number, and what makes it (None: all of it is empty)."""

    seed: int
    make: Callable[[], Episode | None]


@dataclass
class Maker:
    """Makes the episodes of one data set.

    task, expert, versions  of every episode
    how                     how rows are read
    skip_invalid            leave out rows that cannot be read, instead of refusing them
    rows, empty, invalid    how many there were, without words, and left out
    """

    task: str
    expert: str
    versions: Mapping[str, str]
    how: Reading = field(default_factory=lambda: Reading({}))
    skip_invalid: bool = False
    rows: int = 0
    empty: int = 0
    invalid: int = 0

    def pairs(self, rows: Iterable[Row]) -> Iterator[Plan]:
        """Episodes of `PAIRS` rows; the n-th has the rows from n * PAIRS on."""
        numbered = enumerate(rows)
        for seed in itertools.count():
            group = list(itertools.islice(numbered, PAIRS))
            self.rows += len(group)
            if not group:
                return
            yield Plan(seed, partial(self._of_pairs, seed, group))

    def conversations(self, rows: Iterable[Row]) -> Iterator[Plan]:
        """An episode for each row, under its number."""
        for number, row in enumerate(rows):
            self.rows += 1
            yield Plan(number, partial(self._of_turns, number, row))

    def documents(self, documents: Iterable[Iterable[str]]) -> Iterator[Plan]:
        """Episodes of at most `MOST_STEPS` passages, numbered through all documents.

        Args:
            documents: each in blocks of cleaned text.
        """
        numbers = itertools.count()
        for blocks in documents:
            self.rows += 1
            parts = passages(blocks)
            empty = True
            while part := list(itertools.islice(parts, MOST_STEPS)):
                if not any(map(str.strip, part)):
                    continue
                empty = False
                yield Plan(seed := next(numbers), partial(self._of_passages, seed, part))
            self.empty += empty

    def _read(
        self, read: Callable[[Row, int, Reading], _Got | None], row: Row, number: int
    ) -> _Got | None:
        try:
            found = read(row, number, self.how)
        except DatasetError:
            if not self.skip_invalid:
                raise
            self.invalid += 1
            return None
        self.empty += found is None
        return found

    def _of_pairs(self, seed: int, rows: Sequence[tuple[int, Row]]) -> Episode | None:
        found = [self._read(read_pair, row, number) for number, row in rows]
        pairs = [pair for pair in found if pair is not None]
        if not pairs:
            return None
        shown = [*pairs, pairs[-1]]
        observations = {"image": np.stack([pair.image for pair in shown])}
        if pairs[0].question is not None:
            observations["question"] = _texts([pair.question or "" for pair in shown])
        return self._episode(seed, observations, [pair.words for pair in pairs])

    def _of_turns(self, seed: int, row: Row) -> Episode | None:
        turns = self._read(read_turns, row, seed)
        if turns is None:
            return None
        said, replies = zip(*turns, strict=True)
        return self._episode(seed, {"text": _texts([*said, said[-1]])}, replies)

    def _of_passages(self, seed: int, part: Sequence[str]) -> Episode:
        return self._episode(seed, {"text": _texts([""] * (len(part) + 1))}, part)

    def _episode(
        self, seed: int, observations: Mapping[str, np.ndarray], actions: Sequence[str]
    ) -> Episode:
        return Episode(
            task=self.task,
            observations=observations,
            actions=np.array(actions, dtype=np.str_),
            rewards=np.zeros(len(actions)),
            terminated=True,
            seed=seed,
            expert=self.expert,
            versions=self.versions,
        )


def _texts(texts: Sequence[str]) -> np.ndarray:
    """(T,) texts: as an array of str, or of objects where one of them is very long."""
    if max(map(len, texts)) * len(texts) <= _FIXED_WIDTH:
        return np.array(texts, dtype=np.str_)
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array
