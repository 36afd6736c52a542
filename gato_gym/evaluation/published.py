"""Scores that others published of one network for many tasks, to stand beside ours.

They are guides, not results of the same experiment: each has its own experts, versions of the
environments and rules of evaluation. `published.json` says where each comes from. Normalised scores
are by the random play and the experts of those who published them, never by ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gato_gym.evaluation.aggregate import why_unscored

PATH = Path(__file__).with_name("published.json")


@cache
def _data() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return found


def headlines() -> dict[str, Any]:
    """Of "gato", "jat" and "db1": how many of their tasks reach x % of the expert, and the source.

    `tasks` is how many they have and `above` threshold -> count; where only a share is known
    `above_share`. With `at_least` the true counts are higher. `domains` has the same of domains.
    """
    return json.loads(json.dumps(_data()["headlines"]))


def sources() -> dict[str, str]:
    """Where the scores of tasks come from, and how their tasks differ from ours."""
    return dict(_data()["sources"])


def of_task(task: str) -> dict[str, dict[str, Any]]:
    """What was published of a task, {} where nothing was.

    "jat"    "mean" and "std" of its return; "random", "expert"; "task", the one that it played
    "human"  "mean" return of people, of Atari games
    "gato"   "at_least_human" of the 23 games that the paper names, "normalized" of three levels of
             BabyAI

    "jat" and "human" have "normalized" as well, by JAT's random play and expert; None where that
    expert is not above random play.
    """
    found = {who: dict(one) for who, one in _data()["tasks"].get(task, {}).items()}
    scale = found.get("jat")
    if scale is not None:
        low, high = scale["random"], scale["expert"]
        for who in ("jat", "human"):
            if who in found:
                unknown = why_unscored(low, high) is not None
                mean = found[who]["mean"]
                found[who]["normalized"] = None if unknown else (mean - low) / (high - low)
    return found


def on_the_same_tasks(normalized: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """JAT's mean normalised score, and ours, over the tasks for which both are known.

    Args:
        normalized: task -> our score.

    Returns:
        {"jat": {"mean", "ours", "count"}}, or {} where there are no such tasks.
    """
    both = [(theirs, normalized[task]) for task, theirs in _jat(normalized)]
    if not both:
        return {}
    mean, ours = np.mean(both, axis=0).tolist()
    return {"jat": {"mean": mean, "ours": ours, "count": len(both)}}


def _jat(tasks: Iterable[str]) -> list[tuple[str, float]]:
    found = ((task, of_task(task).get("jat", {}).get("normalized")) for task in tasks)
    return [(task, score) for task, score in found if score is not None]
