"""Token streams that grow step by step: what acting keeps per row, on top of model and cache.

A row is a stream of whole steps: a prompt's, then the episode's. The last action token of a step is
fed together with the next observation, so a step of a one-number action costs one forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gato_gym.models.cache import KeyValueCache, StepWindow
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.image import acting_positions
from gato_gym.tokenizers.timestep import ACTION_ROW, StepTokenizer, TokenSequence


@dataclass
class _Row:
    window: StepWindow
    visible: int = 0
    pending: list[tuple[int, int]] = field(default_factory=list)
    """Action ids not fed yet, each with the first position it may see."""
    steps: int = 0


class TokenStreams:
    """B streams of one task. Positions, caches and windows are per row; episodes end independently.

    Args:
        model: in eval mode.
        tokenizer: of the task.
        rows: B.
    """

    def __init__(self, model: Gato, tokenizer: StepTokenizer, rows: int) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.device = next(model.parameters()).device
        slack = tokenizer.tokens_per_step + 1
        self.cache = KeyValueCache(model.config, rows, slack, self.device)
        self.rows = [_Row(StepWindow(model.config.context)) for _ in range(rows)]

    def restart(self, row: int, prompt: TokenStreams | None = None) -> None:
        """Forget a row's stream; start it from a one-row stream that holds a prompt, if given."""
        if prompt is None:
            self.cache.clear_row(row)
            self.rows[row] = _Row(StepWindow(self.model.config.context))
            return
        source = prompt.rows[0]
        self.cache.copy_row(row, prompt.cache)
        self.rows[row] = _Row(source.window.copy(), source.visible, list(source.pending))

    def observe(self, observations: list[TokenSequence]) -> Tensor:
        """Feed each row its pending action ids and a new observation; logits (B, V) after it."""
        logits: Tensor | None = None
        lengths = [len(r.pending) + len(o) for r, o in zip(self.rows, observations, strict=True)]
        # Rows differ in length where one has just restarted, or where text varies.
        for length in sorted(set(lengths)):
            group = [i for i, value in enumerate(lengths) if value == length]
            part = self._observe(group, [observations[i] for i in group])
            if len(group) == len(lengths):
                return part
            if logits is None:
                logits = part.new_empty(len(lengths), part.shape[1])
            logits[group] = part
        assert logits is not None
        return logits

    def _observe(self, group: list[int], observations: list[TokenSequence]) -> Tensor:
        ids, local, visible = [], [], []
        for index, sequence in zip(group, observations, strict=True):
            row = self.rows[index]
            action = self.tokenizer.spec.action.size
            row.visible = row.window.begin_step(len(sequence) + action)
            row.steps += 1
            fed = [token for token, _ in row.pending]
            ids.append([*fed, *sequence.ids])
            local.append([ACTION_ROW] * len(fed) + [*sequence.local])
            visible.append([first for _, first in row.pending] + [row.visible] * len(sequence))
            row.pending = []
        patches = np.concatenate([sequence.patches for sequence in observations])
        positions = acting_positions(np.concatenate([s.intervals for s in observations]))
        return self._extend(group, ids, local, visible, patches, positions)

    def act(self, ids: np.ndarray) -> None:
        """Append one action id (B,) to every row; it is fed later."""
        for row, token in zip(self.rows, ids, strict=True):
            row.pending.append((int(token), row.visible))

    def flush(self) -> Tensor:
        """Feed the pending action ids, as many in every row; logits (B, V) after them."""
        ids = [[token for token, _ in row.pending] for row in self.rows]
        visible = [[first for _, first in row.pending] for row in self.rows]
        for row in self.rows:
            row.pending = []
        local = [[ACTION_ROW] * len(row) for row in ids]
        none = np.zeros((0, 16, 16, 3), np.uint8)
        return self._extend(
            list(range(len(ids))), ids, local, visible, none, np.zeros((0, 2), np.int64)
        )

    def _extend(
        self,
        group: list[int],
        ids: list[list[int]],
        local: list[list[int]],
        visible: list[list[int]],
        patches: np.ndarray,
        positions: np.ndarray,
    ) -> Tensor:
        def tensor(values: object) -> Tensor:
            return torch.as_tensor(np.asarray(values, np.int64), device=self.device)

        return self.model.extend(
            self.cache,
            tensor(group),
            tensor(ids),
            tensor(local),
            torch.as_tensor(np.ascontiguousarray(patches), device=self.device),
            torch.arange(len(patches), device=self.device),
            tensor(positions),
            tensor(visible),
        )
