"""How each learned expert is trained, keyed by task id. Tests hold the keys to the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gato_gym.envs.families import family_of

Algorithm = Literal["PPO", "SAC", "TQC", "DQN"]


@dataclass(frozen=True)
class Hyperparameters:
    """One training run, with Stable-Baselines3's names where it has one.

    algorithm: PPO, SAC and DQN of Stable-Baselines3, TQC of sb3-contrib.
    features: key of `gato_gym.agents.experts.features.FEATURES`.
    action_repeat: steps for which a training environment holds each action: exploration reaches
        further, and a discounted future lasts longer. `total_steps` counts decisions. The expert
        decides at every step.
    normalize: divide rewards by the running deviation of the return, and ("all") standardise the
        features too; the statistics of the features become part of the exported network.
    learning_rate: falls linearly to `final_rate` times itself.
    hidden, activation: of the actor's perceptron (and of the critic's).
    settings: what only this algorithm takes.
    processes: one process per environment; pays where a step is slow.
    env_kwargs: of the training environment only; the expert acts in the standard one.
    """

    total_steps: int
    algorithm: Algorithm = "PPO"
    features: str = "observation"
    num_envs: int = 8
    action_repeat: int = 1
    normalize: Literal["nothing", "rewards", "all"] = "nothing"
    learning_rate: float = 3e-4
    final_rate: float = 0.0
    gamma: float = 0.99
    hidden: tuple[int, ...] = (64, 64)
    activation: Literal["tanh", "relu"] = "tanh"
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 1
    processes: bool = False
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict, for the expert's card."""
        mappings = {name: dict(getattr(self, name)) for name in ("settings", "env_kwargs")}
        return {**vars(self), "hidden": list(self.hidden), **mappings}


# Long rollouts of many copies: locomotion, and whatever else has a dense reward. One recipe for all
# of it, as in the PPO paper's MuJoCo experiments, with the usual standardisation.
LOCOMOTION = Hyperparameters(
    total_steps=3_000_000,
    num_envs=16,
    normalize="all",
    settings={"n_steps": 256, "batch_size": 256, "n_epochs": 10, "gae_lambda": 0.95},
)
# Its features work on the variants with pixels and random dynamics too, which it also plays.
DM_CONTROL = replace(LOCOMOTION, features="dm_control_state")
# From the console's memory: a hundredth of the arithmetic that pixels need.
RAM = Hyperparameters(
    total_steps=2_000_000,
    features="ram",
    num_envs=16,
    normalize="rewards",
    learning_rate=5e-4,
    final_rate=0.05,
    hidden=(256, 256),
    settings={"n_steps": 128, "batch_size": 512, "n_epochs": 4, "ent_coef": 0.01},
    env_kwargs={"obs_type": "ram"},
)
# Slow simulators, goals, sparse rewards: few samples, much arithmetic for each.
OFF_POLICY = Hyperparameters(
    total_steps=300_000,
    algorithm="TQC",
    num_envs=1,
    learning_rate=3e-4,
    final_rate=0.1,
    hidden=(256, 256),
    activation="relu",
    settings={"batch_size": 256, "learning_starts": 5000, "top_quantiles_to_drop_per_net": 2},
)

# Family of tasks -> the recipe for those that have none of their own below.
FAMILY_HYPERPARAMETERS: dict[str, Hyperparameters] = {
    "ale": RAM,
    "dm_control": DM_CONTROL,
    "dm_control_manipulation": OFF_POLICY,
    "mujoco": LOCOMOTION,
    "robotics": OFF_POLICY,
}

