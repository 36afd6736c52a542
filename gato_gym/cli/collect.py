"""Let an expert play tasks and add its episodes to a corpus.

Episodes that the corpus has already are skipped, so the same command again makes what is missing.

example:
    gato-gym collect CartPole-v1 --episodes 20 --noise 0.2 --out corpus
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from gato_gym import envs
from gato_gym.cli.players import print_json
from gato_gym.data.collect import check_expert, collect


@dataclass(frozen=True)
class Options:
    """What to collect."""

    tasks: tyro.conf.Positional[tuple[str, ...]]
    """Task ids."""
    out: Path
    """The corpus; created where there is none."""
    episodes: int = 10
    """Episodes per task."""
    seed: int = 0
    """Seed of the first episode; episode i has seed + i."""
    noise: float = 0.0
    """Share of the steps with injected random actions; the expert's own stay the targets."""
    burst: tuple[int, int] = (1, 8)
    """Shortest and longest run of random actions."""
    workers: int = 1
    """Processes."""
    episodes_per_shard: int = 1
    """Commit after so many; raise it for thousands of tiny episodes."""
    expert: str | None = None
    """Expert id, or the folder of a trained expert; default is the task's own."""
    train_expert: Path | None = None
    """First train the task's learned expert into this folder (or resume), then collect with it."""
    json: bool = False
    """Print JSON."""


def run(options: Options) -> int:
    """Collect task after task."""
    if not options.tasks:
        raise ValueError("name at least one task, e.g. gato-gym collect CartPole-v1 --out corpus")
    for name, value in (("episodes", options.episodes), ("workers", options.workers)):
        if value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    if not 0 <= options.noise <= 1:
        raise ValueError(f"--noise must lie in [0, 1], got {options.noise}")
    if not 1 <= options.burst[0] <= options.burst[1]:
        raise ValueError(
            f"--burst takes the shortest and the longest, at least 1, got {options.burst}"
        )
    for task in options.tasks:  # before the first episode, so that nothing is half done
        if options.train_expert is None:
            check_expert(task, options.expert)
        else:
            envs.make(task).close()
    rows = [_collect(task, options) for task in options.tasks]
    if options.json:
        print_json({"out": str(options.out), "tasks": rows})
    else:
        for row in rows:
            print(
                f"{row['task']}: {row['episodes']} episodes ({row['steps']} steps) added, "
                f"{row['skipped']} were there already"
            )
    return 0


def _collect(task: str, options: Options) -> dict[str, Any]:
    expert = options.expert
    if options.train_expert is not None:
        from gato_gym.agents.experts.sb3 import train_expert

        expert = str(options.train_expert / task.replace("/", "__"))
        print(f"training the expert of {task} in {expert}", file=sys.stderr)
        train_expert(task, Path(expert))
    report = collect(
        task,
        out=options.out,
        episodes=options.episodes,
        seed=options.seed,
        expert=expert,
        noise=options.noise,
        burst=options.burst,
        workers=options.workers,
        episodes_per_shard=options.episodes_per_shard,
    )
    return {
        "task": task,
        "episodes": report.episodes,
        "steps": report.steps,
        "skipped": report.skipped,
        "seed": options.seed,
        "noise": options.noise,
    }
