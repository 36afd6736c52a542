"""Acting without a cache: the whole context is computed again for every number of an action.

What published reproductions of Gato do at each step, and what the cache is held against. Everything
goes through `Gato.forward`, as in training; nothing is shared with `models.decode` but the weights
and the rule of the sliding context, which is a plain mask here.

Shapes: A numbers of an action, N predictions, V vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gato_gym.models.cache import StepWindow
from gato_gym.models.choice import deterministic
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.image import acting_positions
from gato_gym.tokenizers.timestep import ACTION_ROW, StepTokenizer, TokenSequence


@dataclass
class _Step:
    start: int
    """Position of its first token."""
    first: int
    """The first position that its tokens see, that of an earlier step's start."""
    observed: TokenSequence
    actions: list[int] = field(default_factory=list)


class Recompute:
    """A stream of whole steps, one row, of which nothing is remembered but its tokens.

    Args:
        model: in eval mode.
        tokenizer: of the task.
        depth: how many contexts back tokens are kept. With 1 they are those that the current step
            sees: what a plain implementation feeds. Block by block they carry what they saw
            themselves; as many as the model has layers make a recomputation of the whole stream,
            exactly, however long it is.
    """

    def __init__(self, model: Gato, tokenizer: StepTokenizer, depth: int = 1) -> None:
        self.model, self.tokenizer, self.depth = model, tokenizer, depth
        self.slid = 0
        """Steps at which an older one fell out of sight."""
        self._device = next(model.parameters()).device
        self._window = StepWindow(model.config.context)
        self._steps: deque[_Step] = deque()

    @property
    def tokens(self) -> int:
        """How many are computed for a prediction."""
        return sum(len(step.observed) + len(step.actions) for step in self._steps)

    def observe(self, sequence: TokenSequence) -> None:
        """Begin a step."""
        start = self._window.length
        first = self._window.begin_step(len(sequence) + len(self.tokenizer.legal_ids))
        self.slid += bool(self._steps) and first != self._steps[-1].first
        self._steps.append(_Step(start, first, sequence))
        seen_from = {step.start: step.first for step in self._steps}
        oldest = start
        for _ in range(self.depth):
            oldest = seen_from[oldest]
        while self._steps[0].start < oldest:
            self._steps.popleft()

    def append(self, ids: Sequence[int] | np.ndarray) -> None:
        """Add action ids to the current step."""
        self._steps[-1].actions += np.asarray(ids).tolist()

    def act(self, obs: Any) -> np.ndarray:
        """The (A,) ids of one action, each from a pass over the whole context.

        Raises:
            InvalidObservationError: see `StepTokenizer.observe`.
        """
        self.observe(self.tokenizer.observe(obs))
        ordered = self.tokenizer.spec.action.kind == "continuous"
        for low, high in self.tokenizer.legal_ids:
            legal = self.logits()[:, low:high]
            self.append(deterministic(legal, [0], ordered) + low)
        return np.array(self._steps[-1].actions)

    @torch.inference_mode()
    def logits(self, count: int = 1) -> Tensor:
        """(N, V) predictions of the next id after each of the last `count` tokens."""
        steps, origin = self._steps, self._steps[0].start
        ids, local, first = [], [], []
        for step in steps:
            ids += [step.observed.ids, step.actions]
            local += [step.observed.local, [ACTION_ROW] * len(step.actions)]
            seen = max(0, step.first - origin)
            first.append([seen] * (len(step.observed) + len(step.actions)))
        patches = np.concatenate([step.observed.patches for step in steps])
        intervals = np.concatenate([step.observed.intervals for step in steps])
        length = sum(map(len, first))
        return self.model(
            self._row(ids),
            self._row(local),
            torch.from_numpy(patches).to(self._device),
            torch.arange(len(patches), device=self._device),
            torch.from_numpy(acting_positions(intervals)).long().to(self._device),
            self._row(first),
            torch.arange(length - count, length, device=self._device)[None],
        )[0]

    def _row(self, parts: list[Any]) -> Tensor:
        """(1, L) of the parts of L tokens."""
        joined = np.concatenate([np.asarray(part, np.int64) for part in parts])
        return torch.from_numpy(joined)[None].to(self._device)
