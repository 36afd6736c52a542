"""What `gato-gym bench collect` measures: collecting, against environments that are only stepped.

Ours is all of `gato-gym collect` in one process: playing, recording, checking, encoding and
committing, with a policy that costs nothing. The reference is the vector environment of the task's
package, in one thread, with an action that does nothing; it keeps no step.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import gymnasium as gym

from gato_gym.agents import Agent
from gato_gym.cli.bench import Pair
from gato_gym.cli.measure import nothing, plain_vector, stepper
from gato_gym.data.collect import collect_jobs
from gato_gym.data.corpus import Corpus
from gato_gym.data.jobs import Batch, Job
from gato_gym.data.player import Player

TASKS = ("ALE/Boxing-v5", "CartPole-v1")
# Episodes of one piece of work: about a second.
EPISODES = {"ALE/Boxing-v5": 1, "CartPole-v1": 200}


class Idle:
    """Does nothing."""

    def reset(self, env: gym.Env) -> None:
        """Learn what doing nothing is here."""
        self._action = nothing(env.action_space)

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """The same action always."""
        return self._action


class Leaning:
    """Pushes a cart to where its pole leans: one comparison keeps it up for 500 steps.

    An idle cart loses its pole within ten steps, so that nearly all the time goes into beginning
    and ending episodes, which a vector environment hardly does. The part "idle" measures that.
    """

    def reset(self, env: gym.Env) -> None:
        """Nothing to prepare."""

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """0 pushes to the left, 1 to the right."""
        return 1 if obs[2] + obs[3] > 0 else 0


@contextmanager
def collect(task: str) -> Iterator[Pair]:
    """Committed steps of `task`, against bare ones, by the clock on the wall.

    Parts: "cpu", the same by CPU time, all threads counted; the other one of `TASKS`; "idle", see
    `Leaning`; "commit", single episodes against their bytes written to a file of their own, synced.
    """
    others = [other for other in TASKS if other != task]
    with ExitStack() as stack:
        folders = (
            Path(stack.enter_context(tempfile.TemporaryDirectory())) / str(number)
            for number in count()
        )
        whole = _pair(stack, next(folders), task)
        parts = {"cpu": replace(whole, clock=time.process_time)}
        for other in others:
            parts[other] = _pair(stack, next(folders), other)
            parts[f"{other} cpu"] = replace(parts[other], clock=time.process_time)
        if "CartPole-v1" in (task, *others):
            parts["CartPole-v1 idle"] = _pair(stack, next(folders), "CartPole-v1", Idle())
        for name in (task, *others):
            parts[f"{name} commit"] = _commits(next(folders), name)
        yield replace(whole, parts=parts)


def _job(task: str, agent: Agent | None = None) -> Job:
    if agent is None:
        agent = Leaning() if task == "CartPole-v1" else Idle()
    return Job(task, agent, type(agent).__name__)


def _pair(stack: ExitStack, folder: Path, task: str, agent: Agent | None = None) -> Pair:
    job, episodes = _job(task, agent), EPISODES.get(task, 1)
    seeds = count(1, episodes)

    def collect_some() -> int:
        (report,) = collect_jobs(
            [job], out=folder, episodes=episodes, seed=next(seeds), progress=False
        )
        if report.failure is not None:
            raise report.failure.error
        return report.steps

    bare = plain_vector(task, threads=1)
    stack.callback(bare.close)
    return Pair("steps/s", collect_some, stepper(bare, nothing))


def _commits(folder: Path, task: str) -> Pair:
    """Commits of one episode each; `commit_ms` is told beside the rate."""
    job, seeds = _job(task), count(1)
    corpus, spent = Corpus.create(folder / "corpus"), list[float]()
    with Player() as player:
        (attempt,) = player.play(job, Batch(0, (0,))).attempts
    entry, record = attempt.entry, attempt.record
    assert entry is not None and record is not None

    def commit() -> int:
        one = replace(entry, seed=next(seeds))
        began = time.perf_counter()
        assert corpus.append_records([(one, record)])
        spent.append(1000 * (time.perf_counter() - began))
        return 1

    def write() -> int:
        path = folder / f"{next(seeds)}.bytes"
        with path.open("wb") as file:
            file.write(record)
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        return 1

    def figures() -> dict[str, Any]:
        return {"commit_ms": round(statistics.median(spent), 3), "bytes": len(record)}

    return Pair("commits/s", commit, write, figures=figures)
