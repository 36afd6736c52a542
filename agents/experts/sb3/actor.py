"""The actor of a Stable-Baselines3 policy as the tensors that `policy.MLPPolicy` runs."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from sb3_contrib.tqc.policies import Actor as TQCActor
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import Actor as SACActor

from gato_gym.agents.experts.sb3.algorithms import ACTIVATIONS

Tensors = dict[str, np.ndarray]


def actor_tensors(policy: torch.nn.Module) -> tuple[Tensors, dict[str, Any]]:
    """The actor's tensors, and {"sizes", "activation", "squash"} of its network.

    Raises:
        ValueError: the network is no multi-layer perceptron over a vector of floats.
    """
    layers, head, spread, squash = _parts(policy)
    names = {module: name for name, module in ACTIVATIONS.items()}
    tensors: Tensors = {}
    used = set()
    for module in layers:
        if isinstance(module, torch.nn.Linear):
            tensors |= _linear(f"hidden.{len(tensors) // 2}", module)
        else:
            used.add(names.get(type(module), type(module).__name__))
    activation = used.pop() if used else "tanh"
    if used or activation not in ACTIVATIONS:
        raise ValueError(
            f"cannot export activations {[activation, *used]}: one of {[*ACTIVATIONS]}"
        )
    tensors |= _linear("head", head)
    weights = [value for name, value in tensors.items() if name.endswith(".weight")]
    sizes = [weights[0].shape[1], *(weight.shape[0] for weight in weights)]
    if isinstance(spread, torch.nn.Linear):
        tensors |= _linear("log_std", spread)
    elif spread is not None:
        tensors["log_std"] = _numbers(spread)
    return tensors, {"sizes": sizes, "activation": activation, "squash": squash}


def _parts(policy: Any) -> tuple[list[Any], Any, Any, bool]:
    """(hidden layers and activations, last layer, where the spread comes from, squashed?)."""
    if not isinstance(policy.observation_space, gym.spaces.Box):
        raise ValueError("cannot export: observations must be a Box")
    if isinstance(policy, ActorCriticPolicy):
        continuous = isinstance(policy.action_space, gym.spaces.Box)
        _check_flat(policy, policy.pi_features_extractor)
        if policy.squash_output or policy.use_sde:
            raise ValueError("cannot export PPO with gSDE or squashed outputs")
        spread = policy.log_std if continuous else None
        return list(policy.mlp_extractor.policy_net), policy.action_net, spread, False
    actor = getattr(policy, "actor", None)
    if isinstance(actor, SACActor | TQCActor):
        _check_flat(policy, actor.features_extractor)
        if actor.use_sde:
            raise ValueError("cannot export SAC or TQC with gSDE")
        return list(actor.latent_pi), actor.mu, actor.log_std, True
    if isinstance(policy, DQNPolicy):
        _check_flat(policy, policy.q_net.features_extractor)
        *layers, head = policy.q_net.q_net
        return layers, head, None, False
    raise ValueError(f"cannot export {type(policy).__name__}: one of PPO, A2C, SAC, TQC, DQN")


def _check_flat(policy: Any, extractor: Any) -> None:
    if not isinstance(extractor, FlattenExtractor):
        raise ValueError(f"cannot export {type(policy).__name__}: only MlpPolicy")


def fold_normalisation(tensors: Tensors, mean: np.ndarray, deviation: np.ndarray) -> Tensors:
    """The same network over features that are not standardised: the first layer does it."""
    name = "hidden.0" if "hidden.0.weight" in tensors else "head"
    weight = tensors[f"{name}.weight"].astype(np.float64) / deviation
    bias = tensors[f"{name}.bias"] - weight @ mean
    folded = {f"{name}.weight": weight.astype(np.float32), f"{name}.bias": bias.astype(np.float32)}
    return tensors | folded


def _linear(name: str, module: Any) -> Tensors:
    return {f"{name}.weight": _numbers(module.weight), f"{name}.bias": _numbers(module.bias)}


def _numbers(tensor: Any) -> np.ndarray:
    return tensor.detach().numpy().copy()
