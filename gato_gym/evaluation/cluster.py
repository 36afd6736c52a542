"""Evaluate on a Ray cluster: episodes of all tasks over all nodes, the scores as on one machine.

An episode is a function of the agent, the task and the seed, so it does not matter who plays it.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import gymnasium
from tqdm import tqdm

from gato_gym import envs
from gato_gym.agents import Agent, RandomAgent
from gato_gym.agents.experts import load_expert
from gato_gym.data.children import sendable_error
from gato_gym.data.cluster import connected
from gato_gym.data.cluster_collect import packages_of
from gato_gym.data.cluster_pool import ClusterPool
from gato_gym.data.jobs import Batch
from gato_gym.errors import GatoGymError
from gato_gym.evaluation.rollout import EpisodeResult, rollout
from gato_gym.evaluation.scores import Score, score
from gato_gym.types import TaskSpec


class Cast(Protocol):
    """Says who plays; picklable, each worker has its own."""

    def __call__(self, task: str, episode: int) -> Agent:
        """The agent as it would be after `episode` episodes of this task."""
        ...


@dataclass(frozen=True)
class SameAgent:
    """One agent for all tasks, whose episodes do not depend on each other, such as Gato."""

    agent: Agent

    def __call__(self, task: str, episode: int) -> Agent:
        """The agent."""
        return self.agent


class OwnExperts:
    """The expert of each task."""

    def __init__(self) -> None:
        self._task = ""
        self._agent: Agent | None = None

    def __call__(self, task: str, episode: int) -> Agent:
        """The task's expert; that of the last task stays loaded."""
        if self._agent is None or task != self._task:
            self._task, self._agent = task, load_expert(task)
        return self._agent


@dataclass(frozen=True)
class RandomPlay:
    """Uniform actions, the same as of one `RandomAgent` that plays all episodes of a task."""

    seed: int

    def __call__(self, task: str, episode: int) -> Agent:
        """An agent that draws what is due in this episode."""
        agent = RandomAgent(self.seed)
        agent.skip(episode)
        return agent


def evaluate_on_cluster(
    address: str,
    tasks: Sequence[str],
    cast: Cast,
    names: Sequence[str],
    *,
    episodes: int,
    seed: int,
    workers: int | None = None,
    progress: bool | None = None,
) -> list[Score]:
    """Play tasks on a cluster and score them; a lost worker's episodes are played again.

    Args:
        address: see `gato_gym.data.cluster.connected`.
        tasks: task ids.
        cast: who plays.
        names: of the agent in the score of each task.
        episodes: per task; episode i starts from `env.reset(seed=seed + i)`.
        seed: the first one.
        workers: at most so many; default is one per CPU of the cluster.
        progress: show a bar; None where stderr is a terminal.

    Raises:
        UnknownTaskError: no such task.
        ClusterError: see `connected`; or a node cannot be used.
        GatoGymError: workers died over an episode again and again. What an agent or an environment
            raises is passed on.
    """
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes}")
    for task in tasks:
        envs.task_spec(task)
    name_of = dict(zip(tasks, names, strict=True)).__getitem__
    scores: dict[str, Score] = {}
    for task, outcome in play_on_cluster(
        address,
        tasks,
        cast,
        name_of,
        episodes=episodes,
        seed=seed,
        workers=workers,
        progress=progress,
    ):
        if isinstance(outcome, Exception):
            raise outcome
        scores[task] = outcome
    return [scores[task] for task in tasks]


def play_on_cluster(
    address: str,
    tasks: Sequence[str],
    cast: Cast,
    name_of: Callable[[str], str],
    *,
    episodes: int,
    seed: int,
    workers: int | None = None,
    progress: bool | None = None,
) -> Iterator[tuple[str, Score | Exception]]:
    """Play tasks as `evaluate_on_cluster` does, but one that fails costs only itself.

    Args:
        address, tasks, cast, episodes, seed, workers, progress: see `evaluate_on_cluster`.
        name_of: the agent's name in the score of a task.

    Yields:
        Each task with its score when its last episode was played, or with why its first one failed.

    Raises:
        ClusterError: see `connected`; or a node cannot be used.
    """
    specs: dict[str, TaskSpec] = {}
    for task in tasks:
        try:
            specs[task] = envs.task_spec(task)
        except GatoGymError as error:
            yield task, error
    if not specs:
        return
    ids = tuple(specs)
    plan = _Plan(len(ids), range(seed, seed + episodes))
    failed: set[int] = set()
    silent = None if progress is None else not progress
    with (
        connected(address, workers) as ray,
        tqdm(total=len(ids) * episodes, unit="episode", disable=silent, leave=False) as bar,
    ):
        pool = ClusterPool(
            ray,
            make_player=partial(_Player, ids, cast, seed),
            lost=_Played,
            tasks=ids,
            packages=packages_of(ids),
            workers=workers,
        )
        with contextlib.closing(pool.run(plan.draw)) as played:
            for one in played:
                number = one.batch.job
                task = ids[number]
                bar.set_description(task, refresh=False)
                bar.update()
                if isinstance(one.result, Exception):
                    plan.give_up(number)
                    if number not in failed:
                        failed.add(number)
                        yield task, one.result
                    continue
                plan.take_in(number, one.result)
                if number not in failed and len(plan.results[number]) == episodes:
                    results = sorted(plan.results[number], key=lambda result: result.seed)
                    yield task, score(specs[task], results, name_of(task))


class _Plan:
    """Which episode is played next: one at a time, since nobody knows how long it takes."""

    def __init__(self, tasks: int, seeds: range) -> None:
        self.results: list[list[EpisodeResult]] = [[] for _ in range(tasks)]
        self._left = [deque(seeds) for _ in range(tasks)]
        self._playing = [0] * tasks

    def draw(self, last: int | None) -> Batch | None:
        """An episode of the same task, else of the one with the most episodes left per player."""
        if last is None or not self._left[last]:
            open_tasks = [task for task, seeds in enumerate(self._left) if seeds]
            if not open_tasks:
                return None
            last = max(open_tasks, key=lambda t: len(self._left[t]) / (1 + self._playing[t]))
        self._playing[last] += 1
        return Batch(last, (self._left[last].popleft(),))

    def take_in(self, task: int, result: EpisodeResult) -> None:
        """Keep a result."""
        self._playing[task] -= 1
        self.results[task].append(result)

    def give_up(self, task: int) -> None:
        """An episode has failed: the others of its task are not begun."""
        self._playing[task] -= 1
        self._left[task].clear()


@dataclass(frozen=True)
class _Played:
    """What became of an episode."""

    batch: Batch
    result: EpisodeResult | Exception


class _Player:
    """Runs in each worker; the environment of the last task stays open."""

    def __init__(self, tasks: Sequence[str], cast: Cast, seed: int) -> None:
        self._tasks, self._cast, self._seed = tasks, cast, seed
        self._task: str | None = None
        self._env: gymnasium.Env | None = None

    def __call__(self, batch: Batch) -> _Played:
        """Play one episode."""
        (seed,) = batch.seeds
        try:
            env = self._open(self._tasks[batch.job])
            agent = self._cast(self._tasks[batch.job], seed - self._seed)
            (result,) = rollout(env, agent, episodes=1, seed=seed)
            return _Played(batch, result)
        except (Exception, SystemExit) as error:
            return _Played(batch, sendable_error(error))

    def _open(self, task: str) -> gymnasium.Env:
        if self._env is None or task != self._task:
            if self._env is not None:
                self._env.close()
            self._env, self._task = None, task
            self._env = envs.make(task)
        return self._env
