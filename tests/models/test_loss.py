"""The loss in chunks against PyTorch's on all logits at once."""

import pytest
import torch
from torch.nn import functional

from gato_gym.models import loss
from gato_gym.models.loss import target_losses


def inputs():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 10, 16, generator=generator).requires_grad_()
    weight = torch.randn(50, 16, generator=generator).requires_grad_()
    targets = torch.randint(-1, 50, (3, 10), generator=generator)
    targets[1] = -1  # a row without any
    return hidden, weight, targets


@pytest.mark.parametrize("chunk", [1, 7, 1024])
def test_against_all_logits_at_once(chunk, monkeypatch):
    monkeypatch.setattr(loss, "CHUNK", chunk)
    hidden, weight, targets = inputs()
    found = target_losses(hidden, weight, targets)
    gradients = torch.autograd.grad(found.total / 5, [hidden, weight])
    logits = hidden @ weight.t()
    losses = functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none"
    ).view(3, 10)
    expected = torch.autograd.grad(losses.sum() / 5, [hidden, weight])
    torch.testing.assert_close(found.losses, losses.detach())
    assert torch.equal(found.correct, (logits.argmax(-1) == targets) & (targets >= 0))
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert not found.losses.requires_grad


def test_without_gradients_and_without_targets():
    hidden, weight, targets = inputs()
    with torch.no_grad():
        total = target_losses(hidden, weight, targets).total
    torch.testing.assert_close(total, target_losses(hidden, weight, targets).total.detach())
    nothing = target_losses(hidden, weight, torch.full_like(targets, -1))
    nothing.total.backward()
    assert nothing.total == 0 and (hidden.grad == 0).all() and (weight.grad == 0).all()


def test_bfloat16_arithmetic_sums_in_float32():
    hidden, weight, targets = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        found = target_losses(hidden, weight, targets)
    rough = torch.autograd.grad(found.total, [hidden, weight])
    exact = torch.autograd.grad(target_losses(hidden, weight, targets).total, [hidden, weight])
    for one, other in zip(rough, exact, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0.1, atol=0.1)
