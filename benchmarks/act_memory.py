"""Act for a long time: does memory grow, does anything compile again?

    python benchmarks/act_memory.py --out benchmarks/results/act_memory.json

`agent.act` over many episodes in one process. What counts is what is resident after the first steps
and at the end; with it how many tensors are alive, and how many graphs were compiled. Exit code 1
where memory has grown by more than --limit, tensors have become more, or something compiled after
warm-up.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli.export import machine
from gato_gym.cli.measure_act import compiled

MB = 1 << 20


def resident() -> int:
    """Bytes of memory that this process holds now; without /proc the most that it ever held."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def tensors() -> int:
    """How many are alive, what nobody needs any more collected."""
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


class Player:
    """An agent in an environment, episode after episode.

    Args:
        agent: any.
        task: an id.
        seed: of the first episode.
    """

    def __init__(self, agent: GatoAgent, task: str, seed: int = 0) -> None:
        self.agent, self.env = agent, envs.make(task)
        self.episodes, self._seed = 0, seed
        self._begin()

    def _begin(self) -> None:
        self.agent.reset(self.env)
        self._obs, _ = self.env.reset(seed=self._seed + self.episodes)
        self.episodes += 1

    def play(self, steps: int) -> None:
        """Act so many times."""
        for _ in range(steps):
            action = self.agent.act(self._obs)
            self._obs, _, terminated, truncated, _ = self.env.step(action)
            if terminated or truncated:
                self._begin()


def watch(player: Player, warm_up: int, steps: int, every: int) -> Iterator[dict[str, Any]]:
    """What is held after the first steps, and again after each part of the others."""
    decoder, done = player.agent.decoder, 0
    player.play(warm_up)
    tensors()  # looking takes memory, too
    graphs, began = compiled(decoder), time.perf_counter()
    while True:
        yield {
            "step": done,
            "episodes": player.episodes,
            "resident": resident(),
            "tensors": tensors(),
            "recompiles": compiled(decoder) - graphs,
            "seconds": round(time.perf_counter() - began, 1),
        }
        if done >= steps:
            return
        part = min(every, steps - done)
        player.play(part)
        done += part


def judge(points: Sequence[dict[str, Any]], limit: int) -> dict[str, Any]:
    """What grew between the first point and the last."""
    first, last = points[0], points[-1]
    grown = last["resident"] - first["resident"]
    more = last["tensors"] - first["tensors"]
    return {
        "value": round(grown / MB, 3),
        "unit": "MB of growth after warm-up",
        "limit": limit,
        "steady": grown <= limit * MB and more <= 0 and not last["recompiles"],
        "steps": last["step"],
        "episodes": last["episodes"],
        "resident_mb": [round(point["resident"] / MB, 2) for point in (first, last)],
        "more_tensors": more,
        "recompiles_after_warm_up": last["recompiles"],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="CartPole-v1")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--warm-up", type=int, default=5_000, help="steps before the first look")
    parser.add_argument("--every", type=int, default=10_000, help="steps between two looks")
    parser.add_argument("--limit", type=float, default=2.0, help="MB that memory may grow by")
    parser.add_argument("--checkpoint", help="a folder or Hub id; default is the bundled weights")
    parser.add_argument("--device", help="cpu or cuda")
    parser.add_argument("--out", type=Path, help="write the figures there, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if min(options.steps, options.warm_up, options.every) < 1:
        parser.error("--steps, --warm-up and --every must be at least 1")
    agent = GatoAgent.from_pretrained(options.checkpoint, device=options.device)
    player, points = Player(agent, options.task), []
    for point in watch(player, options.warm_up, options.steps, options.every):
        points.append(point)
        print(point, file=sys.stderr, flush=True)
    player.env.close()
    words = sys.argv[1:] if arguments is None else arguments
    result = judge(points, options.limit) | {
        "task": options.task,
        "warm_up": options.warm_up,
        "points": points,
        "checkpoint": agent.checkpoint,
        "machine": machine(str(next(agent.model.parameters()).device)),
        "command": shlex.join(["python", "benchmarks/act_memory.py", *words]),
    }
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"{options.task}: {result['steps']:,} steps in {result['episodes']} episodes, "
            f"{result['value']:+.2f} MB of {result['resident_mb'][0]:,.0f}, "
            f"{result['more_tensors']:+d} tensors, "
            f"{result['recompiles_after_warm_up']} recompiles"
        )
    return 0 if result["steady"] else 1


if __name__ == "__main__":
    sys.exit(main())
