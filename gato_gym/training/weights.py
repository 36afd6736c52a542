"""A model from the two files that an agent's folder has of it, which anybody may have written.

What the configuration describes is compared with what the weights' file holds before any of it is
allocated: a few bytes of JSON must not ask for a terabyte.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import safetensors
import torch
from safetensors import SafetensorError

import gato_gym
from gato_gym.config import ModelConfig
from gato_gym.errors import CorruptCheckpointError
from gato_gym.models.gato import Gato
from gato_gym.training.checkpoint import load_weights, read_json

# Of the context nothing in the weights tells, but acting allocates a cache of that size.
MAX_CONTEXT = 1 << 20


def read_config(path: Path) -> ModelConfig:
    """The configuration in a JSON file, with every value checked.

    Raises:
        CorruptCheckpointError: a key is unknown, or a value has another type or is out of range.
    """
    told = read_json(path)
    types = {field.name: str(field.type) for field in fields(ModelConfig)}
    for name, value in told.items():
        if name not in types:
            raise CorruptCheckpointError(
                f"{path} has {name!r}, which gato_gym {gato_gym.__version__} does not know: if a "
                "newer one wrote it, pip install --upgrade gato-gym"
            )
        fits = type(value).__name__ == types[name] or (types[name], type(value)) == ("float", int)
        if not fits or (types[name] == "int" and value < 1):
            raise CorruptCheckpointError(
                f"{path}: {name} is {value!r}, not a {types[name]} above 0"
            )
    if told.get("context", 1) > MAX_CONTEXT:
        raise CorruptCheckpointError(
            f"{path}: a context of {told['context']:,} tokens is above {MAX_CONTEXT:,}"
        )
    try:
        return ModelConfig(**told)
    except (TypeError, ValueError) as error:
        raise CorruptCheckpointError(f"{path} describes no model: {error}") from error


def read_model(config: ModelConfig, path: Path) -> Gato:
    """The model of a configuration with the weights of a safetensors file, in eval mode.

    Raises:
        CorruptCheckpointError: the file is missing, unreadable, or of another model.
    """
    found = _shapes(path)
    block = 4 * config.width**2 + config.width * config.hidden
    least = config.layers * block + config.text_size * config.width
    if least > path.stat().st_size or config.layers > len(found):
        raise CorruptCheckpointError(
            f"{path} does not fit the config beside it: that describes {config.layers:,} layers "
            f"and {least:,} parameters or more, the file has {path.stat().st_size:,} bytes"
        )
    with torch.device("meta"):
        model = Gato(config)
    assert not list(model.buffers()), "to_empty would leave them without values"
    for name, value in model.state_dict().items():
        if found.get(name) != tuple(value.shape):
            raise CorruptCheckpointError(
                f"{path} does not fit the config beside it: {name} is {found.get(name)}, expected "
                f"{tuple(value.shape)}"
            )
    # Not initialised, which for a billion parameters takes longer than to read them.
    model = model.to_empty(device="cpu")
    load_weights(model, path)
    return model.eval()


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Of each tensor in the file, from its header."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # it has no other way
    except (SafetensorError, OSError, ValueError) as error:
        raise CorruptCheckpointError(f"{path} cannot be read: {error}") from error
