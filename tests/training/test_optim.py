"""The schedule of appendix D and what decays."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from gato_gym.config import ModelConfig, TrainConfig
from gato_gym.models.gato import Gato
from gato_gym.training.optim import learning_rate, make_optimizer

PAPER = TrainConfig(steps=1_000_000, learning_rate=1e-4)


def test_paper_schedule():
    assert PAPER.warmup_steps == 15_000
    assert learning_rate(PAPER, 0) == 1e-7
    assert learning_rate(PAPER, 7_500) == pytest.approx((1e-7 + 1e-4) / 2)
    assert learning_rate(PAPER, 15_000) == pytest.approx(1e-4, rel=1e-12)
    assert learning_rate(PAPER, 507_500) == pytest.approx(5.5e-5)  # half of the cosine
    assert learning_rate(PAPER, 1_000_000) == pytest.approx(1e-5)
    assert learning_rate(PAPER, 2_000_000) == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("steps", "warmup"), [(1, -1), (1, 0), (10, -1), (100, 0), (100, 100), (7, 3)]
)
def test_rises_then_falls(steps, warmup):
    config = TrainConfig(steps=steps, warmup=warmup, learning_rate=1e-3)
    rates = [learning_rate(config, step) for step in range(steps + 1)]
    top = config.warmup_steps
    assert all(a < b for a, b in pairwise(rates[: top + 1]))
    assert all(a >= b for a, b in pairwise(rates[top:]))
    assert max(rates) == pytest.approx(1e-3)
    assert rates[0] == pytest.approx(1e-7 if top else 1e-3)


def test_matrices_decay_and_the_rest_does_not():
    shape = dict(width=32, layers=1, heads=2, hidden=64, text_size=1024, patch_channels=32)
    model = Gato(ModelConfig("test", **shape))
    optimizer = make_optimizer(model, TrainConfig(weight_decay=0.3))
    decays = {
        parameter: group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert len(decays) == len(list(model.parameters()))
    norms = {
        parameter
        for module in model.modules()
        if isinstance(module, nn.LayerNorm | nn.GroupNorm)
        for parameter in module.parameters()
    }
    for name, parameter in model.named_parameters():
        plain = parameter in norms or name.endswith("bias")
        assert decays[parameter] == (0.0 if plain else 0.3), name


def test_papers_moments():
    optimizer = make_optimizer(nn.Linear(2, 2), TrainConfig())
    for group in optimizer.param_groups:
        assert group["betas"] == (0.9, 0.95) and group["eps"] == 1e-8
    assert isinstance(optimizer, torch.optim.AdamW)


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"batch": 0}, {"log_every": 0}, {"prompt_share": 1.5}, {"learning_rate": 0}],
)
def test_impossible_settings(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainConfig(**wrong)


def test_settings_json_round_trip():
    config = TrainConfig(steps=7, learning_rate=3e-4)
    assert TrainConfig(**config.to_json()) == config
