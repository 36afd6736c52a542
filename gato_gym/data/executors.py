"""Executors of this machine: in the calling process, or in a pool of processes.

The processes of a pool are spawned, get batches over a pipe each, and send outcomes back. They own
nothing that outlives them: one that is killed costs the batch that it was playing.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from gato_gym.data.jobs import Batch, Draw, Job, Outcome
from gato_gym.data.player import Player
from gato_gym.errors import GatoGymError

# Simulators do not give all memory back: a process that has played so many tasks is replaced.
TASKS_PER_PROCESS = 30


class InProcess:
    """Plays in the calling process. What ends it ends the collection."""

    def run(self, jobs: Sequence[Job], draw: Draw) -> Generator[Outcome]:
        """As of `Executor.run`."""
        last: int | None = None
        with Player() as player:
            while (batch := draw(last)) is not None:
                last = batch.job
                yield player.play(jobs[last], batch)


@dataclass(eq=False)
class _Worker:
    """A process of the pool, from the side of the driver."""

    process: Any
    connection: Connection
    seed: Any  # shared with the process: the seed being played
    batch: Batch | None = None
    played: set[int] = field(default_factory=set)
    last: int | None = None


class ProcessPool:
    """Plays in processes of this machine.

    Args:
        workers: at most so many at once; each is started when there is a batch for it.
    """

    def __init__(self, workers: int) -> None:
        self._limit = workers
        self._context = multiprocessing.get_context("spawn")

    def run(self, jobs: Sequence[Job], draw: Draw) -> Generator[Outcome]:
        """As of `Executor.run`."""
        workers: list[_Worker] = []
        try:
            while True:
                self._hand_out(jobs, draw, workers)
                busy = {worker.connection: worker for worker in workers if worker.batch is not None}
                if not busy:
                    return
                worker = busy[wait(list(busy))[0]]  # type: ignore[index]
                outcome = _receive(worker)
                if outcome is None:
                    outcome = _lost(worker, jobs)
                    workers.remove(worker)
                worker.batch = None
                yield outcome
        finally:
            _stop(workers)

    def _hand_out(self, jobs: Sequence[Job], draw: Draw, workers: list[_Worker]) -> None:
        while True:
            idle = next((worker for worker in workers if worker.batch is None), None)
            if idle is None and len(workers) == self._limit:
                return
            batch = draw(None if idle is None else idle.last)
            if batch is None:
                return
            if idle is not None and len(idle.played | {batch.job}) > TASKS_PER_PROCESS:
                _stop([idle])
                workers.remove(idle)
                idle = None
            if idle is None:
                idle = self._start(jobs)
                workers.append(idle)
            idle.batch, idle.last = batch, batch.job
            idle.played.add(batch.job)
            idle.seed.value = batch.seeds[0]
            with contextlib.suppress(OSError):  # it has died: waiting for its answer tells
                idle.connection.send(batch)

    def _start(self, jobs: Sequence[Job]) -> _Worker:
        ours, theirs = self._context.Pipe()
        seed = self._context.RawValue("q", 0)
        process = self._context.Process(target=_work, args=(theirs, jobs, seed), daemon=True)
        # Inherited: Ctrl-C reaches all processes of the terminal, and this one tells the others.
        resource_tracker.ensure_running()  # started below it would lift the block
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return _Worker(process, ours, seed)


def _receive(worker: _Worker) -> Outcome | None:
    """The answer of a process; None if it has died."""
    try:
        outcome: Outcome = worker.connection.recv()
    except (EOFError, OSError):
        return None
    return outcome


def _lost(worker: _Worker, jobs: Sequence[Job]) -> Outcome:
    """The outcome of a batch whose process died."""
    worker.process.join()
    worker.connection.close()
    code, batch, seed = worker.process.exitcode, worker.batch, worker.seed.value
    assert batch is not None
    how = f"exit code {code}, see above" if code > 0 else f"exit code {code}"
    if code < 0:
        names = {int(known): known.name for known in signal.Signals}
        how = f"killed by {names.get(-code, f'signal {-code}')}"
    error = GatoGymError(
        f"the process that played {jobs[batch.job].task} (seed {seed}) died ({how}); what was "
        "committed is safe, run the same command again to make the missing episodes"
    )
    return Outcome(batch, (), error, seed)


def _stop(workers: Sequence[_Worker]) -> None:
    # At any moment: an episode that is not committed does not exist.
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join()
        worker.connection.close()


def _work(connection: Connection, jobs: Sequence[Job], seed: Any) -> None:
    """The process: plays what it is sent until the other end is gone."""

    def note(value: int) -> None:
        seed.value = value

    with Player(note) as player:
        while True:
            try:
                batch = connection.recv()
                connection.send(sendable(player.play(jobs[batch.job], batch)))
            except (EOFError, OSError):
                return  # the driver has ended


def sendable(outcome: Outcome) -> Outcome:
    """The same outcome with an error that survives pickling; documented ones stay what they are."""
    return (
        outcome if outcome.error is None else replace(outcome, error=sendable_error(outcome.error))
    )


def sendable_error(error: BaseException) -> Exception:
    """The error itself if it survives pickling, else one that tells the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return GatoGymError(f"{type(error).__name__}: {error}")
    return error if isinstance(error, Exception) else GatoGymError(repr(error))
