"""AdamW and the learning-rate schedule of the paper (appendix D)."""

from __future__ import annotations

import math

import torch

from gato_gym.config import TrainConfig

BETAS = (0.9, 0.95)
EPSILON = 1e-8
START_RATE = 1e-7
FINAL_SHARE = 0.1


def learning_rate(config: TrainConfig, step: int) -> float:
    """Rate of step `step` (from 0): linear from 1e-7 to the peak, then cosine to a tenth of it."""
    peak, warmup = config.learning_rate, config.warmup_steps
    if step < warmup:
        return START_RATE + (peak - START_RATE) * step / warmup
    progress = min(1.0, (step - warmup) / max(1, config.steps - warmup))
    floor = peak * FINAL_SHARE
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def make_optimizer(model: torch.nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Fused AdamW; weight decay on matrices and tables, not on norms and biases."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=START_RATE, betas=BETAS, eps=EPSILON, fused=True)
