"""Stable-Baselines3's `evaluate_policy` and our own `eval` play the same episodes.

    python benchmarks/sb3_evaluate.py --out benchmarks/results/sb3_evaluate.json

`make_vec_env(task, n_envs=N, seed=S)` makes plain Gymnasium environments and seeds copy i with
S + i, so that `evaluate_policy(agent, vec_env, n_eval_episodes=N)` plays the N episodes of
`gato-gym eval --task TASK --episodes N --seed S`. The JSON object holds both lists of returns
and how many steps they took; the exit code is 1 if any differ.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from gato_gym.agents.gato import GatoAgent
from gato_gym.cli.export import machine
from gato_gym.envs.registry import resolve
from gato_gym.evaluation.scores import evaluate

TASKS = ("CartPole-v1:20", "ALE/Boxing-v5:5", "gato_gym/BlockStacking-v0:10")
KINDS = {"dummy": DummyVecEnv, "subproc": SubprocVecEnv}


def compare(agent: GatoAgent, task: str, episodes: int, seed: int, kind: str) -> dict[str, Any]:
    """One row: the returns of both, in order of the seeds."""
    ours = evaluate(task, agent, episodes=episodes, seed=seed)
    vec_env = make_vec_env(resolve(task), n_envs=episodes, seed=seed, vec_env_cls=KINDS[kind])
    ended: dict[int, tuple[float, int]] = {}

    def note(local: dict[str, Any], _: dict[str, Any]) -> None:
        # evaluate_policy lists episodes in the order of their ends; the copy tells the seed.
        end = local["info"].get("episode")
        if end is not None:
            ended.setdefault(local["i"], (float(end["r"]), int(end["l"])))

    try:
        agent.reset(vec_env)
        mean, _ = evaluate_policy(agent, vec_env, n_eval_episodes=episodes, callback=note)
    finally:
        vec_env.close()
    theirs = [ended[copy][0] for copy in range(episodes)]
    # Their monitor rounds returns to six decimals.
    same = theirs == [round(value, 6) for value in ours.returns]
    steps = [round(ours.mean_length * episodes), sum(length for _, length in ended.values())]
    return {
        "task": task,
        "episodes": episodes,
        "seed": seed,
        "vec_env": kind,
        "eval": list(ours.returns),
        "evaluate_policy": theirs,
        "mean": float(mean),
        "steps": steps,
        "same": same and steps[0] == steps[1],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=TASKS, help="each as TASK:EPISODES")
    parser.add_argument("--seed", type=int, default=7000, help="of the first episode")
    parser.add_argument("--vec-env", choices=sorted(KINDS), default="dummy")
    parser.add_argument("--checkpoint", help="folder or Hub id; default is the bundled agent")
    parser.add_argument("--device", help='"cpu" or "cuda"; default is cuda if there is one')
    parser.add_argument("--out", type=Path, help="also write the JSON to this file")
    options = parser.parse_args(arguments)
    agent = GatoAgent.from_pretrained(options.checkpoint, device=options.device)
    rows = []
    for one in options.tasks:
        task, _, episodes = one.rpartition(":")
        rows.append(compare(agent, task, int(episodes), options.seed, options.vec_env))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    told = {
        "rows": rows,
        "checkpoint": agent.checkpoint,
        "machine": machine(str(next(agent.model.parameters()).device)),
        "command": " ".join(["python benchmarks/sb3_evaluate.py", *(arguments or sys.argv[1:])]),
    }
    text = json.dumps(told, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")
    return 0 if all(row["same"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
