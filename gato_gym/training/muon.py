"""Muon for matrices and AdamW for everything else, as one optimiser.

Muon's update is the matrix of the momentum with all singular values brought near 1, by five
Newton-Schulz iterations (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/).
`torch.optim.Muon` iterates in bfloat16 on every device, which a CPU without it emulates; this one
does so on a GPU or where training computes in it anyway, several matrices of a shape at once, each
matrix of a stack for itself, and gathers what FSDP has sharded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
# An update then has the root mean square of AdamW's, so that one learning rate fits both
# (Liu et al., 2025, https://arxiv.org/abs/2502.16982).
ADAMW_RMS = 0.2
_TOGETHER = 16


def orthogonalize(matrices: Tensor, half: bool | None = None) -> Tensor:
    """(N, m, n) -> (N, m, n) with singular values of about 1 (0.7 to 1.2), zero matrices stay zero.

    Args:
        matrices: any.
        half: in bfloat16, which is exact enough, rather than in the precision given; None = on a
            GPU.
    """
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16() if (matrices.is_cuda if half is None else half) else matrices
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon on some groups of parameters, a given AdamW on its own; surface and state of both.

    Args:
        groups: of matrices (m, n), each a dict of "params", "weight_decay" (decoupled, times the
            rate, as AdamW's) and "parts": how many equal matrices are stacked along m.
        adamw: of all other parameters; None = there are none.
        lr: until the trainer sets each group's "lr".
        half: see `orthogonalize`.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        adamw: torch.optim.AdamW | None,
        lr: float,
        half: bool | None = None,
    ) -> None:
        self._adamw, self._half = adamw, half
        others = adamw.param_groups if adamw else []
        super().__init__([*groups, *others], {"lr": lr})
        for group in self._matrix_groups():
            for matrix in group["params"]:
                if matrix.ndim != 2 or matrix.shape[0] % group["parts"]:
                    raise ValueError(
                        f"Muon takes {group['parts']} matrices stacked along the rows, got a "
                        f"parameter of shape {tuple(matrix.shape)}: give it to AdamW"
                    )

    def _matrix_groups(self) -> Iterator[dict[str, Any]]:
        return (group for group in self.param_groups if "parts" in group)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure
        """One update of every parameter that has a gradient."""
        for group in self._matrix_groups():
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape.setdefault(matrix.shape, []).append(matrix)
            for matrices in by_shape.values():
                # A few at a time, or the whole model's updates would be in memory at once.
                for first in range(0, len(matrices), _TOGETHER):
                    self._update(matrices[first : first + _TOGETHER], group)
        if self._adamw is not None:
            # Anew in every step: loading a state replaces both.
            self._adamw.state = self.state
            self._adamw.param_groups = [g for g in self.param_groups if "parts" not in g]
            self._adamw.step()

    def _update(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        parts, rate = group["parts"], group["lr"]
        directions = torch.stack([_whole(self._direction(matrix)) for matrix in matrices])
        rows, columns = directions.shape[1] // parts, directions.shape[2]
        turned = orthogonalize(directions.reshape(-1, rows, columns), self._half)
        updates = turned.reshape(directions.shape)
        size = ADAMW_RMS * max(rows, columns) ** 0.5
        for matrix, update in zip(matrices, updates, strict=True):
            matrix.mul_(1 - rate * group["weight_decay"])
            matrix.add_(_like(update, matrix), alpha=-rate * size)

    def _direction(self, matrix: Tensor) -> Tensor:
        """Nesterov's momentum."""
        gradient, state = matrix.grad, self.state[matrix]
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(momentum, MOMENTUM)


def _whole(x: Tensor) -> Tensor:
    return x.full_tensor() if _sharded(x) else x  # type: ignore[attr-defined]  # a DTensor


def _like(x: Tensor, other: Tensor) -> Tensor:
    """This rank's share of `x`, which every rank has, if `other` is sharded."""
    if not _sharded(other):
        return x
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = other.device_mesh, other.placements  # type: ignore[attr-defined]  # a DTensor
    return distribute_tensor(x, mesh, placements, src_data_rank=None)


def _sharded(x: Tensor) -> bool:
    """Is it a DTensor? Their module takes a second to import, so whoever shards imports it."""
    return hasattr(x, "full_tensor")
