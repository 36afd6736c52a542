"""Doing what is missing of a study, unit after unit, in this process or in several.

A unit that fails does not stop the others: what failed, and what could not be done for it, is told
at the end.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol

from gato_gym.errors import GatoGymError
from gato_gym.evaluation.studies.folder import Stop, StudyFolder
from gato_gym.evaluation.studies.units import Unit, Units

How = Literal["done", "stopped", "busy", "failed"]
POLL = 2.0
"""Seconds between looks at units that other processes hold."""


@dataclass(frozen=True)
class Outcome:
    """How it went: `busy` where another process holds the unit; `told` is a line about it."""

    how: How
    told: str = ""
    seconds: float = 0.0


class Guess(Protocol):
    """How long units take, see `speed.Speed`."""

    def seconds(self, unit: Unit) -> float:
        """What a unit takes, roughly."""


def perform(study: StudyFolder[Any], unit: Unit, stop: Stop, beside: Mapping[str, Any]) -> Outcome:
    """Do one unit.

    Args:
        study: where.
        unit: what; what it needs is done.
        stop: asked between steps; the unit is saved and left.
        beside: goes into the result, e.g. the machine and the versions of packages.
    """
    began = time.monotonic()
    with study.claimed(unit) as mine:
        if not mine:
            return Outcome("busy")
        try:
            if not study.done(unit):
                study.begin(unit)
                found = study.stages[unit.stage](unit, study, stop)
                if found is None:
                    return Outcome("stopped")
                seconds = time.monotonic() - began
                study.finish(unit, found, seconds=round(seconds, 1), **beside)
            study.tidy(unit)
            return Outcome("done", _told(study.result(unit) or {}), time.monotonic() - began)
        except Exception as error:  # whatever it is, the other units go on
            line = " ".join(str(error).split())
            named = line if isinstance(error, GatoGymError) else f"{type(error).__name__}: {line}"
            study.fail(unit, f"{named}\n\n{traceback.format_exc()}")
            return Outcome("failed", named, time.monotonic() - began)


def _told(result: Mapping[str, Any]) -> str:
    """What a result says, in a few words."""
    if "score" in result:
        normalized = result["normalized"]
        shown = "" if normalized is None else f" ({normalized:.2f} of expert)"
        return f"score {result['score']:.1f}{shown}"
    if "loss" in result:
        return f"{result['tokens']:,} tokens, loss {result['loss']:.3f}"
    return f"{result['episodes']} episodes, mean return {result['mean_return']:.4g}"


@dataclass
class Report:
    """How a run of units ended: their names.

    failed    unit -> why
    blocked   unit -> what it needs and nobody makes
    stopped   whether it was asked to end before it was done
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    stopped: bool = False


