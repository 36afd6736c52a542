"""Cross-entropy at target positions without a tensor of all logits (paper section 2.3).

The logits of a chunk of targets live only until their gradients are known, which is in the forward
pass: the loss is a sum, so the gradient of every target is the same factor times what is kept.

Shapes: N targets, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# Logits of so many targets at a time: 130 MB of float32 at the paper's vocabulary.
CHUNK = 1024


class TargetLosses(NamedTuple):
    """Losses of a batch.

    total    sum over all targets in nats, differentiable
    losses   (B, Q) in nats, 0 where there is no target; detached
    correct  (B, Q), whether the target is the most likely id
    """

    total: Tensor
    losses: Tensor
    correct: Tensor


def target_losses(
    hidden: Tensor, weight: Tensor, targets: Tensor, where: Tensor | None = None
) -> TargetLosses:
    """Losses of hidden states.

    Args:
        hidden: (B, Q, D).
        weight: (V, D), the output table.
        targets: (B, Q) int64, -1 for none.
        where: (N,) int64, where in the flat targets there are some; None looks for them, for which
            a GPU has to wait.
    """
    if where is None:
        where = (targets.flatten() >= 0).nonzero().squeeze(1)
    if not torch.is_grad_enabled():  # autograd asks for gradients of parameters all the same
        hidden, weight = hidden.detach(), weight.detach()
    picked = hidden.flatten(0, 1).index_select(0, where)
    total, losses, correct = _SumOfLosses.apply(picked, weight, targets.flatten()[where])
    found = [
        part.new_zeros(targets.numel()).index_copy(0, where, part).view(targets.shape)
        for part in (losses, correct)
    ]
    return TargetLosses(total, *found)


class _SumOfLosses(torch.autograd.Function):
    """(N, D), (V, D), (N,) -> sum of losses, losses (N,), correct (N,)."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        with torch.autocast(kind, enabled=False):
            states, table = hidden.to(dtype), weight.to(dtype)
            losses, correct = [], []
            by_state, by_table = ctx.needs_input_grad[:2]
            states_gradient = torch.empty_like(states) if by_state else None
            # Sums over many targets: float32 whatever the arithmetic.
            table_gradient = torch.zeros_like(weight, dtype=torch.float32) if by_table else None
            for start in range(0, len(states), CHUNK):
                part = slice(start, start + CHUNK)
                logits = functional.linear(states[part], table).float()
                wanted = targets[part, None]
                correct.append(logits.argmax(1) == wanted[:, 0])
                normaliser = logits.logsumexp(1, keepdim=True)
                losses.append((normaliser - logits.gather(1, wanted))[:, 0])
                if states_gradient is None and table_gradient is None:
                    continue
                gradient = logits.sub_(normaliser).exp_()
                gradient.scatter_add_(1, wanted, gradient.new_full(wanted.shape, -1.0))
                gradient = gradient.to(dtype)
                if states_gradient is not None:
                    states_gradient[part] = gradient @ table
                if table_gradient is not None:
                    if dtype == torch.float32:
                        table_gradient.addmm_(gradient.t(), states[part])
                    else:
                        table_gradient += gradient.t() @ states[part]
        ctx.save_for_backward(states_gradient, table_gradient)
        ctx.dtypes = hidden.dtype, weight.dtype
        nothing = hidden.new_zeros(0, dtype=torch.float32)
        every = torch.cat(losses) if losses else nothing
        hits = torch.cat(correct) if correct else nothing.bool()
        ctx.mark_non_differentiable(every, hits)
        return every.sum(), every, hits

    @staticmethod
    def backward(ctx: Any, total: Tensor, *_: Any) -> tuple[Tensor | None, Tensor | None, None]:
        found = [
            None if gradient is None else (gradient * total).to(dtype)
            for gradient, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return found[0], found[1], None
