"""Agents made ready to go on with."""

from dataclasses import replace

import pytest
import torch

from gato_gym.config import model_config
from gato_gym.models.gato import Gato
from gato_gym.training.adapt import deepened

TINY = model_config("tiny")


@pytest.fixture
def base():
    torch.manual_seed(1)
    return Gato(TINY).eval()


def predictions(model: Gato) -> torch.Tensor:
    ids = torch.randint(0, 1024, (2, 12), generator=torch.Generator().manual_seed(2))
    nothing = torch.zeros(0, dtype=torch.int64)
    return model(
        ids,
        torch.zeros_like(ids),
        torch.zeros(0, 16, 16, 3, dtype=torch.uint8),
        nothing,
        torch.zeros(0, 2, dtype=torch.int64),
        torch.zeros_like(ids),
    )


def test_new_blocks_begin_as_the_identity(base):
    deep = deepened(base, replace(TINY, layers=5)).eval()
    assert len(deep.blocks) == 5 and len(base.blocks) == TINY.layers
    torch.testing.assert_close(predictions(deep), predictions(base))


def test_new_blocks_learn(base):
    deep = deepened(base, replace(TINY, layers=3))
    predictions(deep).square().mean().backward()
    assert deep.blocks[-1].out.weight.grad.abs().max() > 0


def test_blocks_are_not_taken_away(base):
    with pytest.raises(ValueError, match="the agent has 2 blocks, it cannot have 1"):
        deepened(base, replace(TINY, layers=1))
