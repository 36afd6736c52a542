"""The schedules, what decays, and which optimiser has what."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from gato_gym.config import MODELS, PAPER_PARAMETERS, SCHEDULES, ModelConfig, TrainConfig
from gato_gym.models.gato import Gato
from gato_gym.training.muon import MuonWithAdamW
from gato_gym.training.optim import default_rate, learning_rate, make_optimizer

PAPER = TrainConfig(steps=1_000_000, learning_rate=1e-4)
SHAPE = dict(width=32, layers=2, heads=2, hidden=64, text_size=1024, patch_channels=32)


def test_paper_schedule():
    assert PAPER.warmup_steps == 15_000
    assert learning_rate(PAPER, 0) == 1e-7
    assert learning_rate(PAPER, 7_500) == pytest.approx((1e-7 + 1e-4) / 2)
    assert learning_rate(PAPER, 15_000) == pytest.approx(1e-4, rel=1e-12)
    assert learning_rate(PAPER, 507_500) == pytest.approx(5.5e-5)  # half of the cosine
    assert learning_rate(PAPER, 1_000_000) == pytest.approx(1e-5)
    assert learning_rate(PAPER, 2_000_000) == pytest.approx(1e-5)


def test_wsd_stays_at_the_peak_then_falls_to_zero():
    config = TrainConfig(steps=1000, warmup=10, learning_rate=2e-3, schedule="wsd")
    assert [learning_rate(config, step) for step in (10, 400, 800)] == [2e-3] * 3
    assert learning_rate(config, 850) == pytest.approx(1e-3)  # 1 - sqrt(50 / 200)
    assert 0 < learning_rate(config, 999) < 1e-5
    assert learning_rate(config, 1000) == learning_rate(config, 2000) == 0


def test_constant_stays():
    config = TrainConfig(steps=100, warmup=10, learning_rate=2e-3, schedule="constant")
    assert {learning_rate(config, step) for step in range(10, 200)} == {2e-3}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("steps", "warmup"), [(1, -1), (1, 0), (10, -1), (100, 0), (100, 100), (100, 90), (7, 3)]
)
def test_rises_then_falls(schedule, steps, warmup):
    config = TrainConfig(steps=steps, warmup=warmup, learning_rate=1e-3, schedule=schedule)
    rates = [learning_rate(config, step) for step in range(steps)]
    top = config.warmup_steps
    assert all(a < b for a, b in pairwise(rates[: top + 1]))
    assert all(a >= b for a, b in pairwise(rates[top:]))
    assert rates[0] == pytest.approx(1e-7 if top else 1e-3)
    assert min(rates) > 0
    if top < steps:
        assert rates[top] == pytest.approx(1e-3)


def test_rates_of_the_papers_sizes():
    assert {size: default_rate(size) for size in PAPER_PARAMETERS} == {
        "1.2b": 1e-4,
        "364m": 2e-4,
        "79m": 1e-4,
    }
    assert {default_rate(size) for size in MODELS.keys() - PAPER_PARAMETERS.keys()} == {1e-3}


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_matrices_decay_and_the_rest_does_not(name):
    model = Gato(ModelConfig("test", **SHAPE))
    optimizer = make_optimizer(model, TrainConfig(weight_decay=0.3, optimizer=name))
    listed = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(listed) == len(set(listed)) == len(list(model.parameters()))
    decays = {
        parameter: group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    norms = {
        parameter
        for module in model.modules()
        if isinstance(module, nn.LayerNorm | nn.GroupNorm)
        for parameter in module.parameters()
    }
    for name, parameter in model.named_parameters():
        plain = parameter in norms or name.endswith("bias")
        assert decays[parameter] == (0.0 if plain else 0.3), name


def test_muon_has_the_matrices_of_the_blocks():
    model = Gato(ModelConfig("test", **SHAPE))
    optimizer = make_optimizer(model, TrainConfig(optimizer="muon"))
    assert isinstance(optimizer, MuonWithAdamW)
    parts = {
        parameter: group["parts"]
        for group in optimizer.param_groups
        if "parts" in group
        for parameter in group["params"]
    }
    expected = {}
    for block in model.blocks:
        expected |= {linear.weight: 1 for linear in (block.query, block.out, block.down)}
        expected |= {linear.weight: 2 for linear in (block.key_value, block.up)}
    assert parts == expected


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_what_is_frozen_is_not_in_it(name):
    model = Gato(ModelConfig("test", **SHAPE)).requires_grad_(False)
    with pytest.raises(ValueError, match="nothing to train"):
        make_optimizer(model, TrainConfig(optimizer=name))
    chosen = model.blocks[1].up.weight.requires_grad_(True)
    optimizer = make_optimizer(model, TrainConfig(optimizer=name))
    assert [p for group in optimizer.param_groups for p in group["params"]] == [chosen]
    before = chosen.detach().clone()
    chosen.grad = torch.ones_like(chosen)
    optimizer.step()
    assert not torch.equal(chosen, before)


def test_muon_needs_a_matrix():
    with pytest.raises(ValueError, match="use adamw"):
        make_optimizer(nn.Linear(2, 2), TrainConfig(optimizer="muon"))


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
