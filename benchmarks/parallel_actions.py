"""What it costs to predict all numbers of an action at once: validation loss, returns, time.

    OMP_NUM_THREADS=1 python benchmarks/parallel_actions.py --work W

Collects episodes of scripted experts, trains one model number by number and one with
`--parallel-actions` on the same rows from the same start, and plays both. The numbers of a
reaching arm's action are a function of what it sees. A player of Battleship picks a row, then a
column: which one fits depends on that row, and it sees whether it hit, not where it has shot.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli import main as gato_gym
from gato_gym.cli.export import machine
from gato_gym.cli.players import write_json
from gato_gym.evaluation.scores import evaluate

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "parallel_actions.json"
TASKS = ("FetchReach-v4", "popgym-BattleshipEasy-v0")
WAYS: dict[str, list[str]] = {"number by number": [], "at once": ["--parallel-actions"]}
KEPT = ("mean_return", "ci95", "normalized", "random", "expert")


def trained(way: str, options: argparse.Namespace, corpus: Path) -> dict[str, Any]:
    """Validation losses of one way, and its agent's folder."""
    out = options.work / way.replace(" ", "-")
    run = ["--corpus", str(corpus), "--out", str(out), "--size", options.size, "--threads", "1"]
    length = ["--steps", str(options.steps), "--batch", str(options.batch)]
    check = ["--held-out", "0.1", "--validate-every", str(options.steps)]
    code = gato_gym(["train", *run, *length, *check, "--seed", str(options.seed), *WAYS[way]])
    if code:
        raise SystemExit(code)
    line = json.loads((out / "validation.jsonl").read_text().splitlines()[-1])
    return {"agent": str(out / "agent"), "loss": line["losses"], "accuracy": line["accuracy"]}


def act_times(agents: dict[str, GatoAgent], task: str, steps: int) -> dict[str, float]:
    """Median milliseconds of `act`, the agents in turn on the same observations."""
    env, times = envs.make(task), {way: list[float]() for way in agents}
    for agent in agents.values():
        agent.reset(env)
    obs, _ = env.reset(seed=0)
    for step in range(steps):
        for way, agent in agents.items():
            began = time.perf_counter()
            action = agent.act(obs)
            times[way].append(time.perf_counter() - began)
        obs, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            obs, _ = env.reset(seed=step)
    env.close()
    return {way: 1e3 * float(np.median(of)) for way, of in times.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="corpus and runs")
    parser.add_argument("--task", action="append", help=f"default: {', '.join(TASKS)}")
    parser.add_argument("--collected", type=int, default=300, help="episodes of each task")
    parser.add_argument("--size", default="bundle")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the training runs")
    parser.add_argument("--episodes", type=int, default=50, help="played, of each task")
    parser.add_argument("--timed", type=int, default=300, help="steps")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    corpus, tasks = options.work / "corpus", options.task or TASKS
    number = ["--episodes", str(options.collected), "--seed", "10000"]
    for task in tasks:
        if code := gato_gym(["collect", task, *number, "--out", str(corpus)]):
            return code
    runs = {way: trained(way, options, corpus) for way in WAYS}
    agents = {way: GatoAgent.from_pretrained(run["agent"]) for way, run in runs.items()}
    words = sys.argv[1:] if arguments is None else list(arguments)
    words = [Path(word).name if word == str(options.work) else word for word in words]
    told = {"size": options.size, "steps": options.steps, "batch": options.batch}
    result: dict[str, Any] = told | {
        "collected": options.collected,
        "episodes": options.episodes,
        "tasks": {},
        "machine": machine(),
        "command": shlex.join(["python", "benchmarks/parallel_actions.py", *words]),
    }
    for task in tasks:
        times = act_times(agents, task, options.timed)
        found = result["tasks"][task] = {}
        for way, agent in agents.items():
            score = evaluate(task, agent, episodes=options.episodes, seed=7000).to_json()
            found[way] = {
                "validation_loss": runs[way]["loss"][task],
                "validation_accuracy": runs[way]["accuracy"][task],
                **{name: score[name] for name in KEPT},
                "act_p50_ms": times[way],
            }
        write_json(options.out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
