"""The one loop that plays episodes: collection, evaluation and video all go through it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import gymnasium

if TYPE_CHECKING:
    from gato_gym.agents import Agent


@dataclass(frozen=True)
class EpisodeResult:
    """How one episode went. `success` is the task's own signal at the last step, if it has one."""

    seed: int
    episode_return: float
    length: int
    success: bool | None
    terminated: bool
    seconds: float


class Observer(Protocol):
    """Watches episodes without touching them: a recorder, a video writer, a progress bar."""

    def on_reset(self, env: gymnasium.Env, obs: Any, info: dict[str, Any], seed: int) -> None:
        """An episode begins."""

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
        """`action` was executed and led to `obs`."""

    def on_episode_end(self, result: EpisodeResult) -> None:
        """The episode is over."""


def rollout(
    env: gymnasium.Env,
    agent: Agent,
    *,
    episodes: int,
    seed: int,
    observers: Sequence[Observer] = (),
    deterministic: bool = True,
) -> list[EpisodeResult]:
    """Play episodes; episode i starts from `env.reset(seed=seed + i)`.

    The agent is reset before the environment of every episode.
    """
    results = []
    for episode_seed in range(seed, seed + episodes):
        result = _play(env, agent, episode_seed, observers, deterministic)
        results.append(result)
        for observer in observers:
            observer.on_episode_end(result)
    return results


def _play(
    env: gymnasium.Env, agent: Agent, seed: int, observers: Sequence[Observer], deterministic: bool
) -> EpisodeResult:
    begin = time.perf_counter()
    agent.reset(env)
    obs, info = env.reset(seed=seed)
    for observer in observers:
        observer.on_reset(env, obs, info, seed)
    episode_return, length = 0.0, 0
    terminated = truncated = False
    while not (terminated or truncated):
        action = agent.act(obs, deterministic=deterministic)
        obs, reward, terminated, truncated, info = env.step(action)
        for observer in observers:
            observer.on_step(env, action, obs, float(reward), terminated, truncated, info)
        episode_return += float(reward)
        length += 1
    return EpisodeResult(
        seed=seed,
        episode_return=episode_return,
        length=length,
        success=bool(info["success"]) if "success" in info else None,
        terminated=bool(terminated),
        seconds=time.perf_counter() - begin,
    )
