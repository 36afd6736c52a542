"""Play a task and report the mean return, its 95 % interval and the expert-normalised score.

0 is random play, 1 the expert that made the data (see gato-gym tasks).

examples:
    gato-gym eval --task CartPole-v1 --episodes 50 --seed 7000 --json
    gato-gym eval --all --episodes 50 --out scorecard.json
    gato-gym eval --task ALE/Boxing-v5 --agent expert --episodes 20
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gato_gym import envs
from gato_gym.cli.players import AgentKind, load_player, print_json, write_json
from gato_gym.evaluation.progress import ProgressBar
from gato_gym.evaluation.scores import Score, agent_name, evaluate, summarize


@dataclass(frozen=True)
class Options:
    """Who plays what, and where the result goes."""

    task: str | None = None
    """Task id."""
    all: bool = False
    """All tasks that the checkpoint was trained on; that have an expert; or that are installed."""
    episodes: int = 50
    """Episodes per task."""
    seed: int = 7000
    """Seed of the first episode; episode i has seed + i."""
    agent: AgentKind = "gato"
    """Who plays: the model, the task's expert, or uniformly random actions."""
    checkpoint: str | None = None
    """Folder or Hub id of the model; default is the bundled one."""
    no_prompt: bool = False
    """Begin episodes without the task's demonstration (gato only)."""
    out: Path | None = None
    """Also write the JSON to this file."""
    json: bool = False
    """Print JSON."""


def run(options: Options) -> int:
    """Play and print."""
    if (options.task is None) == (not options.all):
        raise ValueError("pass either --task ID or --all")
    scores = _bundle(options) if options.all else [_play(str(options.task), options)]
    result: dict[str, Any]
    if options.all:
        domains = {one.task: envs.task_spec(one.task).domain for one in scores}
        result = {
            "tasks": [one.to_json() for one in scores],
            "domains": summarize(scores, domains),
            "checkpoint": scores[0].checkpoint if options.agent == "gato" else options.agent,
        }
    else:
        result = scores[0].to_json()
    if options.out is not None:
        write_json(options.out, result)
    if options.json:
        print_json(result)
    else:
        print_table(scores)
    return 0


def _bundle(options: Options) -> list[Score]:
    if options.agent != "gato":
        chosen = [spec for spec in envs.tasks() if spec.expert or options.agent == "random"]
        return [_play(spec.id, options) for spec in chosen]
    agent: Any
    agent, name = load_player(
        "gato", "", checkpoint=options.checkpoint, prompt=not options.no_prompt, seed=options.seed
    )
    return [_play(task, options, (agent, name)) for task in agent.specs]


def _play(task: str, options: Options, player: tuple[Any, str | None] | None = None) -> Score:
    # An unknown task is told before a model is loaded.
    envs.make(task).close()
    agent, name = player or load_player(
        options.agent,
        task,
        checkpoint=options.checkpoint,
        prompt=not options.no_prompt,
        seed=options.seed,
    )
    known = getattr(agent, "specs", None)  # experts and random play have no list of tasks
    if known is not None and task not in known:
        print(
            f"gato-gym eval: warning: {task} is not among the tasks that this checkpoint was "
            f"trained on: {', '.join(known)}",
            file=sys.stderr,
        )
    with ProgressBar(task, options.episodes) as bar:
        return evaluate(
            task,
            agent,
            episodes=options.episodes,
            seed=options.seed,
            observers=[bar],
            checkpoint=name or agent_name(agent),
        )


def print_table(scores: list[Score]) -> None:
    """One line per score, for people."""
    print(f"{'task':28}{'episodes':>9}{'return':>10}{'95 % interval':>20}", end="")
    print(f"{'expert':>9}{'normalised':>12}{'success':>9}{'steps/s':>9}")
    for one in scores:
        interval = f"[{one.ci95[0]:.1f}, {one.ci95[1]:.1f}]"
        expert = "-" if one.expert is None else f"{one.expert:.1f}"
        normalized = "-" if one.normalized is None else f"{one.normalized:.2f}"
        success = "-" if one.success_rate is None else f"{one.success_rate:.0%}"
        print(f"{one.task:28}{one.episodes:9}{one.mean_return:10.1f}{interval:>20}", end="")
        print(f"{expert:>9}{normalized:>12}{success:>9}{one.steps_per_second:9.0f}")
