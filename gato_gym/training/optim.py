"""Learning rates and optimisers: the paper's (appendix D) and those that docs/recipes.md compares.

The trainer sets every group's "lr" to `learning_rate(config, step)` before a step. All state is
tensors, by parameter: `optimizer.state[parameter]`.
"""

from __future__ import annotations

import math

import torch

from gato_gym.config import TrainConfig
from gato_gym.training.muon import MuonWithAdamW

BETAS = (0.9, 0.95)
EPSILON = 1e-8
START_RATE = 1e-7
FINAL_SHARE = 0.1
DECAY_SHARE = 0.2
"""Share of the steps in which the rate of the schedule `wsd` falls."""

# Table 6; for batches of 512 x 1024 tokens.
PAPER_RATES = {"1.2b": 1e-4, "364m": 2e-4, "79m": 1e-4}
SMALL_RATE = 1e-3

# Two matrices stacked along the rows: keys and values, gates and what they gate.
STACKED = ("key_value.weight", "up.weight")


def default_rate(size: str) -> float:
    """Peak learning rate of a model size: the paper's for its three, 1e-3 for smaller ones."""
    return PAPER_RATES.get(size, SMALL_RATE)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Rate of step `step` (from 0): linear from 1e-7 to the peak, then by `config.schedule`.

    cosine    to a tenth of the peak at `config.steps`
    wsd       the peak; over the last fifth of the steps to 0, as 1 - sqrt(share of the fifth)
              (Haegele et al., 2024, https://arxiv.org/abs/2405.18392)
    constant  the peak
    """
    peak, warmup, steps = config.learning_rate, config.warmup_steps, config.steps
    if step < warmup:
        return START_RATE + (peak - START_RATE) * step / warmup
    if config.schedule == "constant":
        return peak
    if config.schedule == "wsd":
        decay = max(1, min(round(DECAY_SHARE * steps), steps - warmup))
        progress = (step - (steps - decay)) / decay
        return peak * (1 - math.sqrt(min(1.0, max(0.0, progress))))
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    floor = peak * FINAL_SHARE
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def make_optimizer(model: torch.nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, or Muon for the matrices of the blocks with AdamW for the rest.

    Weight decay on matrices and tables, not on norms and biases. What needs no gradient is not
    in it.

    Raises:
        ValueError: nothing to train; or no matrix for Muon.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise ValueError("no parameter needs a gradient, so there is nothing to train")
    matrices: dict[str, torch.nn.Parameter] = {}
    if config.optimizer == "muon":
        matrices = {n: p for n, p in trained.items() if p.ndim == 2 and "blocks" in n.split(".")}
        if not matrices:
            raise ValueError("optimizer muon needs matrices in the model's blocks: use adamw")
    others = [p for name, p in trained.items() if name not in matrices]
    groups = [
        {"params": [p for p in others if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    adamw = (
        torch.optim.AdamW(groups, lr=START_RATE, betas=BETAS, eps=EPSILON, fused=True)
        if groups
        else None
    )
    if not matrices:
        assert adamw is not None
        return adamw
    stacks: dict[int, list[torch.nn.Parameter]] = {}
    for name, parameter in matrices.items():
        stacks.setdefault(2 if name.endswith(STACKED) else 1, []).append(parameter)
    return MuonWithAdamW(
        (
            {"params": parameters, "parts": parts, "weight_decay": config.weight_decay}
            for parts, parameters in sorted(stacks.items())
        ),
        adamw,
        lr=START_RATE,
        half={"auto": None, "bfloat16": True, "float32": False}[config.arithmetic],
    )
