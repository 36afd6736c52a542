"""Play a task and report the mean return, its 95 % interval and the expert-normalised score.

0 is random play, 1 the expert that made the data (see gato-gym tasks).

examples:
    gato-gym eval --task CartPole-v1 --episodes 50 --seed 7000 --json
    gato-gym eval --all --episodes 10
    gato-gym eval --all --workers 2 --num-envs 16 --out scorecard.json --chart thresholds.svg
    gato-gym eval --task ALE/Boxing-v5 --agent expert --episodes 20
    gato-gym eval --task text/captioning --episodes 50
    gato-gym eval --task gato_gym/BlockStacking-Instructed-v0 --controls
    gato-gym eval --all --agent expert --ray auto --out experts.json
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gato_gym import envs
from gato_gym.agents.prompted import WithoutPrompt
from gato_gym.cli.eval_all import one_by_one, run_all
from gato_gym.cli.players import (
    AgentKind,
    PrecisionName,
    check_player,
    load_gato,
    load_player,
    own_expert,
    print_json,
    write_json,
)
from gato_gym.cli.score_table import print_table
from gato_gym.data.cluster import check_address, import_ray
from gato_gym.evaluation import cluster
from gato_gym.evaluation.batched import TOGETHER, BatchAgent
from gato_gym.evaluation.comparisons import compare, control_of
from gato_gym.evaluation.controls import SameWordsError
from gato_gym.evaluation.language import TruthRecorder
from gato_gym.evaluation.processes import Outcome, Play, play_in_processes
from gato_gym.evaluation.progress import ProgressBar
from gato_gym.evaluation.scores import Score, agent_name, evaluate


@dataclass(frozen=True)
class Options:
    """Who plays what, and where the result goes."""

    task: str | None = None
    """Task id."""
    all: bool = False
    """All tasks that the checkpoint was trained on; that have an expert; or that are installed."""
    episodes: int = 50
    """Episodes per task; 10 for a quick look."""
    seed: int = 7000
    """Seed of the first episode; episode i has seed + i."""
    agent: AgentKind = "gato"
    """Who plays: the model, the task's expert, or uniformly random actions."""
    checkpoint: str | None = None
    """Folder or Hub id of the model; default is the bundled one."""
    no_prompt: bool = False
    """Begin episodes without the task's demonstration (gato only)."""
    precision: PrecisionName = "float32"
    """Number format of the model's weights (gato only; int8 needs the extra "quantize")."""
    num_envs: int | None = None
    """Episodes that the model plays at once, in one batch; the episodes and their returns are those
    of 1. Default 8 (experts and random play: one after the other)."""
    ray: str | None = None
    """Play on a Ray cluster: HOST:PORT, ray://HOST:PORT, auto, or local to start one here."""
    workers: int | None = None
    """With --all: processes of this machine that share the tasks, with one thread each. With --ray:
    players at once at most; default is one per CPU of the cluster."""
    controls: bool = False
    """Also play each task without what it needs to know, e.g. with another episode's instruction,
    and measure baselines and perplexity (gato only). With --task, text tasks do so anyway."""
    no_controls: bool = False
    """Not even for a text task."""
    out: Path | None = None
    """Also write the JSON to this file. With --all each finished task is kept beside it at once, so
    the same command goes on where it was stopped."""
    chart: Path | None = None
    """With --all: draw how many tasks reach x % of the expert, into a file .svg or .png."""
    json: bool = False
    """Print JSON."""


def run(options: Options) -> int:
    """Play and print."""
    if (options.task is None) == (not options.all):
        raise ValueError("pass either --task ID or --all")
    if options.workers is not None and options.workers < 1:
        raise ValueError(f"--workers must be at least 1, got {options.workers}")
    if options.workers is not None and options.ray is None and not options.all:
        raise ValueError(
            "--workers shares out tasks: it is for --all; --ray local shares out episodes of one"
        )
    if options.episodes < 1:
        raise ValueError(f"--episodes must be at least 1, got {options.episodes}")
    if options.chart is not None and not options.all:
        raise ValueError("--chart counts tasks: it is for --all")
    _check_num_envs(options)
    _check_controls(options)
    if options.ray is not None:
        # What is wrong with the options is told before a model is loaded or a cluster started.
        check_address(options.ray)
        import_ray()
    check_player(options.agent, options.checkpoint, not options.no_prompt, options.precision)
    if options.all:
        return _run_all(options)
    score = _play(str(options.task), options) if options.ray is None else _on_cluster(options)
    result = score.to_json()
    if options.out is not None:
        write_json(options.out, result)
    if options.json:
        print_json(result)
    else:
        print_table([result])
    return 0


def _check_num_envs(options: Options) -> None:
    if options.num_envs is None:
        return
    if options.num_envs < 1:
        raise ValueError(f"--num-envs must be at least 1, got {options.num_envs}")
    if options.ray is not None:
        raise ValueError("--num-envs is for play in this process; with --ray pass --workers N")
    if options.agent != "gato" and options.num_envs > 1:
        raise ValueError(
            f"--num-envs {options.num_envs} is for --agent gato: --agent {options.agent} plays one "
            "episode after the other; to play several at once, pass --ray local --workers N, or "
            "--all --workers N for several tasks"
        )


