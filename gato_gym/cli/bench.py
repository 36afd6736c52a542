"""Measure a speed against a reference, alternately in the same run.

act      agent.act with its key/value cache, against recomputing the context for every token
train    a training step, against one that pads rows and predicts after every token
data     training batches read from a corpus, against reading whole episodes; with the same for a
         task that observes numbers and one that observes images
env      a tokenizing environment, against the bare one of gymnasium.make; with the same for an
         observation of 40 numbers and for 8 copies against the package's own vector environment
collect  steps committed to a corpus, by a policy that costs nothing, against the package's own
         vector environment in one thread; and what a commit takes

example:
    gato-gym bench act --task ALE/Boxing-v5 --json
"""

from __future__ import annotations

import shlex
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import tyro

from gato_gym.cli.players import print_json
from gato_gym.envs.registry import tasks
from gato_gym.errors import UnknownTaskError

Work = Callable[[], int]
"""Does one piece of work and returns how many units it was."""


@dataclass(frozen=True)
class Pair:
    """What is measured, and what it is compared with; both count the same unit.

    `parts` are further pairs that belong to the same question, by name. What runs in one thread may
    be timed by `time.process_time`, which does not count other processes. `figures` are told beside
    the rates, once these were measured.
    """

    unit: str
    ours: Work
    reference: Work
    parts: Mapping[str, Pair] = field(default_factory=dict)
    clock: Callable[[], float] = time.perf_counter
    figures: Callable[[], Mapping[str, Any]] = dict


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


def rate(work: Work, seconds: float, clock: Callable[[], float]) -> float:
    """Units per second over at least so many seconds of the clock."""
    done, began = 0, clock()
    while True:
        done += work()
        spent = clock() - began
        if spent >= seconds and spent > 0:
            return done / spent


def alternate(pair: Pair, rounds: int, seconds: float) -> list[tuple[float, float]]:
    """Both rates in each round, measured in turn: a busy machine slows both."""
    for work in (pair.ours, pair.reference):
        work()  # the first call pays for caches and imports
    return [
        (rate(pair.ours, seconds, pair.clock), rate(pair.reference, seconds, pair.clock))
        for _ in range(rounds)
    ]


def compare(pair: Pair, rounds: int, seconds: float) -> dict[str, Any]:
    """Medians of both rates, their ratio, and what one unit costs more than in the reference."""
    ours, references = zip(*alternate(pair, rounds, seconds), strict=True)
    value, reference = statistics.median(ours), statistics.median(references)
    return {
        "value": round(value, 2),
        "unit": pair.unit,
        "reference": round(reference, 2),
        "ratio": round(value / reference, 3),
        "added_us": round(1e6 / value - 1e6 / reference, 2),
        "added_share": round(reference / value - 1, 3),
        **pair.figures(),
    }


def open_pair(options: Options) -> AbstractContextManager[Pair]:
    """Set the measurement up."""
    if options.what in ("act", "train"):
        from gato_gym.cli import measure_model

        return getattr(measure_model, options.what)(options.task, options.size)
    if options.what == "data":
        from gato_gym.cli import measure_data

        return measure_data.data(options.task)
    if options.what == "collect":
        from gato_gym.cli import measure_collect

        return measure_collect.collect(options.task)
    from gato_gym.cli import measure

    return getattr(measure, options.what)(options.task)


def run(options: Options) -> int:
    """Measure and print."""
    if options.rounds < 1 or not options.seconds >= 0:
        raise ValueError("--rounds must be at least 1 and --seconds at least 0")
    known = {spec.id for spec in tasks() if spec.expert}
    if options.what in ("train", "data", "collect") and options.task not in known:
        raise UnknownTaskError(f"no expert plays {options.task!r}: one of {sorted(known)}")
    with open_pair(options) as pair:
        found = compare(pair, options.rounds, options.seconds)
        parts = {
            name: compare(part, options.rounds, options.seconds)
            for name, part in pair.parts.items()
        }
    from gato_gym.cli.export import machine

    command = f"gato-gym bench {options.what} --task {options.task} --size {options.size} --json"
    result = {
        "what": options.what,
        "task": options.task,
        **found,
        **({"parts": parts} if parts else {}),
        "rounds": options.rounds,
        "machine": machine(),
        "command": shlex.join(shlex.split(command)),
    }
    if options.json:
        print_json(result)
    else:
        for name, one in {options.what: found, **parts}.items():
            print(
                f"{name}, {options.task}: {one['value']:,.1f} {one['unit']}, reference "
                f"{one['reference']:,.1f}, ratio {one['ratio']:.2f}, "
                f"{one['added_us']:+,.1f} microseconds each"
            )
    return 0
