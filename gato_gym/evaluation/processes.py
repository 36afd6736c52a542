"""Evaluate many tasks in several processes of this machine, each task whole in one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait

from tqdm import tqdm

from gato_gym.data.children import Child, sendable_error
from gato_gym.data.executors import TASKS_PER_PROCESS
from gato_gym.errors import GatoGymError
from gato_gym.evaluation.scores import Score

Outcome = tuple[str, Score | Exception]
"""A task, and its score or why there is none."""

Play = Callable[[str], Score]


class _Worker(Child[str]):
    """A process, and how many tasks it has played."""

    def __init__(self, prepare: Callable[[], Play]) -> None:
        self.played = 0
        super().__init__(_work, prepare)

    def begin(self, task: str) -> None:
        self.task = task
        self.played += 1
        self.send(task)

    def answer(self) -> tuple[Outcome, bool]:
        """Its task's outcome, and whether it lives."""
        task = self.task
        assert task is not None
        self.task = None
        found: Score | Exception | None = self.receive()
        if found is None:
            return (task, GatoGymError(f"the process that played it died ({self.death()})")), False
        return (task, found), True


def play_in_processes(
    tasks: Sequence[str], workers: int, prepare: Callable[[], Play]
) -> Iterator[Outcome]:
    """Play tasks, in the order in which they are finished.

    A process that dies costs the task that it played, and is replaced.

    Args:
        tasks: their ids.
        workers: processes at once.
        prepare: called once in each process; returns what plays a task there. Picklable.
    """
    left = list(reversed(tasks))
    crew: list[_Worker] = []
    try:
        # tqdm's own "disable=None" means: silent unless stderr is a terminal.
        with tqdm(total=len(tasks), unit="task", disable=None, leave=False) as bar:
            while left or any(worker.task is not None for worker in crew):
                while left and (worker := _idle(crew, workers, prepare)) is not None:
                    worker.begin(left.pop())
                busy = {worker.connection: worker for worker in crew if worker.task is not None}
                worker = busy[wait(list(busy))[0]]  # type: ignore[index]  # a Connection
                outcome, lives = worker.answer()
                if not lives:
                    crew.remove(worker)
                bar.update()
                yield outcome
    finally:
        for worker in crew:
            worker.stop()


def _idle(crew: list[_Worker], most: int, prepare: Callable[[], Play]) -> _Worker | None:
    """One that has nothing to do, None where all are busy and there may be no more."""
    for worker in crew:
        if worker.task is None and worker.played < TASKS_PER_PROCESS:
            return worker
        if worker.task is None:
            worker.stop()
            crew.remove(worker)
            break
    if len(crew) == most:
        return None
    crew.append(_Worker(prepare))
    return crew[-1]


def _work(connection: Connection, prepare: Callable[[], Play]) -> None:
    """The process: plays what it is sent until the other end is gone."""
    # tqdm's own lock is a semaphore of the system, which a process that is ended leaves behind.
    tqdm.set_lock(threading.RLock())
    play: Play | None = None
    while True:
        try:
            task = connection.recv()
            outcome: Score | Exception
            try:
                play = play or prepare()
                outcome = play(task)
            except Exception as error:  # of any package: it costs this task only
                outcome = sendable_error(error)
            connection.send(outcome)
        except (EOFError, OSError):
            return
