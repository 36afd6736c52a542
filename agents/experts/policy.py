"""A learned expert at play: a multi-layer perceptron from safetensors + JSON, run in numpy.

Neither torch nor pickle. A folder holds
    policy.safetensors  "hidden.<i>.weight" (out, in), "hidden.<i>.bias", the same of "head". Where
                        actions are continuous, their spread: "log_std" (n,), or "log_std.weight"
                        and "log_std.bias", which make it of the last hidden layer
    policy.json         "task", "features", "network", "sha256" of the tensors; how it was made
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from gato_gym.agents.experts.features import FEATURES, Features
from gato_gym.agents.experts.unsuitable import unsuitable
from gato_gym.envs.families.dm_control import state_task
from gato_gym.errors import CorruptCheckpointError

TENSORS, CARD = "policy.safetensors", "policy.json"
LOG_STD_RANGE = (-20.0, 2.0)  # as in Stable-Baselines3

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
}


class MLPPolicy:
    """Features -> action; the mean or most likely one, or a sample.

    Args:
        tensors: see the module's docstring.
        activation: key of `ACTIVATIONS`.
        n: sizes of the discrete action numbers; empty for continuous actions in [-1, 1].
        squash: continuous actions are the tanh of the output, as in SAC; else cut at -1 and 1.
    """

    def __init__(
        self,
        tensors: Mapping[str, np.ndarray],
        activation: str,
        n: tuple[int, ...],
        squash: bool = False,
    ) -> None:
        depth = sum(name.startswith("hidden.") for name in tensors) // 2
        self._layers = [
            (tensors[f"hidden.{i}.weight"], tensors[f"hidden.{i}.bias"]) for i in range(depth)
        ]
        self._head = tensors["head.weight"], tensors["head.bias"]
        self._log_std = tensors.get("log_std")
        self._spread = tensors.get("log_std.weight"), tensors.get("log_std.bias")
        self._activation = ACTIVATIONS[activation]
        self._n, self._squash = n, squash
        if not n and self._log_std is None and self._spread[0] is None:
            raise ValueError("a policy of continuous actions needs log_std")

    def output(self, features: np.ndarray) -> np.ndarray:
        """(..., F) features -> (..., O): logits one after another, or the mean action."""
        weight, bias = self._head
        return self._hidden(features) @ weight.T + bias

    def _hidden(self, features: np.ndarray) -> np.ndarray:
        hidden = features
        for weight, bias in self._layers:
            hidden = self._activation(hidden @ weight.T + bias)
        return hidden

    def _deviation(self, features: np.ndarray) -> np.ndarray:
        weight, bias = self._spread
        if weight is None or bias is None:
            assert self._log_std is not None
            return np.exp(self._log_std)
        return np.exp(np.clip(self._hidden(features) @ weight.T + bias, *LOG_STD_RANGE))

    def action(self, features: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """(..., F) features -> (..., A) actions; samples if given `rng`, else takes the best."""
        output = self.output(features)
        if not self._n:
            if rng is not None:
                output = output + self._deviation(features) * rng.standard_normal(output.shape)
            bounded = np.tanh(output) if self._squash else np.clip(output, -1.0, 1.0)
            return bounded.astype(np.float32)
        logits = np.split(output, np.cumsum(self._n)[:-1], axis=-1)
        if rng is not None:  # Gumbel-max samples from the softmax without computing it
            logits = [part + rng.gumbel(size=part.shape) for part in logits]
        return np.stack([part.argmax(axis=-1) for part in logits], axis=-1)


class PolicyExpert:
    """An `Agent` that plays an exported policy.

    Args:
        policy: the network.
        features: key of `FEATURES`, what the network sees.
        card: the contents of policy.json.
        seed: of the samples drawn with `deterministic=False`.
    """

    def __init__(
        self, policy: MLPPolicy, features: str, card: Mapping[str, Any], seed: int | None = None
    ) -> None:
        self.policy, self.card = policy, card
        self._features: Features = FEATURES[features]()
        self._rng = np.random.default_rng(seed)
        self._space: gym.Space | None = None

    @classmethod
    def load(cls, folder: Path) -> PolicyExpert:
        """Read a folder.

        Raises:
            CorruptCheckpointError: a file is missing or not the one that was written.
        """
        try:
            data = (folder / TENSORS).read_bytes()
            card = json.loads((folder / CARD).read_text(encoding="utf-8"))
            if hashlib.sha256(data).hexdigest() != card["sha256"]:
                raise CorruptCheckpointError(
                    f"{folder / TENSORS}: bytes differ from {CARD}'s sha256"
                )
            network = card["network"]
            policy = MLPPolicy(
                load(data), network["activation"], tuple(network["n"]), network.get("squash", False)
            )
            if not isinstance(card["task"], str):
                raise ValueError(f"task {card['task']!r} is not a string")
            return cls(policy, card["features"], card)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            if isinstance(error, CorruptCheckpointError):
                raise
            raise CorruptCheckpointError(
                f"{folder} is no exported policy ({type(error).__name__}: {error}); export it again"
            ) from error

    def reset(self, env: gym.Env) -> None:
        """Begin an episode of `env`.

        Raises:
            UnknownTaskError: it is another task than the policy's.
        """
        task = self.card["task"]
        if env.spec is not None and task not in (env.spec.id, state_task(env.spec.id)):
            raise unsuitable("this learned expert", task, env)
        self._features.reset(env)
        self._space = env.action_space

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """The expert's action; to be called at every step, also where another one is executed."""
        if self._space is None:
            raise RuntimeError("call agent.reset(env) before agent.act(obs)")
        rng = None if deterministic else self._rng
        action = self.policy.action(self._features(obs), rng)
        if isinstance(self._space, gym.spaces.Discrete):
            return np.int64(action[0])
        return action.reshape(self._space.shape).astype(self._space.dtype)
