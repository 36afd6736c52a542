"""Matrices laid out once the way oneDNN multiplies them with few rows, for acting on a CPU.

A pass of few tokens spends its time on reading weights, and the general product lays each matrix
out anew before it multiplies. PyTorch's compiler uses these two operators when it freezes weights;
they have no public name. Where they are missing or do not agree with `functional.linear`, that
takes their place.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

logger = logging.getLogger(__name__)


class PackedLinear:
    """`nn.Linear` without bias for acting on a CPU.

    Lays its weight out again when PyTorch says that it has changed, which it does not say of all
    changes (`parameter.data`, fused optimisers): see `Decoder.forget`.
    """

    def __init__(self, linear: nn.Linear) -> None:
        self._linear = linear
        self._packed: Tensor | None = None
        self._of: tuple[int, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_packed": None, "_of": None}  # it has no copy and no pickle

    def __call__(self, x: Tensor) -> Tensor:
        """(N, D) -> (N, O)."""
        weight = self._linear.weight
        if type(weight) is not nn.Parameter:
            return functional.linear(x, weight)
        now = weight.data_ptr(), 0 if weight.is_inference() else weight._version
        if now != self._of:
            can = weight.device.type == "cpu" and packing_works(weight.dtype)
            self._packed, self._of = _pack(weight.detach()) if can else None, now
        if self._packed is None:
            return functional.linear(x, weight)
        return _multiply(x, self._packed)


def pack(linear: nn.Linear) -> PackedLinear | nn.Linear:
    """The faster of both for a matrix where it lies."""
    plain = type(linear.weight) is nn.Parameter and linear.bias is None
    dtype = linear.weight.dtype
    if plain and linear.weight.device.type == "cpu" and packing_works(dtype):
        return PackedLinear(linear)
    return linear


@cache
def packing_works(dtype: torch.dtype) -> bool:
    """Whether this PyTorch has the operators, and they agree with `functional.linear`."""
    if dtype not in (torch.float32, torch.bfloat16):
        return False
    try:
        weight = torch.linspace(-1, 1, 48 * 32).view(48, 32).to(dtype)
        x = torch.linspace(-1, 1, 3 * 32).view(3, 32).to(dtype)
        found, expected = _multiply(x, _pack(weight)), functional.linear(x, weight)
        torch.testing.assert_close(found, expected)
    except Exception as error:  # whatever is wrong with what has no public name
        logger.info("matrices are not laid out before acting: %s", error)
        return False
    return True


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, None)
    return packed


def _multiply(x: Tensor, packed: Tensor) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
    return found