class Schedule:
    """Which unit is next, and what is told of it.

    Args:
        study, plan: what there is to do.
        chosen: which units of it, in order.
        jobs: processes, for the time that is left.
        tell: takes a line.
        speed: to estimate with.
    """

    def __init__(
        self,
        study: StudyFolder[Any],
        plan: Units,
        chosen: Sequence[Unit],
        jobs: int,
        tell: Callable[[str], None],
        speed: Guess,
    ) -> None:
        self.study, self.plan, self.report = study, plan, Report()
        self._tell, self._speed, self._jobs = tell, speed, jobs
        self._finished: set[str] = set()
        self._waiting = [unit for unit in chosen if not self._is_done(unit)]
        for unit in chosen:
            if unit.key in self._finished:  # it may have been killed before it tidied up
                study.tidy(unit)
        self._total, self._there = len(chosen), len(chosen) - len(self._waiting)
        self._running: set[str] = set()
        self._busy: dict[str, float] = {}  # held elsewhere -> when to look again
        self._worked = self._guessed = 0.0

    @property
    def running(self) -> int:
        """Units that are being done here."""
        return len(self._running)

    def next(self) -> Unit | None:
        """A unit whose needs are done; None where there is none at the moment.

        What can never be done any more goes into the report.
        """
        now = time.monotonic()
        self._drop_done_elsewhere()
        self._drop_hopeless()
        for unit in self._waiting:
            if unit.key in self._running or self._busy.get(unit.key, 0) > now:
                continue
            if all(self._is_done(self.plan.unit(key)) for key in unit.needs):
                self._running.add(unit.key)
                return unit
        return None

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done or waited for."""
        self._drop_done_elsewhere()
        self._drop_hopeless()
        return not self._waiting

    def take(self, unit: Unit, outcome: Outcome) -> None:
        """Note how a unit went."""
        self._running.discard(unit.key)
        if outcome.how == "busy":
            self._busy[unit.key] = time.monotonic() + POLL
            return
        if outcome.how == "stopped":
            self.report.stopped = True
            return
        self._waiting.remove(unit)
        if outcome.how == "failed":
            self.report.failed[unit.key] = outcome.told
            self._tell(f"{unit.key} failed: {outcome.told}")
            return
        self.report.done.append(unit.key)
        self._worked += outcome.seconds
        self._guessed += self._speed.seconds(unit)
        number = self._there + len(self.report.done)
        self._tell(
            f"[{number}/{self._total}] {unit.key}: {outcome.told}, "
            f"{timedelta(seconds=round(outcome.seconds))}; left about {self._left()}"
        )

    def _left(self) -> timedelta:
        """The estimate of the rest, in proportion to how the estimates were so far."""
        rest = sum(self._speed.seconds(unit) for unit in self._waiting)
        factor = self._worked / self._guessed if self._guessed else 1.0
        return timedelta(seconds=round(rest * factor / self._jobs))

    def _drop_done_elsewhere(self) -> None:
        for unit in [unit for unit in self._waiting if unit.key in self._busy]:
            if self._is_done(unit):
                self._waiting.remove(unit)
                self._there += 1

    def _drop_hopeless(self) -> None:
        """Units that need what failed, or what was not chosen and nobody is at."""
        while True:
            coming = {unit.key for unit in self._waiting}
            hopeless = {}
            for unit in self._waiting:
                for key in unit.needs:
                    need = self.plan.unit(key)
                    if key in coming or self._is_done(need) or self._held(need):
                        continue
                    hopeless[unit.key] = key
            if not hopeless:
                return
            self.report.blocked |= hopeless
            self._waiting = [unit for unit in self._waiting if unit.key not in hopeless]

    def _is_done(self, unit: Unit) -> bool:
        """Whether its result is there; what is done stays so, and is not read again."""
        if unit.key not in self._finished and self.study.done(unit):
            self._finished.add(unit.key)
        return unit.key in self._finished

    def _held(self, unit: Unit) -> bool:
        """Whether another process is at a unit."""
        if unit.key in self.report.failed or not (self.study.path(unit) / "lock").exists():
            return False
        with self.study.claimed(unit) as mine:
            return not mine


def run_units(
    study: StudyFolder[Any],
    plan: Units,
    chosen: Sequence[Unit],
    *,
    speed: Guess,
    tell: Callable[[str], None],
    stop: Stop = lambda: False,
    jobs: int = 1,
    beside: Mapping[str, Any] | None = None,
) -> Report:
    """Do all chosen units that are not done.

    Args:
        study, plan: the study.
        chosen: see `Units.choose`.
        speed: to estimate what is left with.
        tell: takes a line per unit.
        stop: asked between steps; what is under way is saved.
        jobs: processes, with one thread of arithmetic each; 1 is this process.
        beside: goes into every result.

    Raises:
        GatoGymError: a result in the folder was made with other settings; names them.
    """
    schedule = Schedule(study, plan, chosen, jobs, tell, speed)
    if jobs == 1:
        _run_here(schedule, study, stop, beside or {})
    else:
        from gato_gym.evaluation.studies.workers import run_in_processes

        run_in_processes(schedule, study, stop, jobs, beside or {})
    return schedule.report


def _run_here(
    schedule: Schedule, study: StudyFolder[Any], stop: Stop, beside: Mapping[str, Any]
) -> None:
    while not schedule.over:
        if stop():
            schedule.report.stopped = True
            return
        unit = schedule.next()
        if unit is None:  # all that is left is held by other processes
            time.sleep(POLL / 4)
            continue
        schedule.take(unit, perform(study, unit, stop, beside))
        if schedule.report.stopped:
            return
