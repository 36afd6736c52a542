"""Writes the catalogue's data files: what building each task shows, and what playing it gives.

Both commands take long over hundreds of tasks, so every result is kept in a cache folder, one JSON
file per task, and a second run goes on where the first one stopped. Tasks run in a pool of
processes: an environment that ends its process costs that task only.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from gato_gym import envs
from gato_gym.agents import RandomAgent
from gato_gym.agents.experts import load_expert
from gato_gym.envs.factory import derive
from gato_gym.envs.families import families
from gato_gym.evaluation.scores import evaluate
from gato_gym.types import TaskSpec

SCORE_FIELDS = ("random_score", "random_source", "expert_score", "expert_source")
TASKS_PER_WORKER = 30


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one task: its result, or the last lines of the traceback."""

    task: str
    result: dict[str, Any] | None
    problem: str = ""


def catalogue_ids() -> list[str]:
    """The ids of every installed family, in the order of the families."""
    found = []
    for family in families():
        if not family.missing:
            family.register()
            found += family.ids()
    return found


def build(task: str) -> dict[str, Any]:
    """The entry of one task in `tasks.json`: what the built environment shows."""
    env = envs.make(task)
    try:
        return entry(derive(env))
    finally:
        env.close()


def entry(spec: TaskSpec) -> dict[str, Any]:
    """A spec as it stands in `tasks.json`: without scores, which have a file of their own."""
    return {key: value for key, value in spec.to_json().items() if key not in SCORE_FIELDS}


def measure(task: str, agent: str, episodes: int, seed: int) -> dict[str, Any]:
    """Mean and standard deviation of an agent's returns in one task.

    Args:
        task: its id.
        agent: "random" (uniform over the action space) or "expert".
        episodes: how many; episode i starts from `env.reset(seed=seed + i)`.
        seed: of the first episode and of the random actions.
    """
    player = RandomAgent(seed) if agent == "random" else load_expert(task)
    score = evaluate(task, player, episodes=episodes, seed=seed, checkpoint=agent)
    return {
        "mean": score.mean_return,
        "std": float(np.std(score.returns)),
        "success": score.success_rate,
    }


def run_cached(
    tasks: Iterable[str],
    work: Callable[..., dict[str, Any]],
    arguments: tuple[Any, ...],
    cache: Path,
    workers: int,
    title: str,
) -> Iterator[Outcome]:
    """`work(task, *arguments)` for every task, on `workers` processes, through the cache.

    Yields:
        The outcomes as they come. Only successes are cached, so a failed task is tried again.
    """
    cache.mkdir(parents=True, exist_ok=True)
    todo = []
    # "disable=None" means: silent unless stderr is a terminal.
    bar = tqdm(desc=title, unit="task", disable=None, leave=False)
    for task in tasks:
        stored = _read(_file(cache, task))
        if stored is None:
            todo.append(task)
        else:
            yield Outcome(task, stored)
    bar.reset(total=len(todo))
    with bar:
        for outcome in _run(todo, work, arguments, workers):
            if outcome.result is not None:
                _write(_file(cache, outcome.task), outcome.result)
            bar.update()
            yield outcome


def _run(
    tasks: list[str], work: Callable[..., Any], arguments: tuple[Any, ...], workers: int
) -> Iterator[Outcome]:
    """Every batch of tasks has processes of its own: simulators do not give all memory back."""
    left, crowd = list(tasks), workers
    while left:
        batch = left[: crowd * TASKS_PER_WORKER]
        done = set()
        pool = ProcessPoolExecutor(crowd, mp_context=multiprocessing.get_context("spawn"))
        try:
            futures = [pool.submit(_guarded, work, task, arguments) for task in batch]
            for future in as_completed(futures):
                outcome = future.result()
                done.add(outcome.task)
                yield outcome
            crowd = workers
        except BrokenProcessPool:
            # Nobody says which task ended its process. One worker takes them in order: the next
            # time it is the first one that is not done.
            if crowd == 1:
                culprit = next(task for task in batch if task not in done)
                done.add(culprit)
                yield Outcome(culprit, None, "the environment ended its process")
            crowd = workers if crowd == 1 else 1
        finally:  # after Ctrl-C too: what is cached stays, the rest is not begun
            pool.shutdown(wait=False, cancel_futures=True)
        left = [task for task in left if task not in done]


def _guarded(work: Callable[..., Any], task: str, arguments: tuple[Any, ...]) -> Outcome:
    try:
        return Outcome(task, work(task, *arguments))
    except Exception:
        return Outcome(task, None, "".join(traceback.format_exc().splitlines(True)[-3:]).strip())


def _file(cache: Path, task: str) -> Path:
    return cache / f"{task.replace('/', '__')}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _write(path: Path, value: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value), encoding="utf-8")
    part.replace(path)
