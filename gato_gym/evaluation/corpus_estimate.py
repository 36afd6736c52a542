"""What a collection will take, from one episode of each task. Nothing is written."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from gato_gym.data.collect import progresses
from gato_gym.data.corpus import Corpus
from gato_gym.data.executors import InProcess
from gato_gym.data.jobs import EVERYTHING, Attempt, Batch, Executor, Job
from gato_gym.data.records import Record
from gato_gym.data.rejected import RejectedAttempts
from gato_gym.data.schedule import BATCH_SECONDS, MAX_BATCH, Failure, Progress
from gato_gym.evaluation.corpus_stats import episode_tokens

_SHARD_BLOCK = 1 << 16  # shards are whole blocks of this size, one of them a table of contents


@dataclass(frozen=True)
class Estimate:
    """What is to be expected of one task.

    `episodes` are those that are missing, made of `attempts` seeds; `steps`, `tokens` (None where
    the task has none) and `bytes` are of the episodes, `seconds` of one process that plays them
    all. They are means over one episode that was played and, but for the seconds, over those of
    the same kind in the corpus. Zero everywhere where the trial failed.
    """

    task: str
    episodes: int
    attempts: int = 0
    steps: int = 0
    tokens: int | None = 0
    bytes: int = 0
    seconds: float = 0.0
    failure: Failure | None = None


def estimate_jobs(
    jobs: Sequence[Job],
    *,
    corpus: Corpus | None,
    episodes: int,
    seed: int,
    max_attempts: int | None = None,
    episodes_per_shard: int | None = None,
    executor: Executor | None = None,
) -> list[Estimate]:
    """Play one missing episode of each job; arguments as of `gato_gym.data.collect.collect_jobs`.

    Args:
        jobs: what is to be collected.
        corpus: the one that would be added to, None where there is none yet.
    """
    journal = RejectedAttempts(corpus.path) if corpus is not None else None
    tasks = progresses(jobs, corpus, journal, episodes, seed, max_attempts)
    # The trial is kept whatever its return, to learn its size.
    trials = [replace(job, quality=EVERYTHING) for job in jobs]
    todo = [(number, task.draw(1)) for number, task in enumerate(tasks) if task.left]
    found = {
        number: Estimate(task.job.task, task.missing)
        for number, task in enumerate(tasks)
        if task.missing == 0 or number not in dict(todo)
    }
    todo.sort(key=lambda item: tasks[item[0]].seconds)  # the longest is popped first

    def draw(last: int | None) -> Batch | None:
        return Batch(*todo.pop()) if todo else None

    # "disable=None" means: silent unless stderr is a terminal.
    bar = tqdm(total=len(todo), desc="trying", unit="task", disable=None, leave=False)
    runner = executor or InProcess()
    with bar, contextlib.closing(runner.run(trials, draw)) as outcomes:
        for outcome in outcomes:
            number = outcome.batch.job
            task = tasks[number]
            bar.update()
            if outcome.error is not None:
                failure = Failure(task.job.task, outcome.batch.seeds[0], outcome.error)
                found[number] = Estimate(task.job.task, task.missing, failure=failure)
            else:
                (attempt,) = outcome.attempts
                found[number] = _estimate(task, attempt, corpus, episodes_per_shard)
    return [found[number] for number in range(len(jobs))]


def _estimate(
    task: Progress, attempt: Attempt, corpus: Corpus | None, episodes_per_shard: int | None
) -> Estimate:
    job, entry, record = task.job, attempt.entry, attempt.record
    assert entry is not None and record is not None  # the trial keeps everything
    known = [entry]
    if corpus is not None and job.task in corpus.tasks():
        known += [e for e in corpus.episodes(job.task) if e.key == job.key(e.seed)]
    steps = float(np.mean([e.steps for e in known]))
    size = float(np.mean([e.size for e in known]))
    trial = Record(record, f"trial of {job.task}")
    tokens = episode_tokens(entry, trial.observation, lambda: trial.actions(0, trial.steps)[0])
    # Of the seeds whose outcome is known, the trial's included, so many are accepted.
    accepted = (
        task.made + task.skipped + job.quality.accepts(attempt.episode_return, attempt.success)
    )
    share = (accepted or 1) / max(1, task.made + task.skipped + task.rejected + 1)
    attempts = math.ceil(task.missing / share) if job.quality else task.missing
    per_shard = episodes_per_shard or max(1, min(MAX_BATCH, int(BATCH_SECONDS / attempt.seconds)))
    per_shard = min(per_shard, task.missing)
    blocks = math.ceil(per_shard * size / _SHARD_BLOCK) + 1
    return Estimate(
        task=job.task,
        episodes=task.missing,
        attempts=attempts,
        steps=round(steps * task.missing),
        tokens=None if tokens is None else round(tokens / entry.steps * steps * task.missing),
        bytes=math.ceil(task.missing / per_shard) * blocks * _SHARD_BLOCK,
        seconds=attempt.seconds / entry.steps * steps * attempts,
    )
