"""A small model, and random rows of tokens for it."""

import numpy as np
import pytest
import torch

from gato_gym.config import ModelConfig
from gato_gym.models.gato import Gato

CONTEXT = 32


def build_config(**changes) -> ModelConfig:
    shape = dict(width=32, layers=2, heads=2, hidden=64, context=CONTEXT, text_size=1024)
    return ModelConfig("test", **(shape | dict(patch_channels=32, stochastic_depth=0.0) | changes))


def build_model(**changes) -> Gato:
    """All matrices normal fan_in^-1/2, so that every path counts from the start."""
    torch.manual_seed(0)
    model = Gato(build_config(**changes)).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.normal_(module.weight, std=module.in_features**-0.5)
    return model


def build_inputs(rows=2, length=24, seed=0, patches=5, documents=1) -> dict[str, torch.Tensor]:
    """The arguments of `Gato.forward`, `patches` patch marks per row."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 2049, (rows, length))
    local = rng.integers(0, 514, (rows, length))
    for row in ids:
        row[rng.choice(length, patches, replace=False)] = -1
    first = np.arange(length) // -(-length // documents) * -(-length // documents)
    marks = rows * patches
    arrays = {
        "ids": ids,
        "local": local,
        "patches": rng.integers(0, 256, (max(marks, 1), 16, 16, 3)).astype(np.uint8),
        "pixels": rng.permutation(marks),
        "positions": rng.integers(0, 128, (marks, 2)),
        "first_visible": np.tile(first, (rows, 1)),
    }
    return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}


@pytest.fixture(scope="session")
def make_config():
    return build_config


@pytest.fixture(scope="session")
def make_model():
    return build_model


@pytest.fixture(scope="session")
def make_inputs():
    return build_inputs


@pytest.fixture
def model() -> Gato:
    return build_model()
