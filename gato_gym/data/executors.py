"""Executors of this machine: in the calling process, or in a pool of processes.

The processes of a pool are spawned, get batches over a pipe each, and send outcomes back. They own
nothing that outlives them: one that is killed costs the batch that it was playing.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any

from gato_gym.data.children import Child, sendable_error, shared_integer
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


class _Worker(Child[Batch]):
    """A process of the pool, from the side of the driver."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.seed = shared_integer()
        """Being played."""
        self.played: set[int] = set()
        self.last: int | None = None
        super().__init__(_work, jobs, self.seed)

    def begin(self, batch: Batch) -> None:
        self.task, self.last = batch, batch.job
        self.played.add(batch.job)
        self.seed.value = batch.seeds[0]
        self.send(batch)

    def answer(self, jobs: Sequence[Job]) -> tuple[Outcome, bool]:
        """What became of its batch, and whether it lives."""
        batch = self.task
        assert batch is not None
        self.task = None
        outcome: Outcome | None = self.receive()
        if outcome is not None:
            return outcome, True
        seed = self.seed.value
        error = GatoGymError(
            f"the process that played {jobs[batch.job].task} (seed {seed}) died ({self.death()}); "
            "what was committed is safe, run the same command again to make the missing episodes"
        )
        return Outcome(batch, (), error, seed), False


class ProcessPool:
    """Plays in processes of this machine.

    Args:
        workers: at most so many at once; each is started when there is a batch for it.
    """

    def __init__(self, workers: int) -> None:
        self._limit = workers

    def run(self, jobs: Sequence[Job], draw: Draw) -> Generator[Outcome]:
        """As of `Executor.run`."""
        workers: list[_Worker] = []
        try:
            while True:
                self._hand_out(jobs, draw, workers)
                busy = {worker.connection: worker for worker in workers if worker.task is not None}
                if not busy:
                    return
                worker = busy[wait(list(busy))[0]]  # type: ignore[index]  # a Connection
                outcome, lives = worker.answer(jobs)
                if not lives:
                    workers.remove(worker)
                yield outcome
        finally:
            # At any moment: an episode that is not committed does not exist.
            for worker in workers:
                worker.stop()

    def _hand_out(self, jobs: Sequence[Job], draw: Draw, workers: list[_Worker]) -> None:
        while True:
            idle = next((worker for worker in workers if worker.task is None), None)
            if idle is None and len(workers) == self._limit:
                return
            batch = draw(None if idle is None else idle.last)
            if batch is None:
                return
            if idle is not None and len(idle.played | {batch.job}) > TASKS_PER_PROCESS:
                idle.stop()
                workers.remove(idle)
                idle = None
            if idle is None:
                idle = _Worker(jobs)
                workers.append(idle)
            idle.begin(batch)


def _work(connection: Connection, jobs: Sequence[Job], seed: Any) -> None:
    """The process: plays what it is sent until the other end is gone."""

    def note(value: int) -> None:
        seed.value = value

    # A learner's network came with the jobs; the processes are what shares the cores. Others go
    # without torch.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
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
