"""Plays the episodes of a batch and encodes them; the part of a collection that takes the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium

from gato_gym.agents.experts.noise import NoisyExpert
from gato_gym.data.jobs import Attempt, Batch, Job, Outcome
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.data.records import encode
from gato_gym.errors import GatoGymError
from gato_gym.evaluation.observers import EpisodeRecorder
from gato_gym.evaluation.rollout import rollout
from gato_gym.types import Episode

if TYPE_CHECKING:
    from gato_gym.agents import Agent


class Player:
    """Plays batches one after the other; the environment of the last job stays open.

    Use it as a context manager, or call `close`.

    Args:
        on_seed: called with each seed before it is played.
    """

    def __init__(self, on_seed: Callable[[int], None] | None = None) -> None:
        self._on_seed = on_seed
        self._job: Job | None = None
        self._env: gymnasium.Env | None = None
        self._agent: Any = None

    def play(self, job: Job, batch: Batch) -> Outcome:
        """Play the seeds of a batch of `job`, up to the first that fails."""
        attempts: list[Attempt] = []
        seed = batch.seeds[0]
        try:
            env, agent = self._open(job)
            for seed in batch.seeds:
                if self._on_seed is not None:
                    self._on_seed(seed)
                attempts.append(_attempt(job, env, agent, seed))
        except (Exception, SystemExit) as error:
            # Neither can be trusted any more.
            self.close()
            if isinstance(error, SystemExit):
                error = GatoGymError(f"{job.task} asked to end the process (sys.exit)")
            return Outcome(batch, tuple(attempts), error, seed)
        return Outcome(batch, tuple(attempts))

    def _open(self, job: Job) -> tuple[gymnasium.Env, Agent]:
        if self._job is not job or self._env is None:
            self.close()
            self._agent = job.agent
            if isinstance(job.agent, str):
                from gato_gym.agents.experts import load_expert

                self._agent = load_expert(job.agent)
            self._env = job.make_env(job.task)
            self._job = job
        return self._env, self._agent

    def close(self) -> None:
        """Close the environment."""
        env, self._env, self._agent, self._job = self._env, None, None, None
        if env is not None:
            env.close()

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _attempt(job: Job, env: gymnasium.Env, agent: Agent, seed: int) -> Attempt:
    began = time.perf_counter()
    player: Agent = agent
    if job.noise or job.random_start:
        # A fresh wrapper per episode: its noise depends on the seed, not on who makes it.
        player = NoisyExpert(agent, job.noise, seed, job.burst, job.random_start)
    made: list[Episode] = []
    recorder = EpisodeRecorder(job.task, player, job.expert, made.append)
    try:
        rollout(env, player, episodes=1, seed=seed, observers=[recorder])
    except Exception:
        # An expert that saw a NaN fails in its own way: say what it saw.
        recorder.check_finite()
        raise
    (episode,) = made
    episode_return = episode.episode_return
    entry = record = None
    if job.quality.accepts(episode_return, episode.success):
        record = encode(episode)
        line = EpisodeEntry.to_json(episode, len(record), *job.injected)
        entry = EpisodeEntry.from_json(line, index=0, shard="", record=0)
    spent = time.perf_counter() - began
    return Attempt(seed, len(episode), episode_return, episode.success, spent, entry, record)
