"""Fine-tune the bundled agent on a task that it does not know: all weights, LoRA, and from scratch.

    OMP_NUM_THREADS=1 python benchmarks/few_shot.py --work W
    python demos/few_shot.py

The first line collects the episodes, then runs `gato-gym finetune` for every way and number of
episodes, and writes `benchmarks/results/few_shot.json` after each; the same command goes on where
it was stopped. The second makes `docs/few_shot.png` and the table of `docs/finetuning.md` of it.

The protocol is the paper's but for its size: fewer and smaller steps at higher rates, and fewer
episodes per evaluation, so that all of it takes less than an hour of one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gato_gym.cli import main as gato_gym
from gato_gym.cli.players import write_json

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "few_shot.json"
WAYS: dict[str, list[str]] = {
    "all weights": ["--learning-rate", "1e-3"],
    "LoRA": ["--lora", "--learning-rate", "5e-3"],
    "from scratch": ["--scratch", "--learning-rate", "1e-3"],
}
SIZE = ["--batch", "4", "--steps", "120"]
SIZE += ["--evaluate-every", "20", "--evaluate-episodes", "5", "--smooth", "3"]
KEPT = (
    *("task", "episodes", "draw", "score", "score_at_step", "normalized", "random", "expert"),
    *("before", "last", "steps", "tokens", "seconds", "parameters", "trained_parameters"),
    *("data", "settings", "command", "machine", "versions"),
)


def one(
    way: str, task: str, episodes: int, draw: int, work: Path, checkpoint: str | None
) -> dict[str, Any]:
    """Run one cell, or read it where it is finished."""
    out = work / f"{way.replace(' ', '-')}-{episodes}-{draw}"
    data = ["--task", task, "--corpus", str(work / "corpus"), "--episodes", str(episodes)]
    run = ["--draw", str(draw), "--out", str(out), "--threads", "1", "--log-every", "50"]
    run += [] if checkpoint is None else ["--checkpoint", checkpoint]
    if not (out / "result.json").exists():
        code = gato_gym(["finetune", *data, *run, *SIZE, *WAYS[way]])
        if code:
            raise SystemExit(code)
    result = json.loads((out / "result.json").read_text())
    kept = {name: result[name] for name in KEPT}
    kept["data"] = {name: value for name, value in kept["data"].items() if name != "seeds"}
    curve = [{k: p[k] for k in ("step", "mean_return")} for p in result["curve"]]
    return {"way": way, **kept, "curve": curve}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="corpus and runs")
    parser.add_argument("--checkpoint", help="agent to start from; default is the bundled one")
    parser.add_argument("--task", default="MountainCar-v0")
    parser.add_argument("--collected", type=int, default=1000, help="episodes of the corpus")
    parser.add_argument("--episodes", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--draws", type=int, nargs="+", default=[0])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    collect = ["collect", options.task, "--episodes", str(options.collected), "--seed", "10000"]
    code = gato_gym([*collect, "--out", str(options.work / "corpus")])
    if code:
        return code
    runs = []
    for draw in options.draws:
        for episodes in options.episodes:
            for way in options.ways:
                cell = (way, options.task, episodes, draw)
                runs.append(one(*cell, options.work, options.checkpoint))
                write_json(options.out, {"task": options.task, "runs": runs})
    return 0


if __name__ == "__main__":
    sys.exit(main())