HYPERPARAMETERS: dict[str, Hyperparameters] = {
    # Short rollouts and many epochs: few samples are needed, steps are cheap.
    "CartPole-v1": Hyperparameters(
        total_steps=100_000,
        learning_rate=1e-3,
        gamma=0.98,
        settings={"n_steps": 32, "batch_size": 256, "n_epochs": 20, "gae_lambda": 0.8},
    ),
    "Acrobot-v1": Hyperparameters(
        total_steps=500_000,
        num_envs=16,
        normalize="all",
        learning_rate=1e-3,
        settings={"n_steps": 256, "batch_size": 256, "n_epochs": 4, "gae_lambda": 0.94},
    ),
    # Every step costs the same until the first success, which only a long random walk finds.
    "MountainCar-v0": Hyperparameters(
        total_steps=1_500_000,
        num_envs=16,
        normalize="all",
        learning_rate=1e-3,
        settings={"n_steps": 16, "batch_size": 64, "n_epochs": 4, "gae_lambda": 0.98},
    ),
    "Pendulum-v1": Hyperparameters(
        total_steps=400_000,
        num_envs=8,
        normalize="all",
        learning_rate=1e-3,
        gamma=0.9,
        settings={"n_steps": 256, "batch_size": 256, "n_epochs": 10, "gae_lambda": 0.95},
    ),
    "LunarLander-v3": Hyperparameters(
        total_steps=2_000_000,
        num_envs=16,
        gamma=0.999,
        learning_rate=5e-4,
        settings={
            "n_steps": 512,
            "batch_size": 128,
            "n_epochs": 4,
            "gae_lambda": 0.98,
            "ent_coef": 0.01,
        },
    ),
    "BipedalWalker-v3": replace(
        LOCOMOTION,
        total_steps=5_000_000,
        num_envs=32,
        gamma=0.999,
        settings={"n_steps": 256, "batch_size": 256, "n_epochs": 10, "clip_range": 0.18},
    ),
    # PPO with the recipe of locomotion settles for far less.
    "HalfCheetah-v5": Hyperparameters(
        total_steps=500_000,
        algorithm="SAC",
        num_envs=4,
        learning_rate=7e-4,
        final_rate=0.1,
        gamma=0.98,
        hidden=(256, 256),
        activation="relu",
        settings={"batch_size": 256, "learning_starts": 10_000, "gradient_steps": 1, "tau": 0.02},
    ),
    # A stroke pays only several strokes later.
    "Swimmer-v5": replace(
        LOCOMOTION,
        total_steps=1_200_000,
        num_envs=4,
        gamma=0.9999,
        learning_rate=6e-4,
        settings={"n_steps": 1024, "batch_size": 256, "n_epochs": 10, "gae_lambda": 0.98},
    ),
    "Reacher-v5": replace(LOCOMOTION, total_steps=1_000_000, gamma=0.9),
    "InvertedPendulum-v5": replace(LOCOMOTION, total_steps=500_000),
    "InvertedDoublePendulum-v5": replace(LOCOMOTION, total_steps=1_000_000),
    "dm_control/cartpole-balance-v0": replace(DM_CONTROL, total_steps=500_000),
    "dm_control/cartpole-swingup-v0": replace(DM_CONTROL, total_steps=1_000_000),
    "ALE/Breakout-v5": replace(RAM, features="breakout_ram"),
    "ALE/Pong-v5": replace(RAM, features="pong_ram"),
    "dm_control/cheetah-run-v0": replace(DM_CONTROL, total_steps=1_500_000, action_repeat=4),
    "dm_control/finger-spin-v0": replace(DM_CONTROL, total_steps=800_000, action_repeat=2),
    # Nothing is paid below the top, which hardly any exploration finds.
    "dm_control/pendulum-swingup-v0": replace(DM_CONTROL, total_steps=4_000_000),
    "dm_control/reacher-easy-v0": replace(DM_CONTROL, total_steps=800_000, action_repeat=4),
    "dm_control/walker-walk-v0": replace(DM_CONTROL, total_steps=1_000_000, action_repeat=2),
    # From RAM, at a return of 80 after 10 minutes on two cores; from pixels at 4 after 45.
    "ALE/Boxing-v5": replace(
        RAM,
        total_steps=4_000_000,
        features="boxing_ram",
        num_envs=8,
        normalize="nothing",
        processes=True,
        settings={"n_steps": 256, "batch_size": 512, "n_epochs": 4, "ent_coef": 0.01},
    ),
}


def hyperparameters_for(task: str) -> Hyperparameters | None:
    """The settings of a task: its own, else those of its family, else None."""
    own = HYPERPARAMETERS.get(task)
    if own is not None:
        return own
    family = family_of(task)
    return None if family is None else FAMILY_HYPERPARAMETERS.get(family.name)
