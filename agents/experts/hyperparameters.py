"""How each learned expert is trained, keyed by task id. Tests hold the keys to the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Hyperparameters:
    """PPO (Stable-Baselines3's names where it has one).

    learning_rate falls linearly to `final_rate` times itself; `clip_range` stays.
    features: key of `gato_gym.agents.experts.features.FEATURES`.
    processes: one process per environment; pays where a step is slow.
    env_kwargs: of the training environment only; the expert acts in the standard one.
    """

    total_steps: int
    features: str = "observation"
    num_envs: int = 8
    n_steps: int = 256
    batch_size: int = 512
    n_epochs: int = 4
    learning_rate: float = 3e-4
    final_rate: float = 0.0
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    ent_coef: float = 0.0
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    seed: int = 1
    processes: bool = False
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict, for the expert's card."""
        return {**vars(self), "hidden": list(self.hidden), "env_kwargs": dict(self.env_kwargs)}


HYPERPARAMETERS: dict[str, Hyperparameters] = {
    # Short rollouts and many epochs: few samples are needed, steps are cheap.
    "CartPole-v1": Hyperparameters(
        total_steps=100_000,
        n_steps=32,
        batch_size=256,
        n_epochs=20,
        learning_rate=1e-3,
        gamma=0.98,
        gae_lambda=0.8,
    ),
    # From RAM, at a return of 80 after 10 minutes on two cores; from pixels at 4 after 45.
    "ALE/Boxing-v5": Hyperparameters(
        total_steps=4_000_000,
        features="boxing_ram",
        learning_rate=5e-4,
        final_rate=0.05,
        ent_coef=0.01,
        hidden=(256, 256),
        processes=True,
        env_kwargs={"obs_type": "ram"},
    ),
}
