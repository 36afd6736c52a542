"""Train with the package and with the plain reference from one seed: are the losses the same?

    python benchmarks/same_loss.py --steps 50 --out benchmarks/results/same_loss.json

Both see the same packed rows, the plain path under a dense mask; the same draws of stochastic
depth; the same learning rates. In fp32 on a CPU. Exit code 1 where a loss differs by more than
--tolerance, relative to the plain one.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gato_gym.cli.bench import Options
from gato_gym.cli.bench_paths import OurPath, PlainPath
from gato_gym.cli.bench_workload import Workload, open_workload
from gato_gym.cli.export import machine

STOCHASTIC_DEPTH = 0.1  # the paper's; the small presets have none


def compare(workload: Workload, tolerance: float) -> dict[str, Any]:
    """Losses of all steps of both, and how far they are apart."""
    steps = workload.train.steps
    ours, plain = (
        [path.step().loss for _ in range(steps)]
        for path in (OurPath(workload), PlainPath(workload, packed=True))
    )
    apart = [abs(a - b) / abs(b) for a, b in zip(ours, plain, strict=True)]
    worst = max(range(steps), key=apart.__getitem__)
    return {
        "value": apart[worst],
        "unit": "largest relative difference of a loss",
        "at_step": worst,
        "tolerance": tolerance,
        "same": apart[worst] <= tolerance,
        "steps": steps,
        "batch": workload.train.batch,
        "model": workload.model.to_json(),
        "tasks": list(workload.shares),
        "first_loss": plain[0],
        "last_loss": plain[-1],
        "losses": {"ours": ours, "plain": plain},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--size", default="bundle")
    parser.add_argument("--context", type=int)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--task", action="append", default=[])
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--out", type=Path, help="write the figures there, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    chosen = Options(
        "train",
        task=tuple(options.task),
        size=options.size,
        context=options.context,
        batch=options.batch,
        corpus=options.corpus,
    )
    with open_workload(chosen, "cpu", torch.get_num_threads()) as workload:
        workload = replace(
            workload,
            model=replace(workload.model, stochastic_depth=STOCHASTIC_DEPTH),
            train=replace(workload.train, steps=options.steps),
        )
        result = compare(workload, options.tolerance)
    words = sys.argv[1:] if arguments is None else arguments
    command = shlex.join(["python", "benchmarks/same_loss.py", *words])
    result |= {"machine": machine(), "command": command}
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['steps']} steps, loss {result['first_loss']:.4f} to "
            f"{result['last_loss']:.4f}: at most {result['value']:.2e} apart (step "
            f"{result['at_step']}), allowed {options.tolerance:g}"
        )
    return 0 if result["same"] else 1


if __name__ == "__main__":
    sys.exit(main())
