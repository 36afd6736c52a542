"""What playing in batches brings to `gato-gym eval`, environments included.

    python benchmarks/eval_batches.py --out benchmarks/results/eval_batches.json

The bundled agent plays the same episodes 1, 4, 8 and 16 at once, in turn and several times over, so
that a busy machine slows all alike. One JSON object: for each task and number of environments the
median and best steps per second, and whether the returns were those of playing alone.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

from gato_gym.agents.gato import GatoAgent
from gato_gym.cli.export import machine
from gato_gym.evaluation.scores import evaluate

BATCHES = (1, 4, 8, 16)


def measure(
    agent: GatoAgent, task: str, batches: Sequence[int], episodes: int, rounds: int
) -> list[dict[str, Any]]:
    """One row for each number of environments."""
    rates: dict[int, list[float]] = {many: [] for many in batches}
    returns: dict[int, tuple[float, ...]] = {}
    for _ in range(rounds):
        for many in batches:
            score = evaluate(task, agent, episodes=episodes, seed=7000, num_envs=many)
            rates[many].append(score.steps_per_second)
            returns[many] = score.returns
    return [
        {
            "task": task,
            "num_envs": many,
            "median": round(statistics.median(rates[many]), 1),
            "best": round(max(rates[many]), 1),
            "same_returns": returns[many] == returns[batches[0]],
        }
        for many in batches
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", help="default is every task of the checkpoint")
    parser.add_argument("--num-envs", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--episodes", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkpoint", help="folder or Hub id; default is the bundled agent")
    parser.add_argument("--device", help='"cpu" or "cuda"; default is cuda if there is one')
    parser.add_argument("--out", type=Path, help="also write the JSON to this file")
    options = parser.parse_args(arguments)
    agent = GatoAgent.from_pretrained(options.checkpoint, device=options.device)
    rows = []
    for task in options.tasks or list(agent.specs):
        found = measure(agent, task, options.num_envs, options.episodes, options.rounds)
        for row in found:
            print(json.dumps(row), file=sys.stderr, flush=True)
        rows += found
    told = {
        "unit": "environment steps per second of the wall clock",
        "rows": rows,
        "episodes": options.episodes,
        "rounds": options.rounds,
        "checkpoint": agent.checkpoint,
        "machine": machine(str(next(agent.model.parameters()).device)),
        "command": " ".join(["python benchmarks/eval_batches.py", *(arguments or sys.argv[1:])]),
    }
    text = json.dumps(told, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")
    return 0 if all(row["same_returns"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
