"""Measure a speed against a reference, alternately in the same run.

act      agent.act with its key/value cache, against recomputing the context for every token
train    a training step, against one that pads rows and predicts after every token
data     training windows read from a corpus, against reading whole episodes
env      a tokenizing environment, against the bare one of gymnasium.make
collect  steps committed to a corpus, against bare steps that do nothing

example:
    gato-gym bench act --task ALE/Boxing-v5 --json
"""

from __future__ import annotations

import shlex
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import tyro

from gato_gym.cli.players import print_json
from gato_gym.envs.registry import tasks
from gato_gym.errors import UnknownTaskError

Work = Callable[[], int]
"""Does one piece of work and returns how many units it was."""


@dataclass(frozen=True)
class Pair:
    """What is measured, and what it is compared with; both count the same unit."""

    unit: str
    ours: Work
    reference: Work


@dataclass(frozen=True)
class Options:
    """What to measure, and for how long."""

    what: tyro.conf.Positional[Literal["act", "train", "data", "env", "collect"]]
    """Which speed."""
    task: str = "ALE/Boxing-v5"
    """Task id."""
    size: str = "bundle"
    """Model size, for act and train."""
    rounds: int = 5
    """Measurements of each; the medians are reported."""
    seconds: float = 1.0
    """Least duration of one measurement."""
    json: bool = False
    """Print JSON."""


def rate(work: Work, seconds: float) -> float:
    """Units per second over at least so many seconds."""
    done, began = 0, time.perf_counter()
    while True:
        done += work()
        spent = time.perf_counter() - began
        if spent >= seconds:
            return done / spent


def alternate(pair: Pair, rounds: int, seconds: float) -> tuple[float, float]:
    """Medians of both rates, measured in turn: a busy machine slows both."""
    for work in (pair.ours, pair.reference):
        work()  # the first call pays for caches and imports
    rates = [(rate(pair.ours, seconds), rate(pair.reference, seconds)) for _ in range(rounds)]
    ours, reference = zip(*rates, strict=True)
    return statistics.median(ours), statistics.median(reference)


def open_pair(options: Options) -> AbstractContextManager[Pair]:
    """Set the measurement up."""
    if options.what in ("act", "train"):
        from gato_gym.cli import measure_model

        return getattr(measure_model, options.what)(options.task, options.size)
    from gato_gym.cli import measure

    return getattr(measure, options.what)(options.task)


def run(options: Options) -> int:
    """Measure and print."""
    if options.rounds < 1 or not options.seconds >= 0:
        raise ValueError("--rounds must be at least 1 and --seconds at least 0")
    known = {spec.id for spec in tasks()}
    if options.what in ("train", "data", "collect") and options.task not in known:
        raise UnknownTaskError(f"no expert plays {options.task!r}: one of {sorted(known)}")
    with open_pair(options) as pair:
        value, reference = alternate(pair, options.rounds, options.seconds)
    from gato_gym.cli.export import machine

    command = f"gato-gym bench {options.what} --task {options.task} --size {options.size} --json"
    result = {
        "what": options.what,
        "task": options.task,
        "value": round(value, 2),
        "unit": pair.unit,
        "reference": round(reference, 2),
        "ratio": round(value / reference, 3),
        "rounds": options.rounds,
        "machine": machine(),
        "command": shlex.join(shlex.split(command)),
    }
    if options.json:
        print_json(result)
    else:
        print(
            f"{options.what}, {options.task}: {value:,.1f} {pair.unit}, reference "
            f"{reference:,.1f}, ratio {value / reference:.2f}"
        )
    return 0
