"""What `gato-gym bench train` measures: our training step against the plain one, and why.

Useful tokens per second, padding not counted. Both paths train in processes of their own, in turn,
row for row on the same tasks; that is also what makes their peak memory comparable. Then, in a
third process, what each saving is worth.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch

from gato_gym.cli.bench_paths import StepFigures
from gato_gym.cli.bench_processes import Process
from gato_gym.cli.bench_report import Round, mean_seconds, rate, report, savings
from gato_gym.cli.bench_workload import Workload, open_workload
from gato_gym.cli.export import machine
from gato_gym.errors import TrainingError
from gato_gym.models.device import choose_device

if TYPE_CHECKING:
    from gato_gym.cli.bench import Options

MOST_ROUNDS, LEAST_ROUNDS = 5, 2
ROUNDS_SECONDS = 300.0
"""Without --rounds there are as many of them as fit in this time."""
SLOW_STEP = 20.0
"""Seconds of a step from which on the first one counts: what warms up is a small part of it."""
COMPILING_STEPS = 5
"""Steps that warm up where blocks are compiled: shapes become dynamic at their second size."""
LADDER_SECONDS = 240.0
"""The ladder takes as many rows, then as many passes, as fit in about this time."""
LADDER_COST = 5.0
"""Steps of the plain path that one pass over all rungs costs, about."""


def measure(options: Options) -> dict[str, Any]:
    """All figures, ready for JSON.

    Raises:
        TrainingError: a path failed, e.g. for want of memory.
        UnknownTaskError, ValueError: see `open_workload`.
    """
    device = choose_device(options.device)
    with open_workload(options, str(device), torch.get_num_threads()) as workload:
        with ExitStack() as stack:
            ours, plain = (
                stack.enter_context(Process(name, workload)) for name in ("ours", "plain")
            )
            rounds = alternate(ours, plain, options, COMPILING_STEPS if workload.compiled else 1)
            patches = statistics.mean(ours.ask("patch_seconds", step) for step in range(2))
            facts = ours.ask("facts"), plain.ask("facts")
        result = report(workload, rounds, facts, patches)
        plain_seconds = mean_seconds([step for one in rounds for step in one.plain])
        with Process("ladder", workload) as ladder:
            most = options.rounds or MOST_ROUNDS
            result["savings"] = climb(ladder, workload, plain_seconds, most)
    return result | {"machine": machine(str(device))}


def alternate(ours: Process, plain: Process, options: Options, warm_up: int = 1) -> list[Round]:
    """Rounds of steps, in turn: a busy machine slows both.

    The first steps of each warm up; the last of them counts only if it is slow.
    """
    for process in (ours, plain):
        process.ask("make")
        for _ in range(warm_up - 1):
            process.ask("step")
    began = time.perf_counter()
    first = Round([ours.ask("step")], [plain.ask("step")])
    rounds = []
    if first.plain[0].seconds >= SLOW_STEP:
        rounds.append(first)
    else:
        began = time.perf_counter()
    while True:
        if options.rounds is not None:
            enough = options.rounds
        else:
            spent = time.perf_counter() - began
            late = rounds and spent + spent / len(rounds) > ROUNDS_SECONDS
            enough = LEAST_ROUNDS if late else MOST_ROUNDS
        if len(rounds) >= enough:
            return rounds
        rounds.append(Round(_turn(ours, options.seconds), _turn(plain, options.seconds)))
        rates = rate(rounds[-1].ours), rate(rounds[-1].plain)
        _tell("round {}: {:,.0f} tokens/s, plain {:,.0f}".format(len(rounds), *rates))


def _turn(process: Process, seconds: float) -> list[StepFigures]:
    steps = [process.ask("step")]
    while sum(step.seconds for step in steps) < seconds:
        steps.append(process.ask("step"))
    return steps


def climb(ladder: Process, workload: Workload, plain_seconds: float, most: int) -> dict[str, Any]:
    """What each saving is worth, on as many rows as there is time for.

    Args:
        ladder: not yet made.
        workload: what is trained.
        plain_seconds: of a step of the plain path.
        most: passes over all rungs.
    """
    batch = workload.train.batch
    rows = min(batch, max(1, int(LADDER_SECONDS / (LADDER_COST * plain_seconds / batch))))
    _tell(f"what each saving is worth, on {rows} of {batch} rows")
    while True:
        try:
            ladder.ask("make", rows)
            began = time.perf_counter()
            passes = [ladder.ask("measure")]
            break
        except TrainingError as error:
            if "OutOfMemoryError" not in str(error) or rows == 1:
                raise
            rows //= 2
    spent = time.perf_counter() - began
    if spent < LADDER_SECONDS / 3:  # it only warmed up
        count = max(1, min(most, int(LADDER_SECONDS / spent)))
        passes = [ladder.ask("measure") for _ in range(count)]
    return savings(passes, rows, batch)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
