"""How far the numbers that a task shows usually are from their means: the unit of their noise.

Measured in random play, so that every agent meets the same noise: in an agent's own play a bad one
would see little change, and so little noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import gymnasium
import numpy as np

from gato_gym import envs
from gato_gym.agents import RandomAgent
from gato_gym.evaluation.rollout import EpisodeResult, rollout
from gato_gym.types import flatten_observation

EPISODES, SEED = 5, 5000


@cache
def spread(task: str) -> Mapping[str, np.ndarray]:
    """Key -> standard deviation of each number over all steps of some episodes of random play.

    Numbers that never change there have 0. The same in every process.

    Args:
        task: its id.

    Raises:
        UnknownTaskError, MissingExtraError: see `gato_gym.envs.make`.
    """
    env = envs.make(task)
    try:
        keys = [leaf.key for leaf in envs.task_spec(env).observations if leaf.kind == "continuous"]
        seen = _Seen(keys)
        rollout(env, RandomAgent(SEED), episodes=EPISODES, seed=SEED, observers=[seen])
    finally:
        env.close()
    return {key: np.std(np.stack(values), axis=0) for key, values in seen.values.items()}


class _Seen:
    """Keeps all numbers under some keys."""

    def __init__(self, keys: list[str]) -> None:
        self.values: dict[str, list[np.ndarray]] = {key: [] for key in keys}

    def on_reset(self, env: gymnasium.Env, obs: Any, info: dict[str, Any], seed: int) -> None:
        self._keep(obs)

    def on_step(
        self,
        env: gymnasium.Env,
        action: Any,
        obs: Any,
        reward: float,
        terminated: bool,
        truncated: bool,
        info: dict[str, Any],
    ) -> None:
        self._keep(obs)

    def on_episode_end(self, result: EpisodeResult) -> None:
        pass

    def _keep(self, obs: Any) -> None:
        flat = flatten_observation(obs)
        for key, values in self.values.items():
            values.append(np.array(flat[key], np.float64))
