"""Units of a study in several processes of this machine, one thread of arithmetic each.

A process is told over a pipe what to do and answers how it went. Any word, or the end, of the pipe
while it is at something means: save and leave. So none outlives the one that started it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from typing import Any

from gato_gym.data.children import Child
from gato_gym.evaluation.studies.folder import StudyFolder
from gato_gym.evaluation.studies.runner import POLL, Outcome, Schedule, perform
from gato_gym.evaluation.studies.units import Unit

Worker = Child[Unit]


def run_in_processes(
    schedule: Schedule,
    study: StudyFolder[Any],
    stop: Callable[[], bool],
    jobs: int,
    beside: Mapping[str, Any],
) -> None:
    """Have the units of a schedule done until it is over or asked to stop.

    A process that dies fails its unit, which can be tried again, and is replaced.
    """
    workers: list[Worker] = []
    try:
        while True:
            if stop() and not schedule.report.stopped:
                schedule.report.stopped = True
                for worker in workers:
                    if worker.task is not None:
                        worker.send(None)
            if not schedule.report.stopped:
                _hand_out(schedule, study, workers, jobs, beside)
            busy = {worker.connection: worker for worker in workers if worker.task is not None}
            if not busy and (schedule.report.stopped or schedule.over):
                return
            # Without a busy one this waits for units that other machines hold.
            for connection in wait(list(busy), timeout=POLL / 4):
                _take(schedule, workers, busy[connection])  # type: ignore[index]  # a Connection
    finally:
        for worker in workers:
            worker.leave()
        for worker in workers:
            worker.stop(patience=None if worker.task is None else 0)


def _hand_out(
    schedule: Schedule,
    study: StudyFolder[Any],
    workers: list[Worker],
    jobs: int,
    beside: Mapping[str, Any],
) -> None:
    while True:
        idle = next((worker for worker in workers if worker.task is None), None)
        if idle is None and len(workers) == jobs:
            return
        unit = schedule.next()
        if unit is None:
            return
        if idle is None:
            idle = Child(_work, type(study), str(study.folder), dict(beside))
            workers.append(idle)
        idle.task = unit
        idle.send(unit)


def _take(schedule: Schedule, workers: list[Worker], worker: Worker) -> None:
    unit = worker.task
    assert unit is not None
    outcome: Outcome | None = worker.receive()
    if outcome is None:
        workers.remove(worker)
        why = f"the process that did it died ({worker.death()}): run it again"
        outcome = Outcome("failed", why)
    worker.task = None
    schedule.take(unit, outcome)


def _work(
    connection: Connection, kind: type[StudyFolder[Any]], folder: str, beside: dict[str, Any]
) -> None:
    """The process: does what it is sent until the other end is gone."""
    import torch

    torch.set_num_threads(1)
    while True:
        try:
            unit = connection.recv()
            if unit is None:  # it came after the answer
                continue
            # The study is read anew: another machine may have added to its lists.
            outcome = perform(kind(folder), unit, connection.poll, beside)
            connection.send(outcome)
        except (EOFError, OSError):
            return
