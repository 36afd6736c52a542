"""Units of a study in several processes of this machine, one thread of arithmetic each.

A process is told over a pipe what to do and answers how it went. Any word, or the end, of the pipe
while it is at something means: save and leave. So none outlives the one that started it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from gato_gym.evaluation.studies.folder import StudyFolder
from gato_gym.evaluation.studies.runner import POLL, Outcome, Schedule, perform
from gato_gym.evaluation.studies.units import Unit


@dataclass(eq=False)
class _Worker:
    process: Any
    connection: Connection
    unit: Unit | None = None


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
    workers: list[_Worker] = []
    try:
        while True:
            if stop() and not schedule.report.stopped:
                schedule.report.stopped = True
                for worker in workers:
                    if worker.unit is not None:
                        _send(worker, None)
            if not schedule.report.stopped:
                _hand_out(schedule, study, workers, jobs, beside)
            busy = {worker.connection: worker for worker in workers if worker.unit is not None}
            if not busy and (schedule.report.stopped or schedule.over):
                return
            # Without a busy one this waits for units that other machines hold.
            for connection in wait(list(busy), timeout=POLL / 4):
                _take(schedule, workers, busy[connection])  # type: ignore[index]  # a Connection
    finally:
        for worker in workers:
            worker.connection.close()
            worker.process.join(timeout=None if worker.unit is None else 0)
            if worker.process.is_alive():
                worker.process.terminate()
                worker.process.join()


def _hand_out(
    schedule: Schedule,
    study: StudyFolder[Any],
    workers: list[_Worker],
    jobs: int,
    beside: Mapping[str, Any],
) -> None:
    while True:
        idle = next((worker for worker in workers if worker.unit is None), None)
        if idle is None and len(workers) == jobs:
            return
        unit = schedule.next()
        if unit is None:
            return
        if idle is None:
            idle = _start(study, beside)
            workers.append(idle)
        idle.unit = unit
        _send(idle, unit)


def _take(schedule: Schedule, workers: list[_Worker], worker: _Worker) -> None:
    unit = worker.unit
    assert unit is not None
    try:
        outcome: Outcome = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join()
        workers.remove(worker)
        worker.connection.close()
        why = f"the process that did it died (exit code {worker.process.exitcode}): run it again"
        outcome = Outcome("failed", why)
    worker.unit = None
    schedule.take(unit, outcome)


def _send(worker: _Worker, what: Unit | None) -> None:
    with contextlib.suppress(OSError):  # it has died: waiting for its answer tells
        worker.connection.send(what)


def _start(study: StudyFolder[Any], beside: Mapping[str, Any]) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_work, args=(theirs, type(study), str(study.folder), dict(beside)), daemon=True
    )
    # Inherited: Ctrl-C reaches all processes of a terminal, and this one tells the others.
    resource_tracker.ensure_running()  # started below it would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return _Worker(process, ours)


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
