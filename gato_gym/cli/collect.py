"""Let experts play tasks, many at once, and add their episodes to a corpus.

Episodes that the corpus has already are skipped, so the same command again makes what is missing.
A TASK may be a pattern; of a pattern or domain those tasks are meant that have an expert. A task
that fails does not stop the others: it is told at the end, and the exit code is 1.

examples:
    gato-gym collect CartPole-v1 --episodes 20 --noise 0.2 --out corpus
    gato-gym collect 'Meta-World/*' --domain babyai --episodes 100 --workers 8 --out corpus
    gato-gym collect ALE/Skiing-v5 --learner runs/agent --episodes 50 --out corpus
    gato-gym collect --domain atari --episodes 50 --out corpus --dry-run
    gato-gym collect --domain atari --episodes 50 --out corpus --ray auto
    gato-gym collect Hopper-v5 --train-expert --episodes 0
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from gato_gym.agents.experts import weights_folder
from gato_gym.cli.choose_tasks import choose_tasks
from gato_gym.cli.players import load_gato, print_json
from gato_gym.data.cluster import check_address, connected, import_ray
from gato_gym.data.cluster_collect import RayExecutor
from gato_gym.data.collect import TaskReport, check_expert, collect_jobs
from gato_gym.data.corpus import Corpus
from gato_gym.data.executors import InProcess, ProcessPool
from gato_gym.data.folder import FORMAT_FILE
from gato_gym.data.jobs import Executor, Job, Quality
from gato_gym.envs.registry import registered, resolve
from gato_gym.errors import GatoGymError, UnknownTaskError
from gato_gym.types import TaskSpec


@dataclass(frozen=True)
class Options:
    """What to collect."""

    tasks: tyro.conf.Positional[tuple[str, ...]]
    """Task ids, or patterns like 'Meta-World/*'."""
    domain: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """All tasks of this domain that have an expert; may be repeated."""
    out: Path | None = None
    """The corpus; created where there is none."""
    episodes: int = 10
    """Episodes per task."""
    seed: int = 0
    """Seed of the first episode; the others count up."""
    noise: float = 0.0
    """Share of the steps with injected actions, random ones or a learner's; the expert's own stay
    the targets."""
    burst: tuple[int, int] = (1, 8)
    """Shortest and longest run of injected actions."""
    random_start: int = 0
    """Up to so many random actions before the expert takes over; its own are the targets."""
    max_steps: int = 0
    """Cut episodes there, e.g. where the arm only holds still from then on; 0 = the task's end."""
    learner: str | None = None
    """An agent's folder, a Hub id or "bundled": it plays, the expert's actions are the targets.
    With --noise it plays that share of the steps, in runs of --burst, the expert the others."""
    min_return: float | None = None
    """Keep only episodes with at least this return."""
    min_fraction: float | None = None
    """Keep only episodes at this share of the way from the task's random to its expert score."""
    only_success: bool = False
    """Keep only episodes whose task reports success at the end."""
    max_attempts: int | None = None
    """Seeds tried per task, if episodes can be rejected; default is three per episode."""
    workers: int | None = None
    """Processes, over the episodes of all tasks together; default 1, with --ray one per CPU."""
    ray: str | None = None
    """Play on a Ray cluster: HOST:PORT, ray://HOST:PORT, auto, or local to start one here."""
    episodes_per_shard: int | None = None
    """Commit after so many; default is as many as take about a second."""
    expert: str | None = None
    """Expert id, or the folder of a trained expert; default is the task's own."""
    train_expert: bool = False
    """First train the learned expert of each task (or resume), then collect with it."""
    experts: Path = Path("experts")
    """Where trained experts are, one folder for each task."""
    train_steps: int | None = None
    """Steps of the training; default is the recipe's."""
    dry_run: bool = False
    """Play one episode of each task and tell what the collection would take; write nothing."""
    json: bool = False
    """Print JSON."""


def run(options: Options) -> int:
    """Train, estimate or collect."""
    _check(options)
    tasks = choose_tasks(options.tasks, options.domain, _suits(options), _what(options))
    if not tasks:
        raise ValueError("name at least one task, e.g. gato-gym collect CartPole-v1 --out corpus")
    # All before the first episode, so that nothing is half done.
    if options.train_expert:
        return _train(tasks, options)
    learner = _load_learner(options.learner)
    jobs = [_job(task, options.expert, options, learner) for task in tasks]
    if options.dry_run:
        return _estimate(jobs, options)
    return _collect(jobs, [], options)


def _load_learner(checkpoint: str | None) -> tuple[Any, str]:
    """The agent that plays, and its weights' fingerprint."""
    if checkpoint is None:
        return None, ""
    from gato_gym.training.adapt import fingerprint

    agent = load_gato(checkpoint)
    return agent, fingerprint(agent.model)


