"""The running mean of the weights."""

import pytest
import torch
from torch import nn

from gato_gym.training.ema import Ema


def moved(model, steps, means):
    """Weights after each of some steps."""
    seen = []
    for step in range(1, steps + 1):
        with torch.no_grad():
            model.weight += torch.randn(model.weight.shape)
        means.update(step)
        seen.append(model.weight.detach().clone())
    return seen


def test_weights_sum_to_one_and_the_start_does_not_count():
    torch.manual_seed(0)
    model = nn.Linear(3, 2, bias=False)
    means = Ema(model, 0.9)
    seen = moved(model, 7, means)
    shares = torch.tensor([0.9 ** (7 - step) for step in range(1, 8)])
    expected = (torch.stack(seen) * (shares / shares.sum())[:, None, None]).sum(0)
    assert torch.allclose(means.tensors()["ema.weight"], expected, atol=1e-6)


def test_swapped_within_and_back_after_also_on_an_error():
    torch.manual_seed(0)
    model = nn.Linear(3, 2, bias=False)
    means = Ema(model, 0.5)
    moved(model, 3, means)
    raw, mean = model.weight.detach().clone(), means.tensors()["ema.weight"].clone()
    place = model.weight.data_ptr()
    with pytest.raises(KeyboardInterrupt), means.swapped():
        assert torch.equal(model.weight, mean) and not torch.equal(model.weight, raw)
        raise KeyboardInterrupt
    assert torch.equal(model.weight, raw) and torch.equal(means.tensors()["ema.weight"], mean)
    assert model.weight.data_ptr() == place  # compiled and sharded models hold on to it


def test_a_mean_that_was_read_back_goes_on_bit_for_bit():
    torch.manual_seed(0)
    model = nn.Linear(3, 2, bias=False)
    means = Ema(model, 0.9)
    moved(model, 3, means)
    other = Ema(model, 0.9)
    for mean, saved in zip(other.tensors().values(), means.tensors().values(), strict=True):
        mean.copy_(saved)
    with torch.no_grad():
        model.weight += 1
    means.update(4)
    other.update(4)
    assert torch.equal(means.tensors()["ema.weight"], other.tensors()["ema.weight"])


def test_frozen_weights_have_no_mean():
    model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[0].requires_grad_(False)
    assert list(Ema(model, 0.9).tensors()) == ["ema.1.weight"]


@pytest.mark.parametrize("decay", [0, 1, -0.1, 1.5])
def test_impossible_decays(decay):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Ema(nn.Linear(3, 2), decay)
