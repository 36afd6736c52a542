"""`gato-gym tasks --build` and `--measure`: write the data files that the catalogue is made of."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gato_gym.agents.experts import expert_for
from gato_gym.envs.families import base_name, families, family_of, state_twin
from gato_gym.envs.registry import SCORES_PATH, TASKS_PATH, load_scores, load_tasks
from gato_gym.evaluation import catalogue
from gato_gym.types import TaskSpec

# Meta-World's published figures are of episodes cut after 100 steps, ours last 500.
NOT_COMPARABLE = ("meta_world",)
PUBLISHED = "data set expert of JAT (arXiv 2402.09844)"


def build(cache: Path, workers: int, path: Path = TASKS_PATH) -> int:
    """Write the entry of every task of the installed families; the others keep theirs."""
    entries: dict[str, dict[str, Any]] = {
        spec.id: catalogue.entry(spec) for spec in _kept(load_tasks(path))
    }
    failed = 0
    ids = catalogue.catalogue_ids()
    for outcome in catalogue.run_cached(ids, catalogue.build, (), cache, workers, "build"):
        if outcome.result is None:
            failed += 1
            print(f"{outcome.task}: {outcome.problem}", file=sys.stderr)
        else:
            entries[outcome.task] = outcome.result
    order = {family.name: number for number, family in enumerate(families())}
    rows = sorted(entries.values(), key=lambda row: (order.get(row["family"], -1), row["id"]))
    _save_tasks(rows, path)
    print(f"{len(rows)} tasks, {failed} failed: {path}")
    return 1 if failed else 0


def name_experts(path: Path = TASKS_PATH) -> int:
    """Write anew which expert makes the data of each task, without building any."""
    rows = [catalogue.entry(spec) for spec in load_tasks(path).values()]
    before = [row["expert"] for row in rows]
    _save_tasks(rows, path)
    changed = sum(row["expert"] != old for row, old in zip(rows, before, strict=True))
    named = sum(row["expert"] is not None for row in rows)
    print(f"{named} of {len(rows)} tasks have an expert, {changed} changed: {path}")
    return 0


def _save_tasks(rows: list[dict[str, Any]], path: Path) -> None:
    for row in rows:  # what building showed may come from a cache that knew fewer experts
        row["expert"] = expert_for(row["id"])
    write_lines(path, [json.dumps(row) for row in rows], "[]")
    load_tasks.cache_clear()


def _kept(known: Mapping[str, TaskSpec]) -> list[TaskSpec]:
    """The entries of families whose package is not installed here."""
    return [
        spec
        for spec in known.values()
        if (family := family_of(spec.id)) is not None and family.missing
    ]


def measure(
    tasks: list[str], agent: str, episodes: int, seed: int, cache: Path, workers: int
) -> int:
    """Play every task and write the mean returns as its random or expert scores.

    A task from pixels has the dynamics and rewards of its twin from numbers, which is quicker.
    """
    if agent == "expert":
        tasks = [task for task in tasks if load_tasks()[task].expert]
    played = {task: twin if (twin := state_twin(task)) in load_tasks() else task for task in tasks}
    folder = cache / f"{agent}-{episodes}-{seed}"
    results: dict[str, dict[str, Any]] = {}
    failed = 0
    outcomes = catalogue.run_cached(
        dict.fromkeys(played.values()),
        catalogue.measure,
        (agent, episodes, seed),
        folder,
        workers,
        f"{agent} scores",
    )
    for outcome in outcomes:
        if outcome.result is None:
            failed += 1
            print(f"{outcome.task}: {outcome.problem}", file=sys.stderr)
        else:
            results[outcome.task] = outcome.result
    source = f"gato-gym tasks --measure {agent} --episodes {episodes} --seed {seed}"
    load_scores.cache_clear()  # another process may have written meanwhile
    scores = {task: dict(row) for task, row in load_scores().items()}
    for task, twin in played.items():
        if twin in results:
            row = scores.setdefault(task, {})
            row[agent] = round(results[twin]["mean"], 4)
            row[f"{agent}_std"] = round(results[twin]["std"], 4)
            if results[twin]["success"] is not None:
                row[f"{agent}_success"] = round(results[twin]["success"], 4)
            row[f"{agent}_source"] = source if task == twin else f"{source} ({twin})"
    _save(scores)
    print(f"{len(played)} tasks, {failed} failed: {SCORES_PATH}")
    return 1 if failed else 0


def import_scores(path: Path) -> int:
    """Take expert scores that nobody here has measured from a table of published ones.

    The file is {name: {"env_id", "expert", "expert_std"}}. Ids are matched without their version.
    """
    table = json.loads(path.read_text(encoding="utf-8"))
    specs = load_tasks().values()
    names = {(spec.id.rpartition("/")[0], base_name(spec.id)): spec for spec in specs}
    scores = {task: dict(row) for task, row in load_scores().items()}
    taken = 0
    for row in table.values():
        theirs = row["env_id"]
        spec = names.get((theirs.rpartition("/")[0], base_name(theirs)))
        if spec is None or spec.family in NOT_COMPARABLE or "expert" not in row:
            continue
        ours = scores.setdefault(spec.id, {})
        if ours.get("expert_source", "").startswith("gato-gym"):
            continue  # measured here, on this very task
        ours["expert"] = round(row["expert"], 4)
        ours["expert_std"] = round(row.get("expert_std", 0.0), 4)
        ours["expert_source"] = f"{PUBLISHED} on {theirs}"
        taken += 1
    _save(scores)
    print(f"{taken} of {len(table)} scores taken: {SCORES_PATH}")
    return 0


def _save(scores: Mapping[str, Mapping[str, Any]]) -> None:
    lines = [
        f"{json.dumps(task)}: {json.dumps(dict(sorted(row.items())), allow_nan=False)}"
        for task, row in sorted(scores.items())
    ]
    write_lines(SCORES_PATH, lines, "{}")
    load_scores.cache_clear()


def write_lines(path: Path, lines: list[str], brackets: str) -> None:
    """One JSON object or list with one entry per line, written whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(f"{brackets[0]}\n" + ",\n".join(lines) + f"\n{brackets[1]}\n", encoding="utf-8")
    part.replace(path)