def _check(options: Options) -> None:
    least = 0 if options.train_expert else 1
    for name, value, low in (
        ("episodes", options.episodes, least),
        ("workers", options.workers, 1),
        ("episodes-per-shard", options.episodes_per_shard, 1),
        ("random-start", options.random_start, 0),
        ("max-steps", options.max_steps, 0),
        ("train-steps", options.train_steps, 1),
    ):
        if value is not None and value < low:
            raise ValueError(f"--{name} must be at least {low}, got {value}")
    if not 0 <= options.noise <= 1:
        raise ValueError(f"--noise must lie in [0, 1], got {options.noise}")
    if not 1 <= options.burst[0] <= options.burst[1]:
        raise ValueError(
            f"--burst takes the shortest and the longest, at least 1, got {options.burst}"
        )
    if options.learner is not None and options.random_start:
        raise ValueError("--learner plays from the start: leave --random-start out")
    attempts = options.max_attempts
    if attempts is not None and attempts < options.episodes:
        raise ValueError(f"--max-attempts {attempts} is below --episodes {options.episodes}")
    only_trains = options.train_expert and options.episodes == 0
    if options.out is None and not options.dry_run and not only_trains:
        hint = ", or --episodes 0 to train only" if options.train_expert else ""
        raise ValueError(f"--out is missing: the folder of the corpus, e.g. --out corpus{hint}")
    if options.train_expert:
        for name, given in (
            ("expert", options.expert),
            ("dry-run", options.dry_run),
            ("learner", options.learner),
        ):
            if given:
                raise ValueError(f"--train-expert makes the expert: leave --{name} out")
    elif options.train_steps is not None:
        raise ValueError("--train-steps is for --train-expert")
    if options.ray is not None:
        if options.dry_run:
            raise ValueError("--dry-run plays on this machine: leave --ray out")
        check_address(options.ray)
        import_ray()


def _suits(options: Options) -> Any:
    def suits(spec: TaskSpec) -> bool:
        if options.train_expert:
            from gato_gym.agents.experts.hyperparameters import hyperparameters_for

            return hyperparameters_for(spec.id) is not None
        return options.expert is not None or spec.expert is not None

    return suits


def _what(options: Options) -> str:
    return "has settings for training" if options.train_expert else "has an expert"


def _job(
    task: str, expert: str | None, options: Options, learner: tuple[Any, str] = (None, "")
) -> Job:
    agent, name = check_expert(task, expert)
    return Job(
        task=task,
        agent=agent,
        expert=name,
        noise=options.noise,
        burst=options.burst,
        random_start=options.random_start,
        max_steps=options.max_steps,
        quality=_quality(task, options),
        learner=learner[0],
        learner_name=learner[1],
    )


def _quality(task: str, options: Options) -> Quality:
    """The filter of a task; a share of its scores becomes a return."""
    spec = registered(task)
    least = options.min_return
    if options.min_fraction is not None:
        if spec is None or spec.random_score is None or spec.expert_score is None:
            raise GatoGymError(
                f"--min-fraction needs the random and the expert score of {task!r}, which nobody "
                "measured: pass --min-return"
            )
        gain = spec.expert_score - spec.random_score
        if gain <= 0:
            raise GatoGymError(
                f"--min-fraction: the expert of {task!r} is no better than random play"
            )
        share = spec.random_score + options.min_fraction * gain
        least = share if least is None else max(least, share)
    if options.only_success and spec is not None and not spec.has_success:
        raise GatoGymError(f"{task!r} reports no success: leave --only-success out")
    return Quality(least, options.only_success)


def _executor(options: Options) -> Executor:
    if options.ray is not None:
        return RayExecutor(options.ray, options.workers)
    workers = options.workers or 1
    return InProcess() if workers == 1 else ProcessPool(workers)


def _train(tasks: Sequence[str], options: Options) -> int:
    """Train the experts one after the other: each training uses all cores its settings ask for."""
    from gato_gym.agents.experts.hyperparameters import hyperparameters_for
    from gato_gym.agents.experts.sb3 import train_expert

    for task in tasks:
        resolve(task)
        if hyperparameters_for(task) is None:
            raise UnknownTaskError(
                f"nobody wrote down how to train an expert of {task!r}: add settings to "
                "agents/experts/hyperparameters.py"
            )
        _quality(task, options)
    trained, jobs = [], []
    for task in tasks:
        folder = weights_folder(task, options.experts)
        print(f"training the expert of {task} in {folder}", file=sys.stderr)
        try:
            card = train_expert(task, folder, options.train_steps)
            job = _job(task, str(folder), options) if options.episodes else None
        except (GatoGymError, ValueError, RuntimeError) as error:
            if len(tasks) == 1:
                raise
            trained.append({"task": task, "error": f"{type(error).__name__}: {error}"})
            continue
        trained.append({"task": task, "folder": str(folder), "evaluation": card["evaluation"]})
        if job is not None:
            jobs.append(job)
    return _collect(jobs, trained, options)


