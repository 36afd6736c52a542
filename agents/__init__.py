"""Things that act. Light: environment workers import this, so torch stays out."""

from __future__ import annotations

import copy
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np

__all__ = ["Agent", "RandomAgent"]


@runtime_checkable
class Agent(Protocol):
    """What collection, evaluation and video need of an expert, a random player or Gato."""

    def reset(self, env: gym.Env) -> None:
        """Prepare for an episode of `env`; called before each `env.reset`.

        Experts may keep `env` to read privileged state through `env.unwrapped`.
        """
        ...

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """An element of `env.action_space` for the current observation."""
        ...


class RandomAgent:
    """Uniform over the action space; the zero of the normalised scores.

    Args:
        seed: two agents with the same seed play the same; None draws one from the system.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._rng = np.random.default_rng(seed)
        self._space: gym.Space | None = None

    def reset(self, env: gym.Env) -> None:
        """Take over the action space; its own generator is left alone."""
        self._space = copy.deepcopy(env.action_space)
        self._space.seed(int(self._rng.integers(2**31)))

    def skip(self, episodes: int) -> None:
        """Forget as many episodes: the next one is as if they had been played."""
        for _ in range(episodes):
            self._rng.integers(2**31)

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """A uniform action, whatever `deterministic` says."""
        if self._space is None:
            raise RuntimeError("call agent.reset(env) before agent.act(obs)")
        return self._space.sample()
