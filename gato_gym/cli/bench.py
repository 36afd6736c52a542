"""Measure a speed against a reference, alternately in the same run.

act      agent.act at a full context, against recomputing the context for every action number; with
         agent.predict on batches, percentiles of a step, and what compiles after the first steps
train    training with its loader, against the plain loop that a person would write first: naive
         attention, padded rows, the vocabulary at all positions; with what each saving is worth,
         utilisation and peak memory. Slow sizes take a quarter of an hour on two cores
data     training batches read from a corpus, against reading whole episodes; with the same for a
         task that observes numbers and one that observes images
env      a tokenizing environment, against the bare one of gymnasium.make; with the same for an
         observation of 40 numbers and for 8 copies against the package's own vector environment
collect  steps committed to a corpus, by a policy that costs nothing, against the package's own
         vector environment in one thread; and what a commit takes

examples:
    gato-gym bench act --size 79m --task ALE/Boxing-v5 --device cpu --json
    gato-gym bench act --layers 4 --width 256 --task metaworld --json
    gato-gym bench act --checkpoint bundled --task CartPole-v1 --threads 1
    gato-gym bench train --size 79m --json
    gato-gym bench train --layers 4 --width 256 --batch 4 --task metaworld --json
"""

from __future__ import annotations

import shlex
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

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
    task: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Task id; ALE/Boxing-v5 if there is none. For act also the name of a domain, e.g. metaworld:
    its first installed task. For train several, each with its own --task or joined by commas, and
    names of domains; the default is block stacking, Boxing and BabyAI, a third of the rows each."""
    size: str = "bundle"
    """Model size, for act and train."""
    rounds: int | None = None
    """Measurements of each; the medians are reported. Default is 5; for act and train as many of
    them as fit in a few minutes, at least 2."""
    seconds: float = 1.0
    """Least duration of one measurement."""
    layers: int | None = None
    """Of the model instead of the size's; for act and train, as the next three. With act a model of
    other layers or width sees 1,024 tokens, unless --context says otherwise."""
    width: int | None = None
    """Of the model; its feed-forward part is then four times as wide."""
    heads: int | None = None
    """Of the model; default is one per 64 of its width, where that was given."""
    context: int | None = None
    """Tokens of a row."""
    batch: int = 8
    """Rows of a step, for train."""
    corpus: Path | None = None
    """Episodes to train on, with equal shares for domains; default is a few by the experts."""
    device: str | None = None
    """cpu or cuda, for act and train; default is cuda if there is one."""
    precision: Literal["float32", "bfloat16", "int8"] = "float32"
    """Number format of the weights, for act, as what follows."""
    batch_sizes: tuple[int, ...] = (1, 8)
    """How many environments act together."""
    threads: int | None = None
    """Of the arithmetic on a CPU; default is PyTorch's."""
    checkpoint: str | None = None
    """Folder or Hub id of weights, or "bundled"; default is random ones of the size."""
    json: bool = False
    """Print JSON."""


OF_A_MODEL = ("layers", "width", "heads", "context", "device")
VERBS = {
    **dict.fromkeys(OF_A_MODEL, ("train", "act")),
    **dict.fromkeys(("batch", "corpus"), ("train",)),
    **dict.fromkeys(("precision", "batch_sizes", "threads", "checkpoint"), ("act",)),
}
"""What options are for, where not for all."""
DEFAULT_TASK = "ALE/Boxing-v5"
DEFAULT_ROUNDS = 5


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


def open_pair(options: Options, task: str) -> AbstractContextManager[Pair]:
    """Set the measurement up."""
    if options.what == "data":
        from gato_gym.cli import measure_data

        return measure_data.data(task)
    if options.what == "collect":
        from gato_gym.cli import measure_collect

        return measure_collect.collect(task)
    from gato_gym.cli import measure

    return measure.env(task)


def run(options: Options) -> int:
    """Measure and print."""
    if (options.rounds is not None and options.rounds < 1) or not options.seconds >= 0:
        raise ValueError("--rounds must be at least 1 and --seconds at least 0")
    _check_verb(options)
    apart = {"train": _train, "act": _act}
    result = {"what": options.what, **apart.get(options.what, _compare)(options)}
    result["command"] = command_line(options)
    if options.json:
        print_json(result)
    elif options.what == "act":
        from gato_gym.cli.measure_act import lines as table

        print("\n".join(table(result)))
    else:
        _tell(options, result)
    return 0


def _tell(options: Options, result: Mapping[str, Any]) -> None:
    for name, one in {options.what: result, **result.get("parts", {})}.items():
        print(
            f"{name}, {result['task']}: {one['value']:,.1f} {one['unit']}, reference "
            f"{one['reference']:,.1f}, ratio {one['ratio']:.2f}"
            + (f", {one['added_us']:+,.1f} microseconds each" if "added_us" in one else "")
        )
    if options.what == "train":
        from gato_gym.cli.bench_report import lines

        print("\n".join(lines(result)))


def _check_verb(options: Options) -> None:
    for field_ in fields(options):
        verbs = VERBS.get(field_.name, (options.what,))
        if options.what not in verbs and getattr(options, field_.name) != field_.default:
            raise ValueError(
                f"--{_flag(field_.name)} is for bench {' and '.join(verbs)}, "
                f"not for bench {options.what}"
            )
    if options.what != "train" and len(options.task) > 1:
        raise ValueError(f"bench {options.what} takes one --task, got {', '.join(options.task)}")


def _train(options: Options) -> dict[str, Any]:
    from gato_gym.cli.measure_train import measure

    found = measure(options)
    return {"task": ",".join(found["tasks"]), **found}


def _act(options: Options) -> dict[str, Any]:
    from gato_gym.cli.measure_act import measure

    return measure(replace(options, task=options.task or (DEFAULT_TASK,)))


def _compare(options: Options) -> dict[str, Any]:
    task = options.task[0] if options.task else DEFAULT_TASK
    known = {spec.id for spec in tasks() if spec.expert}
    if options.what in ("data", "collect") and task not in known:
        raise UnknownTaskError(f"no expert plays {task!r}: one of {sorted(known)}")
    rounds = options.rounds or DEFAULT_ROUNDS
    with open_pair(options, task) as pair:
        found = compare(pair, rounds, options.seconds)
        parts = {name: compare(part, rounds, options.seconds) for name, part in pair.parts.items()}
    from gato_gym.cli.export import machine

    return {
        "task": task,
        **found,
        **({"parts": parts} if parts else {}),
        "rounds": rounds,
        "machine": machine(),
    }


def command_line(options: Options) -> str:
    """The command that these options came from."""
    words = ["gato-gym", "bench", options.what]
    for field_ in fields(options):
        value = getattr(options, field_.name)
        if field_.name in ("what", "json") or value == field_.default:
            continue
        if field_.name == "task":
            words += [word for task in value for word in ("--task", task)]
        else:
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{_flag(field_.name)}", *map(str, values)]
    return shlex.join([*words, "--json"])


def _flag(name: str) -> str:
    return name.replace("_", "-")
