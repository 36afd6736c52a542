"""Plays the episodes of a batch and encodes them; the part of a collection that takes the time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from gato_gym.agents.experts.led import LedExpert
from gato_gym.agents.experts.noise import NoisyExpert
from gato_gym.data.jobs import Attempt, Batch, Job, Outcome
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.data.records import encode
from gato_gym.errors import GatoGymError
from gato_gym.evaluation.observers import EpisodeRecorder
from gato_gym.evaluation.rollout import rollout
from gato_gym.types import Episode


class Player:
    """Plays batches one after the other; the environment of the last job stays open.

    Use it as a context manager, or call `close`.

    Args:
        on_seed: called with each seed before it is played.
    """

    def __init__(self, on_seed: Callable[[int], None] | None = None) -> None:
        self._on_seed = on_seed
        self._stage: _Stage | None = None

    def play(self, job: Job, batch: Batch) -> Outcome:
        """Play the seeds of a batch of `job`, up to the first that fails."""
        attempts: list[Attempt] = []
        seed = batch.seeds[0]
        try:
            if self._stage is None or self._stage.job is not job:
                self.close()
                self._stage = _Stage(job)
            for seed in batch.seeds:
                if self._on_seed is not None:
                    self._on_seed(seed)
                attempts.append(self._stage.attempt(seed))
        except (Exception, SystemExit) as error:
            # Neither environment nor expert can be trusted any more.
            with contextlib.suppress(Exception):
                self.close()
            if isinstance(error, SystemExit):
                error = GatoGymError(f"{job.task} asked to end the process (sys.exit)")
            return Outcome(batch, tuple(attempts), error, seed)
        return Outcome(batch, tuple(attempts))

    def close(self) -> None:
        """Close the environment."""
        stage, self._stage = self._stage, None
        if stage is not None:
            stage.env.close()

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Stage:
    """A job's environment, its expert, and the recorder of what goes on."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._agent: Any = job.agent
        if isinstance(job.agent, str):
            from gato_gym.agents.experts import load_expert

            self._agent = load_expert(job.agent)
        self.env = job.open()
        self._made: list[Episode] = []
        self._recorder = EpisodeRecorder(job.task, self._agent, job.expert, self._made.append)

    def attempt(self, seed: int) -> Attempt:
        """Play one episode and encode it, if it is good enough."""
        began = time.perf_counter()
        job, agent = self.job, self._agent
        # A fresh wrapper per episode: its bursts depend on the seed, not on who makes it.
        if job.learner is not None:
            agent = LedExpert(agent, job.learner, job.noise or 1.0, seed, job.burst)
        elif job.noise or job.random_start:
            agent = NoisyExpert(agent, job.noise, seed, job.burst, job.random_start)
        self._recorder.agent = agent
        try:
            rollout(self.env, agent, episodes=1, seed=seed, observers=[self._recorder])
        except Exception:
            # An expert that saw a NaN fails in its own way: say what it saw.
            self._recorder.check_finite()
            raise
        episode = self._made.pop()
        episode_return = episode.episode_return
        entry = record = None
        if job.quality.accepts(episode_return, episode.success):
            record = encode(episode)
            line = EpisodeEntry.to_json(episode, len(record), *job.injected)
            entry = EpisodeEntry.from_json(line, index=0, shard="", record=0)
        spent = time.perf_counter() - began
        return Attempt(seed, len(episode), episode_return, episode.success, spent, entry, record)
