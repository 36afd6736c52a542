"""Many episodes at once: the agent decides for all running environments in one call.

An episode is a function of the agent, the task and the seed, so each is the one that `rollout`
plays alone: a copy of a task takes the next seed as soon as its episode ends, and waits when none
is left. A product of matrices with more rows may round differently in the last digits, which would
have to meet a tie between two actions to change one.

Sampled actions (`deterministic=False`) come from one generator for all rows, so there the number of
environments decides which episodes are played, not only how fast.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import gymnasium
import numpy as np

from gato_gym.evaluation.rollout import EpisodeResult, Observer, Playing

if TYPE_CHECKING:
    from gato_gym.agents import Agent

TOGETHER = 8
"""Episodes at once where nobody asks for another number; docs/evaluating.md has the speeds."""


@runtime_checkable
class BatchAgent(Protocol):
    """What playing in batches needs of an agent, see `GatoAgent`."""

    def reset(self, env_or_task: Any) -> None:
        """Row i of a batch plays environment i of a list."""
        ...

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[Any, Any]:
        """Actions of B rows, and the state for the next call.

        Args:
            observation: B observations, None of a row that waits.
            state: what the last call returned; None starts all episodes.
            episode_start: (B,) bool, rows that have just been reset.
            deterministic: the most likely action; else a sampled one.
        """
        ...


def check_batches(agent: Agent, observers: Sequence[Observer] = ()) -> None:
    """Raise TypeError unless an agent decides for several environments at once, and observers
    tell interleaving episodes apart."""
    if not isinstance(agent, BatchAgent):
        raise TypeError(
            f"{type(agent).__name__} has no predict(observations, state, episode_start), so it "
            "plays one episode after the other: num_envs=1"
        )
    for observer in observers:
        if not getattr(observer, "interleaves", False):
            raise TypeError(
                f"{type(observer).__name__} watches one episode at a time: wrap it in "
                "PerEpisode, or play with num_envs=1"
            )


def batched_rollout(
    copies: Sequence[gymnasium.Env],
    agent: Agent,
    *,
    episodes: int,
    seed: int,
    observers: Sequence[Observer] = (),
    deterministic: bool = True,
    stop: Callable[[], bool] = lambda: False,
) -> list[EpisodeResult]:
    """Play the episodes of `rollout(env, agent, episodes=episodes, seed=seed)`, many at once.

    Args:
        copies: of one task's environment, as many as shall play at once.
        agent: a `BatchAgent`.
        episodes: how many; episode i starts from `reset(seed=seed + i)` of some copy.
        seed: the first one.
        observers: see `mixed_rollout`.
        deterministic: passed to `agent.predict`.
        stop: asked before every step; once it is true, running episodes are given up.

    Returns:
        Results in order of the seeds; of stopped play those that ended.
    """
    (results,) = mixed_rollout(
        [(copies, range(seed, seed + episodes))],
        agent,
        observers=observers,
        deterministic=deterministic,
        stop=stop,
    )
    return results


def mixed_rollout(
    casts: Sequence[tuple[Sequence[gymnasium.Env], Sequence[int]]],
    agent: Agent,
    *,
    observers: Sequence[Observer] = (),
    deterministic: bool = True,
    stop: Callable[[], bool] = lambda: False,
) -> list[list[EpisodeResult]]:
    """Play several tasks in one batch.

    Args:
        casts: for each task the copies of its environment, and the seeds that they share.
        agent: a `BatchAgent`.
        observers: see the steps of all episodes as they happen, those of one episode in order, and
            `on_episode_end` right after its last one. The environment tells episodes apart.
            Observers say that they expect this with a true `interleaves`; `PerEpisode` makes it so
            of any other.
        deterministic: passed to `agent.predict`.
        stop: asked before every step; once it is true, running episodes are given up.

    Returns:
        For each task the results in order of its seeds; of stopped play those that ended.

    Raises:
        TypeError: the agent plays one episode at a time, or an observer expects to see them so.
        ValueError: seeds without an environment to play them.
    """
    check_batches(agent, observers)
    rows, results = [], []
    for copies, seeds in casts:
        if len(seeds) > 0 and not copies:
            raise ValueError(f"no environment plays the seeds {seeds[0]} to {seeds[-1]}")
        left, ended = deque(seeds), list[EpisodeResult]()
        # A copy that never gets a seed would only take place in the batch.
        rows += [_Row(env, left, ended, observers) for env in list(copies)[: len(left)]]
        results.append((seeds, ended))
    if rows:
        _play(rows, agent, deterministic, stop)
    return [_in_order(seeds, ended) for seeds, ended in results]


def _play(rows: Sequence[_Row], agent: Any, deterministic: bool, stop: Callable[[], bool]) -> None:
    agent.reset([row.env for row in rows])
    starts = np.array([row.begin() for row in rows])
    state = None
    while any(row.playing for row in rows) and not stop():
        observations = [row.playing.obs if row.playing else None for row in rows]
        actions, state = agent.predict(
            observations, state=state, episode_start=starts, deterministic=deterministic
        )
        starts = np.zeros(len(rows), bool)
        for index, row in enumerate(rows):
            if row.playing is not None:
                starts[index] = row.step(actions[index])


@dataclass
class _Row:
    """One copy of a task and the episode that it plays.

    Args:
        env: the copy.
        left: seeds that nobody has begun yet, shared by the copies.
        ended: takes results.
        observers: watch.
    """

    env: gymnasium.Env
    left: deque[int]
    ended: list[EpisodeResult]
    observers: Sequence[Observer]
    playing: Playing | None = None

    def begin(self) -> bool:
        """Start the next episode; False where there is none left: the row waits then."""
        self.playing = None
        if self.left:
            self.playing = Playing(self.env, self.left.popleft(), self.observers)
        return self.playing is not None

    def step(self, action: Any) -> bool:
        """Execute an action; whether another episode has begun."""
        assert self.playing is not None
        result = self.playing.step(action)
        if result is None:
            return False
        self.ended.append(result)
        return self.begin()


def _in_order(seeds: Sequence[int], ended: Sequence[EpisodeResult]) -> list[EpisodeResult]:
    place = {seed: index for index, seed in enumerate(seeds)}
    return sorted(ended, key=lambda result: place[result.seed])
