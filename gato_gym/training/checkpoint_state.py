"""What a checkpoint holds: the tensors of a model and its optimizer by name, and single numbers.

model.NAME            of the model's state dict
optimizer.NAME.KIND   what the optimizer keeps for the parameter NAME
extra.NAME            what else was given
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.tensor import DTensor

from gato_gym.errors import CorruptCheckpointError

# Of single numbers in state.json; a name from a file must not reach further into torch.
_DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool")


def gather(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, extra: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """All tensors by name, and what the optimizer keeps as single numbers."""
    # The state dict first: it takes FSDP2's parameters back to their shards, which are the ones
    # that the optimizer knows.
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"extra.{name}": value for name, value in extra.items()}
    scalars: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        # What has had no gradient yet has no state: the patch network, where no task has images.
        for kind, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor) and value.ndim:
                tensors[f"optimizer.{name}.{kind}"] = value
            elif isinstance(value, Tensor):
                whole = value.full_tensor() if isinstance(value, DTensor) else value
                number = {"dtype": str(value.dtype).removeprefix("torch."), "value": whole.item()}
                scalars.setdefault(name, {})[kind] = number
            elif isinstance(value, bool | int | float):
                scalars.setdefault(name, {})[kind] = value
            else:
                raise TypeError(
                    f"the optimizer keeps a {type(value).__name__} as {kind!r} of {name}: a "
                    "checkpoint holds tensors and numbers"
                )
    return tensors, scalars


def compare(folder: Path, tensors: Mapping[str, Tensor], metadata: Metadata) -> None:
    """Names, shapes and types, of all but the optimizer's; and that no part is missing."""
    expected = {name: (tuple(value.shape), value.dtype) for name, value in tensors.items()}
    found = {}
    for name, saved in metadata.state_dict_metadata.items():
        assert isinstance(saved, TensorStorageMetadata)
        parts = sum(chunk.sizes.numel() for chunk in saved.chunks)
        if parts != saved.size.numel():
            raise CorruptCheckpointError(f"{folder}: parts of {name} are missing: copy it again")
        if not name.startswith("optimizer."):
            found[name] = (tuple(saved.size), saved.properties.dtype)
    _refuse_difference(folder, expected, found)


def _refuse_difference(path: Path, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    if expected != found:
        differing = sorted(
            k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)
        )
        raise CorruptCheckpointError(
            f"{path} is of another model: {len(differing)} tensors differ, e.g. {differing[0]} is "
            f"{found.get(differing[0])}, expected {expected.get(differing[0])}"
        )


def allocate(
    folder: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    metadata: Metadata,
    scalars: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Parameter -> kind -> what the optimizer will keep: numbers, and tensors yet to be read."""
    parameters = dict(model.named_parameters())
    on_device = {
        parameter
        for group in optimizer.param_groups
        for parameter in group["params"]
        if group.get("fused") or group.get("capturable")
    }
    states: dict[str, dict[str, Any]] = {}

    def owner(name: str) -> torch.nn.Parameter:
        if name not in parameters:
            raise CorruptCheckpointError(
                f"{folder} is of another model: its optimizer knows {name}, this one has none"
            )
        return parameters[name]

    for key, saved in metadata.state_dict_metadata.items():
        if not key.startswith("optimizer."):
            continue
        assert isinstance(saved, TensorStorageMetadata)
        name, _, kind = key.removeprefix("optimizer.").rpartition(".")
        parameter, dtype = owner(name), saved.properties.dtype
        if saved.size == parameter.shape:
            kept = torch.zeros_like(parameter, dtype=dtype, requires_grad=False)
        else:
            kept = torch.zeros(saved.size, dtype=dtype, device=parameter.device)
        states.setdefault(name, {})[kind] = kept
    try:
        for name, kinds in scalars.items():
            for kind, value in kinds.items():
                parameter = owner(name)
                # As torch does it: the count of steps stays on the CPU unless a kernel needs it.
                near = kind != "step" or parameter in on_device
                kept = _number(value, parameter.device if near else torch.device("cpu"))
                states.setdefault(name, {})[kind] = kept
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise CorruptCheckpointError(f"{folder}: state.json is no checkpoint's: {error}") from error
    return states


def _number(value: Any, device: torch.device) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if value["dtype"] not in _DTYPES:
        raise ValueError(f"{value['dtype']!r} is no type of numbers")
    return torch.tensor(value["value"], dtype=getattr(torch, value["dtype"]), device=device)
