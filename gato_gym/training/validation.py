"""Losses on held-out episodes: the same rows each time, and no trace in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from gato_gym.data.packing import Window
from gato_gym.training.progress import TaskLoss, task_sums
from gato_gym.training.step import to_device


class Rows(Protocol):
    """What a `WindowSource` is here."""

    tasks: list[str]

    def rows(self, indices: Sequence[int]) -> Window:
        """Several rows as one window."""


def validate(
    model: nn.Module,
    source: Rows,
    rows: int,
    batch: int,
    device: torch.device | str,
    *,
    rank: int = 0,
    ranks: int = 1,
    together: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, TaskLoss]:
    """Mean losses of rows 0 ... `rows` - 1 without stochastic depth; bf16 on a GPU, as in training.

    Nothing is drawn and the model's mode is put back, so that training goes on as if this had not
    happened. All ranks must call it, and each gets the result of all.

    Args:
        model: maps the arrays of a window to its `TargetLosses`; sharded or not.
        source: rows of held-out episodes.
        rows: how many, over all ranks.
        batch: rows at a time of one rank.
        device: of the model.
        rank, ranks: which of the rows are this process's.
        together: adds the tensors of all ranks; needed where there are several.

    Returns:
        Task -> loss, accuracy, number of targets; without the tasks that the rows have none of.
    """
    if ranks > 1 and together is None:
        raise ValueError(f"{ranks} ranks need a function that adds their sums")
    device = torch.device(device)
    sums = np.zeros((3, len(source.tasks)))
    training = model.training
    model.eval()
    try:
        # Every rank runs the model equally often: a sharded one gathers its weights each time.
        for first in range(0, rows, batch * ranks):
            start = first + rank * batch
            mine = range(start, min(start + batch, rows))
            window = source.rows(mine or [0])
            losses, correct = _losses(model, window, device)
            if mine:
                sums += task_sums(window, losses, correct, len(source.tasks))
    finally:
        model.train(training)
    if together is not None:
        sums = together(torch.from_numpy(sums).to(device)).cpu().numpy()
    return {
        task: TaskLoss(float(loss / count), float(hits / count), int(count))
        for task, loss, hits, count in zip(source.tasks, *sums, strict=True)
        if count
    }


@torch.no_grad()
def _losses(model: nn.Module, window: Window, device: torch.device) -> tuple[Tensor, Tensor]:
    batch = to_device(window, device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        found = model(**batch)
    return found.losses, found.correct
