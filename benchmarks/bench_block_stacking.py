"""Control steps per second of the block-stacking family: python benchmarks/bench_block_stacking.py

Random actions, one process, CPU time: what one core delivers. Each figure is the median over short
windows. One JSON object per line.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence

import gymnasium as gym

from gato_gym import envs
from gato_gym.envs.rendering import choose_backend

WINDOW = 50


def steps_per_second(env: gym.Env, windows: int) -> list[float]:
    """Of each window of `WINDOW` steps; resets are not counted."""
    env.action_space.seed(0)
    env.reset(seed=0)
    rates = []
    while len(rates) < windows:
        actions = [env.action_space.sample() for _ in range(WINDOW)]
        done, terminated, truncated = 0, False, False
        began = time.process_time()
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            done += 1
            if terminated or truncated:
                break
        rates.append(done / (time.process_time() - began))
        if terminated or truncated:
            env.reset()
    return rates


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=40, help=f"of {WINDOW} steps each")
    parser.add_argument("--tasks", nargs="+", help="default is the whole family")
    options = parser.parse_args(arguments)
    family = [spec.id for spec in envs.tasks("manipulation")]
    for task in options.tasks or family:
        env = envs.make(task)
        rates = steps_per_second(env, options.windows)
        env.close()
        pixels = "-pixels" in task
        line = {
            "task": task,
            "unit": "control steps per CPU second",
            "value": round(statistics.median(rates), 1),
            "best": round(max(rates), 1),
            "renderer": choose_backend() if pixels else None,
        }
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
