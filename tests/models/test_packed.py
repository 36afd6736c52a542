"""Matrices laid out for few rows multiply as the layer does, and follow its weights."""

import copy
import pickle

import pytest
import torch
from torch import nn

from gato_gym.models import packed
from gato_gym.models.packed import PackedLinear, pack, packing_works

DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(autouse=True)
def forget():
    yield
    packing_works.cache_clear()


def layer(inputs=48, outputs=96, dtype=torch.float32) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=False).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_products_are_those_of_the_layer(rows, dtype):
    if dtype is torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        assert not packing_works(dtype)
        pytest.skip("this processor has no instructions for bfloat16")
    for linear in (layer(dtype=dtype), layer(512, 1024, dtype)):
        multiply = pack(linear)
        assert isinstance(multiply, PackedLinear)
        x = torch.randn(rows, linear.in_features).to(dtype)
        with torch.inference_mode():
            torch.testing.assert_close(multiply(x), linear(x))


def test_changed_weights_count_at_once():
    linear = layer()
    multiply, x = pack(linear), torch.randn(5, 48)
    with torch.inference_mode():
        before = multiply(x)
    with torch.no_grad():
        linear.weight.mul_(2)
    with torch.inference_mode():
        torch.testing.assert_close(multiply(x), 2 * before)
    linear.weight.data = linear.weight.data.to(torch.bfloat16)
    with torch.inference_mode():
        found = multiply(x.to(torch.bfloat16))
    torch.testing.assert_close(found.float(), 2 * before, atol=0.1, rtol=0.05)


def test_copies_are_laid_out_again():
    linear, x = layer(), torch.randn(5, 48)
    multiply = pack(linear)
    with torch.inference_mode():
        expected = multiply(x)
        for other in (copy.deepcopy(multiply), pickle.loads(pickle.dumps(multiply))):
            torch.testing.assert_close(other(x), expected, atol=0, rtol=0)


@pytest.mark.parametrize("broken", ["missing", "wrong"])
def test_operators_that_are_missing_or_wrong_are_not_used(broken, monkeypatch):
    packing_works.cache_clear()

    def multiply(x, weight):
        if broken == "missing":
            raise AttributeError("no such operator")
        return x.new_zeros(len(x), 48)

    monkeypatch.setattr(packed, "_multiply", multiply)
    linear = layer()
    assert pack(linear) is linear


def test_other_layers_stay_as_they_are():
    for linear in (nn.Linear(8, 8), layer(dtype=torch.float64), layer().to("meta")):
        assert pack(linear) is linear


def test_a_format_that_is_not_laid_out_is_multiplied_where_it_lies():
    linear = layer()
    multiply, x = pack(linear), torch.randn(5, 48)
    with torch.inference_mode():
        multiply(x)
        linear.double()
        torch.testing.assert_close(multiply(x.double()), linear(x.double()))
