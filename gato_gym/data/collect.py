"""Collect expert episodes into a corpus, in one process or several, so that a crash costs little.

Every finished episode is committed at once (or every `episodes_per_shard`), and is a function of
(task, expert, seed, noise). So running the same call again makes exactly what is missing.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

import gymnasium
from tqdm import tqdm

from gato_gym.agents.experts.noise import NoisyExpert, check_noise
from gato_gym.data.corpus import Corpus
from gato_gym.errors import GatoGymError
from gato_gym.evaluation.observers import EpisodeRecorder
from gato_gym.evaluation.rollout import rollout
from gato_gym.types import Episode

if TYPE_CHECKING:
    from gato_gym.agents import Agent

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CollectReport:
    """What a call of `collect` did; `skipped` episodes were there already."""

    corpus: Corpus
    episodes: int
    steps: int
    skipped: int


@dataclass(frozen=True)
class _Job:
    """All that a worker process needs."""

    task: str
    out: str
    agent: Agent | str
    expert: str
    noise: float
    burst: tuple[int, int]
    make_env: Callable[[str], gymnasium.Env]


def collect(
    task: str,
    *,
    out: str | os.PathLike[str],
    episodes: int,
    seed: int,
    expert: Agent | str | None = None,
    noise: float = 0.0,
    burst: tuple[int, int] = (1, 8),
    episodes_per_shard: int = 1,
    workers: int = 1,
    progress: bool | None = None,
    make_env: Callable[[str], gymnasium.Env] | None = None,
) -> CollectReport:
    """Make the corpus at `out` hold the episodes with seeds `seed` ... `seed + episodes - 1`.

    Those that it has already are skipped.

    Args:
        task: a task id.
        out: the folder of a corpus; created where there is none.
        episodes: how many seeds.
        seed: the first one; episode i starts from `env.reset(seed=seed + i)`.
        expert: an expert id, an agent (its `id` attribute, else its class, names it), or None for
            the task's own expert.
        noise: fraction of the steps with random actions, see `NoisyExpert`.
        burst: smallest and largest length of a run of random actions.
        episodes_per_shard: commit after so many episodes per worker; a crash loses at most as many.
            A shard takes at least 128 KiB, so raise it for thousands of tiny episodes.
        workers: processes; each makes its own environment and expert. With more than one, `expert`
            and `make_env` must be picklable.
        progress: show a bar; None where stderr is a terminal.
        make_env: called with the task id; `gato_gym.envs.make` if None.

    Raises:
        UnknownTaskError: there is no such expert, or it plays another task; nothing was written.
        ValueError: a number out of range; nothing was written.
        InvalidEpisodeError: an episode is not valid, e.g. a NaN observation; it is not written.
        OSError: the disk refuses; what was committed before stays.
        KeyboardInterrupt: after Ctrl-C, with a message that says what is safe.
    """
    if episodes < 1 or workers < 1 or episodes_per_shard < 1:
        raise ValueError("episodes, workers and episodes_per_shard must be at least 1")
    check_noise(noise, burst)
    make_env = make_env or _make
    agent, name = check_expert(task, expert, make_env)
    job = _Job(task, str(out), agent, name, noise, burst, make_env)
    corpus = Corpus.create(out)
    corpus.remove_leftovers()
    have = {entry.key for entry in corpus.episodes()}
    seeds = [s for s in range(seed, seed + episodes) if (task, name, s, float(noise)) not in have]
    shards = [seeds[i : i + episodes_per_shard] for i in range(0, len(seeds), episodes_per_shard)]
    made = steps = 0
    run = _in_this_process if workers == 1 or len(shards) < 2 else partial(_in_workers, workers)
    # tqdm's own "disable=None" means: silent unless stderr is a terminal.
    silent = None if progress is None else not progress
    with tqdm(total=episodes, initial=episodes - len(seeds), disable=silent, unit="episode") as bar:
        bar.set_description(task)
        try:
            with contextlib.closing(run(job, shards)) as commits:
                for shard_steps, returns in commits:
                    made += len(returns)
                    steps += shard_steps
                    bar.set_postfix(steps=steps, last_return=f"{returns[-1]:.4g}", refresh=False)
                    bar.update(len(returns))
        except KeyboardInterrupt:
            corpus.refresh()
            raise KeyboardInterrupt(
                f"interrupted; {len(corpus)} episodes are safe in {str(corpus.path)!r}. Run the "
                "same command again to make the missing ones"
            ) from None
    corpus.refresh()
    return CollectReport(corpus, made, steps, episodes - len(seeds))


def _make(task: str) -> gymnasium.Env:
    from gato_gym import envs

    return envs.make(task)


def check_expert(
    task: str,
    expert: Agent | str | None,
    make_env: Callable[[str], gymnasium.Env] = _make,
) -> tuple[Agent | str, str]:
    """The expert that `collect` would use, tried on the task, and its name in the corpus.

    Raises:
        GatoGymError: there is none, or it plays another task.
    """
    from gato_gym.agents.experts import expert_name, load_expert

    if expert is None:
        from gato_gym import envs

        expert = envs.task_spec(task).expert
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


_Commit = tuple[int, list[float]]  # steps of a shard, returns of its episodes
_Commits = Generator[_Commit, None, None]


def _in_this_process(job: _Job, shards: Sequence[Sequence[int]]) -> _Commits:
    if not shards:
        return
    agent = job.agent
    if isinstance(agent, str):
        from gato_gym.agents.experts import load_expert

        agent = load_expert(agent)
    corpus = Corpus.open(job.out)
    env = job.make_env(job.task)
    try:
        for seeds in shards:
            made: list[Episode] = []
            for seed in seeds:
                # A fresh wrapper per episode: its noise depends on the seed, not on who makes it.
                player = NoisyExpert(agent, job.noise, seed, job.burst) if job.noise else agent
                recorder = EpisodeRecorder(job.task, player, job.expert, made.append)
                rollout(env, player, episodes=1, seed=seed, observers=[recorder])
            # The check under the lock keeps a second collector of these seeds from doubling them.
            entries = corpus.append_shard(made, noise=job.noise, skip_committed=True)
            if entries:
                yield sum(e.steps for e in entries), [e.episode_return for e in entries]
    finally:
        env.close()


def _in_workers(workers: int, job: _Job, shards: Sequence[Sequence[int]]) -> _Commits:
    """The same over processes with disjoint seeds; a pipe each, so a killed one blocks nobody."""
    context = multiprocessing.get_context("spawn")
    processes: dict[Any, Any] = {}
    try:
        for number in range(min(workers, len(shards))):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(
                target=_work, args=(sender, job, shards[number::workers]), daemon=True
            )
            process.start()
            sender.close()
            processes[receiver] = process
        running = list(processes)
        while running:
            ready: Any
            for ready in wait(running):
                try:
                    message: _Commit | Exception | None = ready.recv()
                except EOFError:
                    processes[ready].join()
                    raise GatoGymError(
                        f"a collecting process of {job.task} died (exit code "
                        f"{processes[ready].exitcode}); what it had committed is safe, run the "
                        "same command again to make the missing episodes"
                    ) from None
                if isinstance(message, Exception):
                    raise message
                if message is None:
                    running.remove(ready)
                else:
                    yield message
    finally:
        # Workers may be stopped at any moment: an episode that is not committed does not exist.
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.join()


def _work(sender: Any, job: _Job, shards: Sequence[Sequence[int]]) -> None:
    # As an exception, being stopped lets a commit in progress take its temporary file away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parent = multiprocessing.parent_process()
    try:
        for commit in _in_this_process(job, shards):
            sender.send(commit)
            if parent is not None and not parent.is_alive():
                return
        sender.send(None)
    except KeyboardInterrupt:
        pass  # the parent got the same Ctrl-C and reports it
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent was killed; the commits so far are in its corpus
    except Exception as e:
        sender.send(e)
