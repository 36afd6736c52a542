"""Collect expert episodes into a corpus: many tasks and processes at once, so that a crash costs
little.

An episode is a function of (task, expert, seed, noise, burst, random start, most steps, learner),
and the result of a call one of its arguments. So running the same call again makes exactly what is
missing. How the parts fit together: `gato_gym.data.jobs`.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gymnasium
from tqdm import tqdm

from gato_gym.agents.experts.noise import DEFAULT_BURST, check_noise
from gato_gym.data.corpus import Corpus
from gato_gym.data.executors import InProcess, ProcessPool
from gato_gym.data.forms import refuse_other_forms
from gato_gym.data.jobs import EVERYTHING, Executor, Job, Outcome, Quality, make_suite_env
from gato_gym.data.rejected import RejectedAttempts
from gato_gym.data.schedule import Failure, Known, Progress, Schedule
from gato_gym.envs.factory import task_spec
from gato_gym.envs.registry import registered, resolve
from gato_gym.errors import GatoGymError

if TYPE_CHECKING:
    from gato_gym.agents import Agent

ATTEMPTS_PER_EPISODE = 3
"""Seeds tried per episode where episodes can be rejected, by default."""


@dataclass(frozen=True)
class CollectReport:
    """What a call of `collect` did; `skipped` episodes were there already."""

    corpus: Corpus
    episodes: int
    steps: int
    skipped: int
    rejected: int = 0


@dataclass(frozen=True)
class TaskReport:
    """What became of one task.

    `episodes` (with `steps`) were made, `skipped` were there already, `rejected` seeds did not pass
    the filter, in this call or before, `missing` episodes could not be had. `mean_return` is that
    of made and skipped ones.
    """

    task: str
    expert: str
    episodes: int
    steps: int
    skipped: int
    rejected: int
    missing: int
    mean_return: float | None
    failure: Failure | None


def collect(
    task: str,
    *,
    out: str | os.PathLike[str],
    episodes: int,
    seed: int,
    expert: Agent | str | None = None,
    noise: float = 0.0,
    burst: tuple[int, int] = DEFAULT_BURST,
    random_start: int = 0,
    max_steps: int = 0,
    learner: Agent | None = None,
    learner_name: str | None = None,
    quality: Quality = EVERYTHING,
    max_attempts: int | None = None,
    episodes_per_shard: int | None = None,
    workers: int = 1,
    progress: bool | None = None,
    make_env: Callable[[str], gymnasium.Env] = make_suite_env,
) -> CollectReport:
    """Make the corpus at `out` hold the first `episodes` acceptable seeds from `seed` on.

    Without a filter these are `seed` ... `seed + episodes - 1`. Those that it has already are
    skipped.

    Args:
        task: a task id.
        out: the folder of a corpus; created where there is none.
        episodes: how many.
        seed: the first one; an episode starts from `env.reset(seed=its seed)`.
        expert: an expert id, an agent (its `id` attribute, else its class, names it), or None for
            the task's own expert.
        noise: fraction of the steps with random actions, see `NoisyExpert`.
        burst: smallest and largest length of a run of random actions.
        random_start: up to so many random actions before the expert takes over.
        max_steps: an episode is truncated there; 0 leaves it to the task.
        learner: plays in the expert's place, whose actions stay the targets, see `LedExpert`: a
            share `noise` of the steps in runs of `burst`, without noise all.
        learner_name: its name in the corpus, by default its `id`; `gato-gym collect` takes the
            fingerprint of its weights (`gato_gym.training.adapt.fingerprint`).
        quality: which episodes are kept; the others are not written.
        max_attempts: seeds tried at most, if there is a filter; default is three per episode.
        episodes_per_shard: commit after so many episodes per worker; a crash loses at most as many.
            Default is as many as take about a second. A shard takes at least 128 KiB.
        workers: processes; each makes its own environment and expert. With more than one, `expert`
            and `make_env` must be picklable.
        progress: show a bar; None where stderr is a terminal.
        make_env: called with the task id.

    Raises:
        UnknownTaskError: there is no such expert, or it plays another task; nothing was written.
        ValueError: a number out of range, a learner with a random start or without a name; nothing
            was written.
        InvalidEpisodeError: an episode is not valid, e.g. a NaN observation; it is not written.
        GatoGymError: the process that played died, the filter leaves too few, or the corpus has
            episodes of the task that observe something else.
        OSError: the disk refuses; what was committed before stays.
        KeyboardInterrupt: after Ctrl-C, with a message that says what is safe.
    """
    check_noise(noise, burst, random_start)
    _check_counts(episodes, workers, episodes_per_shard, max_attempts)
    if max_steps < 0:
        raise ValueError(f"max_steps {max_steps} is negative; 0 leaves the end to the task")
    agent, name = check_expert(task, expert, make_env)
    plays_as = "" if learner is None else learner_name or str(getattr(learner, "id", ""))
    job = Job(
        *(task, agent, name, make_env, noise, burst, random_start, max_steps, quality),
        *(learner, plays_as),
    )
    (report,) = collect_jobs(
        [job],
        out=out,
        episodes=episodes,
        seed=seed,
        max_attempts=max_attempts,
        episodes_per_shard=episodes_per_shard,
        executor=InProcess() if workers == 1 or episodes == 1 else ProcessPool(workers),
        progress=progress,
    )
    if report.failure is not None:
        raise report.failure.error
    return CollectReport(
        Corpus.open(out), report.episodes, report.steps, report.skipped, report.rejected
    )


def collect_jobs(
    jobs: Sequence[Job],
    *,
    out: str | os.PathLike[str],
    episodes: int,
    seed: int,
    max_attempts: int | None = None,
    episodes_per_shard: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> list[TaskReport]:
    """Make the corpus at `out` hold the first `episodes` acceptable seeds of each job.

    A job that fails does not stop the others: its report has the failure. Arguments as of
    `collect`.

    Args:
        jobs: what to collect.
        executor: where it is played; default in this process.

    Raises:
        CorpusPathError: it has episodes of a task that observe something else than the task does.
        OSError: the disk refuses; what was committed before stays.
        KeyboardInterrupt: after Ctrl-C, with a message that says what is safe.
    """
    _check_counts(episodes, 1, episodes_per_shard, max_attempts)
    corpus = Corpus.create(out)
    corpus.remove_leftovers()
    known = (registered(job.task) for job in jobs if job.make_env is make_suite_env)
    refuse_other_forms(corpus, [spec for spec in known if spec is not None])
    journal = RejectedAttempts(corpus.path)
    tasks = progresses(jobs, corpus, journal, episodes, seed, max_attempts)
    schedule = Schedule(tasks, episodes_per_shard)
    executor = executor or InProcess()
    with _Bar(tasks, progress) as bar:
        try:
            with contextlib.closing(executor.run(jobs, schedule.draw)) as outcomes:
                for outcome in outcomes:
                    committed = _commit(corpus, journal, jobs[outcome.batch.job], outcome)
                    bar.show(schedule.take_in(outcome, committed))
        except KeyboardInterrupt:
            corpus.refresh()
            raise KeyboardInterrupt(
                f"interrupted; {len(corpus)} episodes are safe in {str(corpus.path)!r}. Run the "
                "same command again to make the missing ones"
            ) from None
    return [_report(task) for task in tasks]


def progresses(
    jobs: Sequence[Job],
    corpus: Corpus | None,
    journal: RejectedAttempts | None,
    episodes: int,
    seed: int,
    max_attempts: int | None,
) -> list[Progress]:
    """Where each job stands in a corpus."""
    entries = corpus.episodes() if corpus is not None else ()
    stored = {e.key: Known(e.episode_return, e.success, True) for e in entries}
    rejected = journal.seen if journal is not None else {}

    def start(job: Job) -> Progress:
        def known(seed: int) -> Known | None:
            key = job.key(seed)
            if key in rejected and key not in stored:
                return Known(*rejected[key], False)
            return stored.get(key)

        attempts = max_attempts or ATTEMPTS_PER_EPISODE * episodes
        return Progress(
            job, seed, episodes, attempts if job.quality else episodes, known, _guess(job.task)
        )

    return [start(job) for job in jobs]


def _guess(task: str) -> float:
    """Seconds that an episode may take: good enough to begin with the large tasks."""
    spec = registered(task)
    if spec is None:
        return 0.1
    steps = spec.horizon or 1000
    return steps * (5e-4 if any(leaf.kind == "image" for leaf in spec.observations) else 1e-4)


def _commit(corpus: Corpus, journal: RejectedAttempts, job: Job, outcome: Outcome) -> set[int]:
    """Write an outcome; returns the seeds of the episodes that are new."""
    journal.add(job, outcome.attempts)
    records = [
        (attempt.entry, attempt.record)
        for attempt in outcome.attempts
        if attempt.entry is not None and attempt.record is not None
    ]
    # The check under the lock keeps a second collector of these seeds from doubling them.
    return {entry.seed for entry in corpus.append_records(records)} if records else set()


def _report(task: Progress) -> TaskReport:
    return TaskReport(
        task=task.job.task,
        expert=task.job.expert,
        episodes=task.made,
        steps=task.steps,
        skipped=task.skipped,
        rejected=task.rejected,
        missing=task.missing,
        mean_return=math.fsum(task.returns) / len(task.returns) if task.returns else None,
        failure=task.failure,
    )


class _Bar:
    """One bar over the episodes of all tasks; tqdm adds the rate and the remaining time."""

    def __init__(self, tasks: Sequence[Progress], progress: bool | None) -> None:
        self._tasks, self._began = tasks, time.monotonic()
        # tqdm's own "disable=None" means: silent unless stderr is a terminal.
        self._bar = tqdm(
            total=sum(task.wanted for task in tasks),
            initial=self._done(),
            disable=None if progress is None else not progress,
            unit="episode",
            smoothing=0.05,
        )

    def _done(self) -> int:
        return sum(task.made + task.skipped for task in self._tasks)

    def show(self, task: Progress) -> None:
        """After an outcome of this task."""
        if self._bar.disable:
            return
        steps = sum(task.steps for task in self._tasks)
        self._bar.set_description(task.job.task, refresh=False)
        shown = {"steps/s": f"{steps / (time.monotonic() - self._began):,.0f}"}
        failed = sum(task.failure is not None for task in self._tasks)
        self._bar.set_postfix(shown | ({"failed": failed} if failed else {}), refresh=False)
        self._bar.update(self._done() - self._bar.n)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()


def check_expert(
    task: str,
    expert: Agent | str | None,
    make_env: Callable[[str], gymnasium.Env] = make_suite_env,
) -> tuple[Agent | str, str]:
    """The expert that `collect` would use, tried on the task, and its name in the corpus.

    Raises:
        GatoGymError: there is none, or it plays another task.
    """
    from gato_gym.agents.experts import expert_name, load_expert

    if expert is None:
        resolve(task)
        known = registered(task)
        if known is not None and known.expert is not None and make_env is make_suite_env:
            return known.expert, expert_name(known.expert)  # the catalogue says that they fit
        expert = task_spec(task).expert
        if expert is None:
            raise GatoGymError(
                f"{task!r} has no expert of its own: pass --expert ID or FOLDER "
                "(in Python expert=, an id or an agent)"
            )
    if isinstance(expert, str):
        name, agent = expert_name(expert), load_expert(expert)
    else:
        name, agent = str(getattr(expert, "id", type(expert).__name__)), expert
    env = make_env(task)
    try:
        agent.reset(env)
    finally:
        env.close()
    return expert, name


def _check_counts(
    episodes: int, workers: int, episodes_per_shard: int | None, max_attempts: int | None
) -> None:
    counts: Mapping[str, int | None] = {
        "episodes": episodes,
        "workers": workers,
        "episodes_per_shard": episodes_per_shard,
        "max_attempts": max_attempts,
    }
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if max_attempts is not None and max_attempts < episodes:
        raise ValueError(f"max_attempts {max_attempts} is below the {episodes} episodes wanted")
