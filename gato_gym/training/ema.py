"""A running mean of the weights: what is validated and exported, not what is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class Ema:
    """Exponential mean of a model's trained parameters after each step.

    The weight of a step's parameters is `decay` to the power of the steps since, and the weights
    sum to 1 from the first step on: the start does not count.

    Args:
        model: whose parameters; sharded ones stay sharded.
        decay: in (0, 1), e.g. 0.999: the mean of about the last 1 / (1 - decay) steps.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"the decay of a mean must be between 0 and 1, got {decay}")
        self.decay = decay
        self._parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._means = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters after step `step`, from 1."""
        share = (1 - self.decay) / (1 - self.decay**step)
        for name, mean in self._means.items():
            mean.lerp_(self._parameters[name].detach(), share)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """The model has the mean weights within; do not train or save it there."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, mean in self._means.items():
            parameter = self._parameters[name]
            held = parameter.detach().clone()
            parameter.copy_(mean)
            mean.copy_(held)

    def tensors(self) -> dict[str, Tensor]:
        """The means themselves by "ema.<parameter>", to be saved and to be read into."""
        return {f"ema.{name}": mean for name, mean in self._means.items()}
