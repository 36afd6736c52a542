"""Weights of fewer bits, for acting: less memory and, where the machine has the units, less time.

    float32    as trained
    bfloat16   all weights, and with them activations, keys and values. Norms, softmax and rotary
               angles are computed in float32 inside, by PyTorch's kernels and by `rotary_angles`
    int8       the matrices of the blocks, one scale for each output (torchao, weights only); all
               else bfloat16. The id table, which is input and output, stays as it is

Both round the weights, so some chosen actions differ: docs/precision.md counts how often.
A rounded model cannot be trained or saved; `check_savable` says so.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from gato_gym.errors import MissingExtraError
from gato_gym.models.gato import Gato

PRECISIONS = ("float32", "bfloat16", "int8")


def check_precision(precision: str) -> None:
    """Raise unless such weights can be made here; imports nothing, which takes seconds.

    Raises:
        ValueError: no such precision; the message lists all.
        MissingExtraError: int8 without torchao.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
    if precision == "int8" and importlib.util.find_spec("torchao") is None:
        raise MissingExtraError(
            'int8 weights need torchao, which is not installed: pip install "gato-gym[quantize]"'
        )


def precision_of(model: Gato) -> str:
    """What the weights of a model are, one of `PRECISIONS`; told by the weights themselves."""
    if model.norm.weight.dtype == torch.float32:
        return "float32"
    plain = type(model.get_parameter("blocks.0.query.weight")) is torch.nn.Parameter
    return "bfloat16" if plain else "int8"


def set_precision(model: Gato, precision: str) -> Gato:
    """Round the weights of a model where they are; changes and returns it.

    Args:
        model: of float32 weights, or what it is asked to be already.
        precision: one of `PRECISIONS`.

    Raises:
        ValueError: no such precision, or the weights are rounded already, to another one.
        MissingExtraError: int8 without torchao.
    """
    check_precision(precision)
    now = precision_of(model)
    if now == precision:
        return model
    if now != "float32":
        raise ValueError(
            f"the weights are {now}, and what that rounded away is lost: load the agent again with "
            f"precision={precision!r}"
        )
    if precision == "int8":
        _quantize(model)
    for name, parameter in model.named_parameters():
        if type(parameter) is torch.nn.Parameter or not name.startswith("blocks."):
            parameter.data = parameter.data.to(torch.bfloat16)
    return model


def check_savable(model: Gato) -> None:
    """Raise ValueError where a model's weights are rounded: an agent's folder holds float32."""
    precision = precision_of(model)
    if precision != "float32":
        raise ValueError(
            f"an agent's folder holds float32 weights, and these are rounded to {precision}: save "
            "the agent loaded with precision='float32'; whoever loads it chooses the precision"
        )


def _quantize(model: Gato) -> None:
    with quiet_torchao():
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    # Its settings for the compiler would also change how the whole process multiplies float32.
    config: Any = Int8WeightOnlyConfig(set_inductor_config=False)
    quantize_(model.blocks, config)
    for module in model.blocks.modules():
        # How it prints itself; pickle does not take what torchao puts there.
        vars(module).pop("extra_repr", None)


@contextmanager
def quiet_torchao() -> Iterator[None]:
    """Leaves out what torchao logs where it is imported, by us or by peft: which of its CUDA
    libraries do not load, none of which is needed, and what PyTorch will change about it."""
    loggers = [logging.getLogger(name) for name in ("torchao", "torch.utils._pytree")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
