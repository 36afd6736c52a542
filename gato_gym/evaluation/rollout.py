"""The one loop that plays episodes: collection, evaluation and video all go through it.

`gato_gym.evaluation.batched` plays many of the same episodes at once.
"""

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
    """Watches episodes without touching them: a recorder, a video writer, a progress bar.

    Episodes come one after the other, unless the observer has a true attribute `interleaves` (see
    `gato_gym.evaluation.batched`).
    """

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
    return [_play(env, agent, seed + i, observers, deterministic) for i in range(episodes)]


def _play(
    env: gymnasium.Env, agent: Agent, seed: int, observers: Sequence[Observer], deterministic: bool
) -> EpisodeResult:
    began = time.perf_counter()
    agent.reset(env)
    playing, result = Playing(env, seed, observers, began), None
    while result is None:
        result = playing.step(agent.act(playing.obs, deterministic=deterministic))
    return result


class Playing:
    """An episode while it is played: executes actions, counts, and tells the observers.

    Args:
        env: is reset.
        seed: with which.
        observers: watch.
        began: when the episode's time began, by `time.perf_counter`; None is now.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        seed: int,
        observers: Sequence[Observer] = (),
        began: float | None = None,
    ) -> None:
        self.env, self.seed, self._observers = env, seed, observers
        self._began = time.perf_counter() if began is None else began
        self._return, self._length = 0.0, 0
        self.obs: Any
        """What the next action is for."""
        self.obs, info = env.reset(seed=seed)
        for observer in observers:
            observer.on_reset(env, self.obs, info, seed)

    def step(self, action: Any) -> EpisodeResult | None:
        """Execute an action; the result once the episode is over."""
        env = self.env
        self.obs, reward, terminated, truncated, info = env.step(action)
        for observer in self._observers:
            observer.on_step(env, action, self.obs, float(reward), terminated, truncated, info)
        self._return += float(reward)
        self._length += 1
        if not (terminated or truncated):
            return None
        result = EpisodeResult(
            seed=self.seed,
            episode_return=self._return,
            length=self._length,
            success=bool(info["success"]) if "success" in info else None,
            terminated=bool(terminated),
            seconds=time.perf_counter() - self._began,
        )
        for observer in self._observers:
            observer.on_episode_end(result)
        return result
