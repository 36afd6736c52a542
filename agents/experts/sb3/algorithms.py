"""Hyper-parameters -> a Stable-Baselines3 model over its training environments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym

from gato_gym import envs
from gato_gym.agents.experts.features import FEATURES, FeatureEnv
from gato_gym.agents.experts.hyperparameters import Hyperparameters
from gato_gym.errors import MissingExtraError

try:
    import torch
    from sb3_contrib import TQC
    from stable_baselines3 import DQN, PPO, SAC
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import (
        DummyVecEnv,
        SubprocVecEnv,
        VecEnv,
        VecMonitor,
        VecNormalize,
    )
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f'training experts needs {error.name}: pip install "gato-gym[experts]"'
    ) from error

ALGORITHMS: dict[str, Any] = {"PPO": PPO, "SAC": SAC, "TQC": TQC, "DQN": DQN}
ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}


def training_env(task: str, hyperparameters: Hyperparameters) -> gym.Env:
    """One environment as its expert sees it."""
    env = envs.make(task, **hyperparameters.env_kwargs)
    features = FEATURES[hyperparameters.features]()
    return FeatureEnv(env, features, hyperparameters.action_repeat)


def training_envs(task: str, hyperparameters: Hyperparameters) -> VecEnv:
    """All of them; the returns that `VecMonitor` sees are the task's own."""
    functions: list[Callable[[], gym.Env]] = [
        partial(training_env, task, hyperparameters) for _ in range(hyperparameters.num_envs)
    ]
    vec: VecEnv
    if hyperparameters.processes:
        vec = SubprocVecEnv(functions, start_method="forkserver")
    else:
        vec = DummyVecEnv(functions)
    vec = VecMonitor(vec)
    if hyperparameters.normalize == "nothing":
        return vec
    return VecNormalize(
        vec, norm_obs=hyperparameters.normalize == "all", gamma=hyperparameters.gamma
    )


def build(vec_env: VecEnv, hyperparameters: Hyperparameters) -> BaseAlgorithm:
    """The untrained model."""
    rate, final = hyperparameters.learning_rate, hyperparameters.final_rate
    policy_kwargs: dict[str, Any] = {
        "net_arch": list(hyperparameters.hidden),
        "activation_fn": ACTIVATIONS[hyperparameters.activation],
    }
    return ALGORITHMS[hyperparameters.algorithm](
        "MlpPolicy",
        vec_env,
        learning_rate=lambda remaining: rate * max(remaining, final),
        gamma=hyperparameters.gamma,
        policy_kwargs=policy_kwargs,
        seed=hyperparameters.seed,
        device="cpu",  # a small perceptron is faster there
        **hyperparameters.settings,
    )