def _check_controls(options: Options) -> None:
    if options.controls and options.no_controls:
        raise ValueError("pass --controls or --no-controls, not both")
    if options.controls and options.ray is not None:
        raise ValueError("--controls plays in this process: leave --ray out")
    if options.controls and options.agent != "gato":
        raise ValueError(
            f"--controls is for --agent gato: --agent {options.agent} does not need to be told"
        )


def _run_all(options: Options) -> int:
    agent: Any = None
    if options.ray is not None:
        cast, name_of, agent = _cast(options)

        def play_there(tasks: Sequence[str]) -> Iterator[Outcome]:
            return cluster.play_on_cluster(
                str(options.ray),
                tasks,
                cast,
                name_of,
                episodes=options.episodes,
                seed=options.seed,
                workers=options.workers,
            )

        return run_all(options, agent, _title(options, agent), play_there)
    if options.agent == "gato":
        agent = _load_for_all(options)
    if options.workers is not None:

        def play_at_once(tasks: Sequence[str]) -> Iterator[Outcome]:
            yield from play_in_processes(
                tasks, int(options.workers or 1), partial(_player, options)
            )

        return run_all(options, agent, _title(options, agent), play_at_once)

    def play(task: str, title: str) -> Score:
        return _play(task, options, None if agent is None else (agent, None), title)

    return run_all(options, agent, _title(options, agent), partial(one_by_one, play=play))


def _load_for_all(options: Options) -> Any:
    agent, _ = load_player(
        "gato",
        "",
        checkpoint=options.checkpoint,
        prompt=not options.no_prompt,
        seed=options.seed,
        precision=options.precision,
    )
    return agent


def _player(options: Options) -> Play:
    """What plays a task in a process of its own; bars of several would overwrite each other."""
    if options.agent != "gato":
        return partial(_play, options=options, watch=False)
    import torch

    torch.set_num_threads(1)
    return partial(_play, options=options, player=(_load_for_all(options), None), watch=False)


def _title(options: Options, agent: Any) -> str:
    return options.agent if agent is None else agent_name(agent)


def _cast(options: Options) -> tuple[cluster.Cast, Callable[[str], str], Any]:
    """Who plays on a cluster, its name in the score of a task, and the model if it is one."""
    if options.agent == "expert":
        return cluster.OwnExperts(), own_expert, None
    if options.agent == "random":
        return cluster.RandomPlay(options.seed), lambda task: "random", None
    agent: Any = load_gato(options.checkpoint, device="cpu", precision=options.precision)
    agent = WithoutPrompt(agent) if options.no_prompt else agent
    return cluster.SameAgent(agent), lambda task: agent_name(agent), agent


def _on_cluster(options: Options) -> Score:
    task = envs.task_spec(str(options.task)).id
    cast, name_of, agent = _cast(options)
    _warn_untrained(task, agent)
    (score,) = cluster.evaluate_on_cluster(
        str(options.ray),
        [task],
        cast,
        [name_of(task)],
        episodes=options.episodes,
        seed=options.seed,
        workers=options.workers,
    )
    return score


def _play(
    task: str,
    options: Options,
    player: tuple[Any, str | None] | None = None,
    title: str | None = None,
    watch: bool = True,
) -> Score:
    # An unknown task is told before a model is loaded.
    envs.make(task).close()
    compared = _is_compared(task, options)
    agent, name = player or load_player(
        options.agent,
        task,
        checkpoint=options.checkpoint,
        prompt=not options.no_prompt,
        seed=options.seed,
        precision=options.precision,
    )
    _warn_untrained(task, agent)
    in_batches = isinstance(agent, BatchAgent)
    num_envs = options.num_envs or (TOGETHER if in_batches else 1)
    if num_envs > 1 and not in_batches:
        raise ValueError(f"--num-envs {num_envs}: {agent_name(agent)} plays one episode at a time")
    truth = TruthRecorder(task)
    show = partial(ProgressBar, hidden=not watch)
    with show(title or task, options.episodes) as bar:
        score = evaluate(
            task,
            agent,
            episodes=options.episodes,
            seed=options.seed,
            observers=[bar, truth] if compared else [bar],
            checkpoint=name or agent_name(agent),
            num_envs=num_envs,
        )
    if not compared:
        return score
    prompt = None if options.no_prompt else "expert"
    model: Any = agent.agent if isinstance(agent, WithoutPrompt) else agent
    try:
        beside = compare(score, agent, model, truth.episodes, prompt=prompt, watch=show)
    except SameWordsError:
        if not options.all:
            raise
        return score  # it has no control, as tasks without words have none
    return replace(score, beside=beside)


def _is_compared(task: str, options: Options) -> bool:
    if options.agent != "gato" or options.no_controls:
        return False
    spec = envs.task_spec(task)
    if not options.controls:
        return spec.speaks and not options.all
    has_some = spec.speaks or control_of(spec) is not None
    if not has_some and not options.all:
        raise ValueError(f"--controls: {task} observes no text that could be another episode's")
    return has_some


def _warn_untrained(task: str, agent: Any) -> None:
    known = getattr(agent, "specs", None)  # experts and random play have no list of tasks
    if known is not None and task not in known:
        nearest = difflib.get_close_matches(task, known, n=3, cutoff=0.0)
        print(
            f"gato-gym eval: warning: {task} is not among the {len(known)} tasks that this "
            f"checkpoint was trained on; nearest: {', '.join(nearest)}",
            file=sys.stderr,
        )
