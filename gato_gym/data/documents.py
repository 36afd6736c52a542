"""Which cuts of which episodes fill a row (paper section 2.3).

A row belongs to one task, drawn by its weight, and is filled with documents of it until none of its
steps fits; what is left goes to tasks with smaller steps. So the weights are shares of tokens, up
to a step per row. A document is a contiguous cut of whole steps, in 25 % of cases after a prompt:
whole steps of another episode by the same expert on the same task, half of the prompts its end,
half anywhere in it.

Every step of a task's episodes is as likely to be in the cut of a document as any other, whatever
room the document has: `cut` gives each the same number of chances, and episodes are drawn by their
number of `cuts`. Only where steps differ in length, by their texts, and the room is less than
the longest step does the draw choose among those that fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gato_gym.data.mixture import Mixture, below

_TRIES = 24


class Cut(NamedTuple):
    """Steps [start, start + length) of an episode, which is an index into the task's entries."""

    task: int
    episode: int
    start: int
    length: int


def cut(total: int, room: int, rng: np.random.Generator) -> tuple[int, int]:
    """Start and length of a cut of at most `room` steps out of an episode of `total`.

    An episode that fits is taken whole. Else a first step `s` is drawn from (-room, total), so that
    each step is in `room` of the cuts [s, s + room). Acting begins with the first step and has the
    whole past until its context is full; later it has the last `room` steps, wherever they begin.
    So half of the draws leave the cuts as they are, those at the beginning with what they have
    after the first step. The other half turn all that begin before or at the first step into the
    whole first window [0, room); in exchange, those that begin inside of it lose their part of it.
    Each step is still in `room` cuts.
    """
    if total <= room:
        return 0, total
    start = below(total + room - 1, rng) + 1 - room
    end = min(start + room, total)
    if rng.random() < 0.5:
        if start <= 0:
            return 0, room
        start = max(start, room)
    return max(start, 0), end - max(start, 0)


def cuts(total: int, room: int) -> int:
    """In how many equally likely ways `cut` goes, of which each step is in `room`."""
    return room if total <= room else total + room - 1


class Planner:
    """Draws the documents of a row.

    Args:
        mixture: tasks, their weights and episodes.
        least, most: bounds of each task's tokens per step.
        step_tokens: (task, episode) -> tokens of its longest step.
        cut_tokens: tokens of a cut.
        prompt_share: share of documents that start with a prompt.
    """

    def __init__(
        self,
        mixture: Mixture,
        least: Sequence[int],
        most: Sequence[int],
        step_tokens: Callable[[int, int], int],
        cut_tokens: Callable[[Cut], int],
        prompt_share: float,
    ) -> None:
        self.mixture, self.prompt_share = mixture, prompt_share
        self._least, self._most = least, most
        self._smallest = np.array(least)
        self._step_tokens, self._cut_tokens = step_tokens, cut_tokens

    def row(self, room: int, rng: np.random.Generator) -> list[list[Cut]]:
        """The documents of a row of `room` tokens, each as [its prompt, if any, and] its cut."""
        documents = []
        # Where there is text, only a drawn episode tells whether a step of it fits.
        fits = self._smallest <= room
        while fits.any():
            task = self.mixture.draw(rng, fits)
            while cuts := self._document(task, room, rng):
                documents.append(cuts)
                room -= sum(self._cut_tokens(one) for one in cuts)
            fits &= self._smallest <= room
            fits[task] = False
        return documents

    def _document(self, task: int, room: int, rng: np.random.Generator) -> list[Cut]:
        """Empty where no step of the drawn episodes fits."""
        # Steps that may fit, and that do whatever their texts: the same where there is no text.
        most, sure = room // self._least[task], room // self._most[task]
        if not most:
            return []
        source, ahead = self.mixture.tasks[task], 0
        if sure >= 2 and rng.random() < self.prompt_share:
            ahead = 1 + below(sure // 2, rng)
        sure = max(sure - ahead, 1)
        for left in reversed(range(_TRIES)):
            index = source.draw(most - 1, rng)
            total = source.entries[index].steps
            before = self._prompt(task, index, ahead, rng) if ahead else []
            rest = room - sum(self._cut_tokens(one) for one in before)
            steps = rest // self._step_tokens(task, index)
            if not steps:
                continue
            # Drawn as likely as `most` steps of room would want it at most. Of its cuts, each step
            # is in so many as there is room for: what is left is the same for all episodes.
            chance = cuts(total, steps) * sure / ((total + most - 1) * steps)
            if chance >= 1 or not left or rng.random() < chance:
                return [*before, Cut(task, index, *cut(total, steps, rng))]
        return []

    def _prompt(self, task: int, index: int, most: int, rng: np.random.Generator) -> list[Cut]:
        """At most so many steps of another episode; empty where there is no other."""
        source = self.mixture.tasks[task]
        other = source.draw_other(index, rng)
        if other is None:
            return []
        total = source.entries[other].steps
        length = min(most, total)
        from_end = rng.random() < 0.5
        start = total - length if from_end else below(total - length + 1, rng)
        return [Cut(task, other, start, length)]