def _collect(jobs: Sequence[Job], trained: Sequence[dict[str, Any]], options: Options) -> int:
    reports = []
    if jobs and options.out is not None:
        with ExitStack() as stack:
            if options.ray is not None:  # before the corpus is made, in case nobody answers
                stack.enter_context(connected(options.ray, options.workers))
            reports = collect_jobs(
                jobs,
                out=options.out,
                episodes=options.episodes,
                seed=options.seed,
                max_attempts=options.max_attempts,
                episodes_per_shard=options.episodes_per_shard,
                executor=_executor(options),
            )
    rows = [_row(report, job) for report, job in zip(reports, jobs, strict=True)]
    if options.json:
        found = {"out": None if options.out is None else str(options.out), "tasks": rows}
        print_json(found | ({"trained": list(trained)} if options.train_expert else {}))
    else:
        for row in trained:
            if "error" not in row:
                evaluation = json.dumps(row["evaluation"])
                print(f"{row['task']}: trained in {row['folder']}: {evaluation}")
        for row in rows:
            print(_line(row))
    problems = [f"{row['task']}: not trained: {row['error']}" for row in trained if "error" in row]
    problems += [problem for row in rows if (problem := _problem(row, options))]
    for problem in problems:
        print(f"gato-gym collect: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _row(report: TaskReport, job: Job) -> dict[str, Any]:
    failure = report.failure
    return {
        **{k: v for k, v in vars(report).items() if k != "failure"},
        "noise": job.noise,
        "random_start": job.random_start,
        "max_steps": job.max_steps,
        "learner": job.learner_name or None,
        "error": failure and {"seed": failure.seed, "message": failure.message},
    }


def _line(row: dict[str, Any]) -> str:
    told = (
        f"{row['task']}: {row['episodes']} episodes ({row['steps']} steps) added, "
        f"{row['skipped']} were there already"
    )
    if row["rejected"]:
        told += f", {row['rejected']} rejected"
    return told if row["mean_return"] is None else f"{told}, mean return {row['mean_return']:.6g}"


def _problem(row: dict[str, Any], options: Options) -> str | None:
    if row["error"] is not None:
        return f"{row['task']} failed at seed {row['error']['seed']}: {row['error']['message']}"
    if row["missing"]:
        return (
            f"{row['task']}: {row['missing']} of {options.episodes} episodes are missing: the "
            f"filter rejected {row['rejected']}; raise --max-attempts or ask for less"
        )
    return None


def _estimate(jobs: Sequence[Job], options: Options) -> int:
    from gato_gym.evaluation.corpus_estimate import estimate_jobs

    out = options.out
    estimates = estimate_jobs(
        jobs,
        corpus=Corpus.open(out) if out is not None and (out / FORMAT_FILE).exists() else None,
        episodes=options.episodes,
        seed=options.seed,
        max_attempts=options.max_attempts,
        episodes_per_shard=options.episodes_per_shard,
        executor=_executor(options),
    )
    rows = []
    for one in estimates:
        failure = one.failure and {"seed": one.failure.seed, "message": one.failure.message}
        rows.append({k: v for k, v in vars(one).items() if k != "failure"} | {"error": failure})
    tokens = [row["tokens"] for row in rows]
    total = {name: sum(row[name] for row in rows) for name in ("episodes", "attempts", "steps")}
    total |= {
        "tokens": None if None in tokens else sum(tokens),
        "bytes": sum(row["bytes"] for row in rows),
        "seconds": sum(row["seconds"] for row in rows),
    }
    workers = options.workers or 1
    wall = total["seconds"] / workers
    if options.json:
        total |= {"workers": workers, "wall_seconds": wall}
        print_json({"dry_run": True, "total": total, "tasks": rows})
    else:
        for row in [*rows, {"task": "total", **total}]:
            print(_estimate_line(row))
        print(f"with {workers} processes about {_duration(wall)}; nothing was written")
    failed = [row for row in rows if row["error"] is not None]
    for row in failed:
        print(f"gato-gym collect: {_problem(row, options)}", file=sys.stderr)
    return 1 if failed else 0


def _estimate_line(row: dict[str, Any]) -> str:
    tokens = "no" if row["tokens"] is None else f"{row['tokens']:,}"
    return (
        f"{row['task']:40} {row['episodes']:8,} episodes {row['steps']:12,} steps "
        f"{tokens:>15} tokens {row['bytes'] / 1e6:10,.1f} MB {_duration(row['seconds']):>10}"
    )


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
