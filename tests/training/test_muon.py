"""Muon: against PyTorch's own, stacks of matrices, AdamW beside it, and its state."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from gato_gym.training.muon import MuonWithAdamW, orthogonalize

RATE = 0.02


def gradients(parameters, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def train(optimizer, parameters, first, last):
    for step in range(first, last):
        for group in optimizer.param_groups:
            group["lr"] = RATE / (1 + step)
        gradients(parameters, seed=step)
        optimizer.step()
        optimizer.zero_grad()


def parameter(*shape):
    return nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))))


def muon(matrices, parts=1, others=()):
    adamw = torch.optim.AdamW(others, lr=RATE, betas=(0.9, 0.95)) if others else None
    return MuonWithAdamW([{"params": matrices, "parts": parts, "weight_decay": 0.1}], adamw, RATE)


@pytest.mark.parametrize("shape", [(3, 24, 24), (2, 40, 8), (1, 8, 40)])
def test_singular_values_come_near_one(shape):
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(shape, generator=generator)
    left, values, right = torch.linalg.svd(random, full_matrices=False)
    matrices = left @ torch.diag(torch.linspace(10, 300, values.shape[1])) @ right
    turned = left.mT @ orthogonalize(matrices) @ right.mT
    values = turned.diagonal(dim1=1, dim2=2)
    assert values.min() > 0.65 and values.max() < 1.25
    # The same singular vectors.
    assert (turned - torch.diag_embed(values)).abs().max() < 1e-4


def test_bfloat16_turns_them_the_same_way():
    matrices = torch.randn(2, 40, 24, generator=torch.Generator().manual_seed(0))
    exact, rounded = orthogonalize(matrices), orthogonalize(matrices, half=True)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).norm() / exact.norm() < 0.02


def test_no_gradient_is_no_direction():
    assert torch.equal(orthogonalize(torch.zeros(1, 4, 6)), torch.zeros(1, 4, 6))


def test_agrees_with_pytorchs():
    shapes = [(24, 24), (24, 24), (48, 16), (16, 48)]
    ours, theirs = [[parameter(*shape) for shape in shapes] for _ in range(2)]
    reference = torch.optim.Muon(
        theirs, lr=RATE, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    start = [matrix.detach().clone() for matrix in ours]
    train(muon(ours), ours, 0, 5)
    train(reference, theirs, 0, 5)
    for before, a, b in zip(start, ours, theirs, strict=True):
        assert (a - b).norm() < 0.02 * (a - before).norm()  # its iterations are in bfloat16


def test_stacked_matrices_are_each_for_itself():
    whole = parameter(12, 8)
    halves = [nn.Parameter(half.clone()) for half in whole.detach().chunk(2)]
    for step in range(3):
        gradients([whole], seed=step)
        for half, gradient in zip(halves, whole.grad.chunk(2), strict=True):
            half.grad = gradient.clone()
    stacked, single = muon([whole], parts=2), muon(halves)
    stacked.step()
    single.step()
    assert torch.allclose(whole, torch.cat(halves), atol=1e-6)


@pytest.mark.parametrize("shape", [(4,), (5, 4), (4, 4, 2)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="give it to AdamW"):
        muon([parameter(*shape)], parts=2)


def test_adamw_beside_it_is_adamw():
    table, alone = parameter(6, 5), parameter(6, 5)
    matrix = parameter(4, 4)
    train(muon([matrix], others=[table]), [table, matrix], 0, 3)
    train(torch.optim.AdamW([alone], lr=RATE, betas=(0.9, 0.95)), [alone], 0, 3)
    assert torch.equal(table, alone)


def test_without_a_gradient_nothing_moves():
    still, moved = parameter(4, 4), parameter(4, 4)
    optimizer = muon([still, moved])
    before = still.detach().clone()
    gradients([moved], seed=0)
    optimizer.step()
    assert torch.equal(still, before) and not torch.equal(moved, before)
    assert moved in optimizer.state and still not in optimizer.state


def by_parameter(old, new, parameters, copies):
    """As checkpoints do it."""
    for parameter, copy in zip(parameters, copies, strict=True):
        state = old.state[parameter]
        assert all(isinstance(value, torch.Tensor) for value in state.values())
        new.state[copy] = {name: value.clone() for name, value in state.items()}


def by_dictionary(old, new, parameters, copies):
    new.load_state_dict(deepcopy(old.state_dict()))


@pytest.mark.parametrize("load", [by_parameter, by_dictionary])
def test_a_loaded_state_goes_on_bit_for_bit(load):
    parameters = [parameter(8, 4), parameter(8, 4), parameter(6)]
    old = muon(parameters[:2], parts=2, others=parameters[2:])
    train(old, parameters, 0, 3)
    copies = [nn.Parameter(p.detach().clone()) for p in parameters]
    new = muon(copies[:2], parts=2, others=copies[2:])
    load(old, new, parameters, copies)
    train(old, parameters, 3, 6)
    train(new, copies, 3, 6)
    assert all(torch.equal(a, b) for a, b in zip(parameters, copies, strict=True))
