"""The figures of `gato-gym bench train`, from what its processes measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gato_gym.cli.bench_paths import StepFigures
from gato_gym.cli.bench_workload import Workload
from gato_gym.envs.registry import domain_of

PUBLISHED = {
    "what": "environment steps/s in training on Meta-World: 39 observation and 4 action numbers, "
    "4 layers x 256, batch 4",
    "source": "measured on two CPU cores, elsewhere",
    "JAT, 2 tokens a step": 187.0,
    "JAT's faithful-Gato predecessor, 44 tokens a step": 7.0,
    "NEKO": 6.5,
}

SAVINGS = (
    "each rung adds one saving; forward and backward on some rows, scaled to the batch, and one "
    "optimiser step; without the loader"
)


class Round(NamedTuple):
    """The steps of both paths in one round."""

    ours: Sequence[StepFigures]
    plain: Sequence[StepFigures]


def report(
    workload: Workload, rounds: Sequence[Round], facts: Sequence[Mapping[str, Any]], patches: float
) -> dict[str, Any]:
    """What the rounds show.

    Args:
        workload: what was trained.
        rounds: at least one.
        facts: of ours and of the plain path, see `TrainingPath.facts`.
        patches: seconds of a step for the patch network.
    """
    steps = [[step for one in rounds for step in one[path]] for path in (0, 1)]
    rates = [[rate(one[path]) for one in rounds] for path in (0, 1)]
    value, reference = map(statistics.median, rates)
    ratios = [mine / theirs for mine, theirs in zip(*rates, strict=True)]
    memory = [fact["memory"] for fact in facts]
    peak = facts[0]["peak_flops"]

    def both(figure: Callable[[int], float], digits: int) -> dict[str, Any]:
        return {n: round(figure(path), digits) for path, n in enumerate(("value", "reference"))}

    def share(part: str, whole: str) -> dict[str, Any]:
        return both(lambda path: _sum(steps[path], part) / _sum(steps[path], whole), 4)

    result = {
        "value": round(value, 2),
        "unit": "tokens/s",
        "reference": round(reference, 2),
        "ratio": round(value / reference, 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "rounds": len(rounds),
        "steps": both(lambda path: len(steps[path]), 0),
        "step_seconds": both(lambda path: mean_seconds(steps[path]), 4),
        "env_steps": both(lambda path: rate(steps[path], "env_steps"), 2)
        | {"tokens_per_step": round(_sum(steps[0], "tokens") / _sum(steps[0], "env_steps"), 2)},
        "utilisation": both(lambda path: rate(steps[path], "flops") / peak, 4)
        | {
            "flops_per_step": round(_sum(steps[0], "flops") / len(steps[0])),
            "peak_flops": round(peak),
            "peak_source": facts[0]["peak_source"],
        },
        "memory_gb": both(lambda path: memory[path] / 1e9, 3)
        | {
            "saving": round(1 - memory[0] / memory[1], 4),
            "measured_as": facts[0]["measured_as"],
        },
        "padding": share("padding", "size"),
        "loader_wait": share("waited", "seconds"),
        "patch_network": round(patches / mean_seconds(steps[0]), 4),
        "loss": both(lambda path: statistics.mean(step.loss for step in steps[path]), 4),
        "model": workload.model.to_json() | {"parameters": facts[0]["parameters"]},
        "batch": both(lambda path: facts[path]["batch"], 0),
        "compiled": workload.compiled,
        "tasks": {task: round(share_, 4) for task, share_ in workload.shares.items()},
        "device": workload.device,
    }
    if {domain_of(task) for task in workload.shares} == {"meta_world"}:
        result["published"] = PUBLISHED
    return result


def savings(
    passes: Sequence[Sequence[tuple[str, float, float]]], rows: int, batch: int
) -> dict[str, Any]:
    """What each rung of the ladder is worth.

    A rung's gain is its factor over the rung before it, its share that of the logarithm of the
    whole gain: shares add up to 1 however many savings there are.

    Args:
        passes: what `Ladder.measure` returned each time.
        rows, batch: it took so many rows of so many.
    """
    rates = [statistics.median(rung[1] for rung in rungs) for rungs in zip(*passes, strict=True)]
    seconds = [statistics.median(rung[2] for rung in rungs) for rungs in zip(*passes, strict=True)]
    whole = math.log(rates[-1] / rates[0])
    rungs = []
    for index, (name, _, _) in enumerate(passes[0]):
        gain = rates[index] / rates[max(0, index - 1)]
        rungs.append(
            {
                "name": name,
                "tokens_per_second": round(rates[index], 2),
                "step_seconds": round(seconds[index], 4),
                "ratio": round(rates[index] / rates[0], 3),
                "gain": round(gain, 3),
                "share": round(math.log(gain) / whole, 3) if whole else 0.0,
            }
        )
    return {"how": SAVINGS, "rows": rows, "of": batch, "passes": len(passes), "rungs": rungs}


def lines(result: Mapping[str, Any]) -> list[str]:
    """The other figures, for people."""
    steps, used, memory = result["env_steps"], result["utilisation"], result["memory_gb"]
    waited, padding = result["loader_wait"], result["padding"]
    told = [
        f"environment steps/s: {steps['value']:,.1f}, reference {steps['reference']:,.1f}; "
        f"{steps['tokens_per_step']} tokens each",
        f"utilisation: {used['value']:.1%}, reference {used['reference']:.1%} of "
        f"{used['peak_flops'] / 1e12:.3g} TFLOP/s ({used['peak_source']})",
        f"peak memory: {memory['value']:.2f} GB, reference {memory['reference']:.2f} GB, "
        f"{memory['saving']:.0%} less ({memory['measured_as']})",
        f"padding: {padding['value']:.1%}, reference {padding['reference']:.1%}",
        f"waiting for data: {waited['value']:.2%}, reference {waited['reference']:.2%}",
        f"patch network: {result['patch_network']:.1%} of a step",
    ]
    return told + [
        f"  {rung['name']:28} {rung['tokens_per_second']:>10,.1f} tokens/s   x {rung['gain']:.2f}"
        for rung in result["savings"]["rungs"]
    ]


def rate(steps: Sequence[StepFigures], unit: str = "tokens") -> float:
    """A figure of the steps per second."""
    return _sum(steps, unit) / _sum(steps, "seconds")


def mean_seconds(steps: Sequence[StepFigures]) -> float:
    """Of a step."""
    return _sum(steps, "seconds") / len(steps)


def _sum(steps: Sequence[StepFigures], name: str) -> float:
    return float(sum(getattr(step, name) for step in steps))
