"""What one optimiser step computes: the batch on its device, the sub-layers that are skipped, the
gradients of all micro-batches (paper section 2.3, appendix C).

A step is a function of the weights, the optimiser's state and the step's number. What is drawn
depends on the seed and the row alone, so that ranks, micro-batches and a resume change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gato_gym.config import ModelConfig
from gato_gym.data.packing import Window
from gato_gym.models.loss import TargetLosses

INPUTS = (
    "ids",
    "local",
    "patches",
    "pixels",
    "positions",
    "first_visible",
    "queries",
    "targets",
    "marks",
)
"""Arrays of a window that the model takes."""

# Tells the stream of stochastic depth from the one that draws a row's documents.
_DEPTH_STREAM = 1


def to_device(window: Window, device: torch.device) -> dict[str, Tensor]:
    """The arrays of a window as tensors by the names of the model's arguments; images stay uint8.

    To a GPU they go from page-locked memory, so that the copy runs beside the arithmetic.
    """
    arrays = {name: getattr(window, name) for name in INPUTS}
    arrays["wanted"] = np.flatnonzero(window.targets >= 0)
    tensors = {}
    for name, array in arrays.items():
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if device.type == "cuda":
            tensor = tensor.pin_memory().to(device, non_blocking=True)
        tensors[name] = tensor
    return tensors


def autocast(device: torch.device, arithmetic: str = "auto") -> torch.autocast:
    """Matrix products in bfloat16 where `TrainConfig.arithmetic` says so; weights stay float32."""
    wanted = arithmetic == "bfloat16" or (arithmetic == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


def draw_keep(seed: int, rows: Iterable[int], config: ModelConfig) -> Tensor | None:
    """Stochastic depth: (B, layers, 2) float32, 0 where a sub-layer is skipped in a row of the run,
    else 1 / (1 - p), which keeps the mean. None where nothing is ever skipped."""
    p = config.stochastic_depth
    if p == 0:
        return None
    shape = (config.layers, 2)
    kept = [np.random.default_rng([seed, row, _DEPTH_STREAM]).random(shape) >= p for row in rows]
    return torch.from_numpy(np.stack(kept) / (1 - p)).float()


class Gradients(NamedTuple):
    """What `backward` found: this process's share of the mean loss, and each window's losses."""

    loss: Tensor
    parts: list[TargetLosses]


def backward(
    model: nn.Module,
    windows: Sequence[Window],
    keeps: Sequence[Tensor | None],
    targets: int,
    device: torch.device,
    arithmetic: str = "auto",
) -> Gradients:
    """Add the gradients of the loss: the sum over this process's micro-batches / `targets`.

    Args:
        model: its gradients are summed over ranks where it is sharded.
        windows: the micro-batches.
        keeps: of each, see `draw_keep`.
        targets: number of targets of the whole step, over all ranks.
        device: of the model.
        arithmetic: see `TrainConfig`.
    """
    parts = []
    for index, (window, keep) in enumerate(zip(windows, keeps, strict=True)):
        if hasattr(model, "set_requires_gradient_sync"):  # ranks meet after the last one only
            model.set_requires_gradient_sync(index == len(windows) - 1)  # type: ignore[operator]  # FSDP2 adds it
        batch = to_device(window, device)
        if keep is not None:
            keep = keep.to(device, non_blocking=True)
        with autocast(device, arithmetic):
            found: TargetLosses = model(**batch, keep=keep)
        (found.total / targets).backward()
        parts.append(TargetLosses(found.total.detach(), found.losses, found.correct))
    return Gradients(torch.stack([part.total for part in parts]).sum() / targets, parts)


def failed_episodes(
    windows: Sequence[Window],
    parts: Sequence[TargetLosses],
    together: Callable[[Tensor], Tensor],
) -> list[str]:
    """Names of this process's episodes in rows whose loss is not finite.

    Of all its rows where every loss of the batch is finite, and a gradient then is not.

    Args:
        windows, parts: of the step.
        together: adds the tensors of all ranks.
    """
    bad: list[str] = []
    every: list[str] = []
    for window, part in zip(windows, parts, strict=True):
        finite = torch.isfinite(part.losses).all(dim=1).tolist()
        for names, good in zip(window.episodes, finite, strict=True):
            every += names
            bad += [] if good else names
    elsewhere = int(together(torch.tensor(len(bad)))) > 0
    return list(dict.fromkeys(bad if elsewhere else every))


def count_targets(windows: Sequence[Window]) -> int:
    """How many ids the model is to predict."""
    return sum(int((window.targets >= 0).sum()) for window in windows)


def finite(*values: Tensor | float) -> bool:
    """Whether all of them are numbers."""
    return all(math.isfinite(float(value)) for value in values)
