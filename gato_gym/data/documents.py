"""Which cuts of which episodes fill a row (paper section 2.3).

A row belongs to one task, drawn by its weight, and is filled with documents of it until none of its
steps fits; what is left goes to tasks with smaller steps. So the weights are shares of tokens, up
to a step per row. A document is a contiguous cut of whole steps, in 25 % of cases after a prompt:
whole steps of another episode by the same expert on the same task, half of the prompts its end,
half anywhere in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gato_gym.data.mixture import Mixture


class Cut(NamedTuple):
    """Steps [start, start + length) of an episode, which is an index into the task's entries."""

    task: int
    episode: int
    start: int
    length: int


class Planner:
    """Draws the documents of a row.

    Args:
        mixture: tasks, their weights and episodes.
        least: a lower bound of each task's tokens per step.
        step_tokens: (task, episode) -> an upper bound of its tokens per step.
        prompt_share: share of documents that start with a prompt.
    """

    def __init__(
        self,
        mixture: Mixture,
        least: Sequence[int],
        step_tokens: Callable[[int, int], int],
        prompt_share: float,
    ) -> None:
        self.mixture, self.prompt_share = mixture, prompt_share
        self._least, self._step_tokens = np.array(least), step_tokens

    def row(self, room: int, rng: np.random.Generator) -> list[list[Cut]]:
        """The documents of a row of `room` tokens, each as [its prompt, if any, and] its cut."""
        documents = []
        # Where there is text, only a drawn episode tells whether a step of it fits.
        fits = self._least <= room
        while fits.any():
            task = self.mixture.draw(rng, fits)
            while cuts := self._document(task, room, rng):
                documents.append(cuts)
                room -= sum(cut.length * self._step_tokens(task, cut.episode) for cut in cuts)
            fits &= self._least <= room
            fits[task] = False
        return documents

    def _document(self, task: int, room: int, rng: np.random.Generator) -> list[Cut]:
        """Empty where no step of the drawn episode fits."""
        if self._least[task] > room:
            return []
        source = self.mixture.tasks[task]
        index = source.draw(rng)
        tokens = self._step_tokens(task, index)
        steps = room // tokens
        if not steps:
            return []
        found = []
        other = source.draw_other(index, rng)
        if steps >= 2 and rng.random() < self.prompt_share and other is not None:
            # Half of the row at most, also where the other episode has longer steps.
            most = min(steps, room // self._step_tokens(task, other)) // 2
            total = source.entries[other].steps
            length = min(int(rng.integers(1, max(most, 1) + 1)), total)
            from_end = rng.random() < 0.5
            start = total - length if from_end else int(rng.integers(total - length + 1))
            if most:
                found.append(Cut(task, other, start, length))
                steps = (room - length * self._step_tokens(task, other)) // tokens
        total = source.entries[index].steps
        # Starting before the first step counts as starting there, else beginnings would be seen
        # less often than any other step. The rest of the first window is seen more often.
        start = max(0, int(rng.integers(-steps + 1, total)))
        found.append(Cut(task, index, start, min(steps, total - start)))
        return found
