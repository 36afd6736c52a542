"""What an agent says: accuracies beside what they are to be compared with, and examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gato_gym import envs
from gato_gym.data.sources.spec import is_data_task
from gato_gym.envs.registry import named_by_data
from gato_gym.evaluation.report.media import Picture, picture
from gato_gym.evaluation.report.scores import Row
from gato_gym.evaluation.report.values import Pair, mapping, number, pair, printable
from gato_gym.types import flatten_observation

SEED = 7000
_LOWEST_SIDE = 256  # of a picture on the page, so that pixels of small ones stay visible


@dataclass(frozen=True)
class Line:
    """How right replies are: a task, or below it a source, a control, a baseline."""

    name: str
    accuracy: float
    ci95: Pair | None
    exact: float | None
    replies: float | None


@dataclass(frozen=True)
class Spoken:
    """A task whose actions are text."""

    task: str
    total: Line
    parts: Sequence[Line]
    beside: Sequence[Line]
    perplexity: float | None


@dataclass(frozen=True)
class Example:
    """A reply: the picture and the words it answers, where there are some, and the truth."""

    task: str
    picture: Picture | None
    asked: str
    reply: str
    truth: str
    reward: float


def spoken(rows: Iterable[Row]) -> list[Spoken]:
    """Of rows of tasks whose actions are text: by source, and what stands beside the score."""
    found = []
    for row in rows:
        told = row.told
        total = _line("all", told)
        if total is None:
            continue
        parts = {"held-out combinations": told.get("held_out"), **mapping(told.get("sources"))}
        beside = {f"control: {k}": v for k, v in mapping(told.get("controls")).items()}
        beside |= {f"baseline: {k}": v for k, v in mapping(told.get("baselines")).items()}
        found.append(
            Spoken(
                task=printable(row.task),
                total=total,
                parts=_lines(parts),
                beside=_lines(beside),
                perplexity=number(told.get("perplexity")),
            )
        )
    return found


def _lines(group: Mapping[str, Any]) -> list[Line]:
    lines = [_line(name, mapping(told)) for name, told in group.items()]
    return [one for one in lines if one is not None]


def _line(name: str, told: Mapping[str, Any]) -> Line | None:
    accuracy = number(told.get("accuracy"))
    if accuracy is None:
        return None
    return Line(
        printable(name).replace("_", " "),
        accuracy,
        pair(told.get("accuracy_ci95")),
        number(told.get("exact")),
        number(told.get("replies")),
    )


def examples(folder: Path, count: int, *, seed: int = SEED) -> list[Example]:
    """The first replies of an agent in each of its tasks that speak, beside an expert's.

    Args:
        folder: of the agent.
        count: of each task, the first ones from a seed on; nothing is chosen.
        seed: of the first episode.

    Raises:
        CorruptCheckpointError: see `GatoAgent.from_pretrained`.
        MissingExtraError: a task's package is not installed.
    """
    from gato_gym.agents.gato import GatoAgent  # brings torch

    agent = GatoAgent.from_pretrained(folder, device="cpu")
    found: list[Example] = []
    for task, spec in agent.specs.items():
        if spec.speaks and not is_data_task(task):
            found += _replies(agent, named_by_data(task), count, seed)
    return found


def _replies(agent: Any, task: str, count: int, seed: int) -> list[Example]:
    found: list[Example] = []
    env = envs.make(task)
    try:
        while len(found) < count:
            agent.reset(env)
            obs, _ = env.reset(seed=seed)
            seed, done = seed + 1, False
            while not done and len(found) < count:
                leaves, reply = flatten_observation(obs), agent.act(obs)
                obs, reward, terminated, truncated, info = env.step(reply)
                done = terminated or truncated
                words = [str(value) for value in leaves.values() if isinstance(value, str)]
                images = [v for v in leaves.values() if np.ndim(v) == 3]
                name = f"example-{len(found)}"
                found.append(
                    Example(
                        printable(task),
                        picture(name, words[0] if words else task, _seen(images[0]))
                        if images
                        else None,
                        " ".join(words),
                        str(reply),
                        str(info.get("reference", "")),
                        float(reward),
                    )
                )
    finally:
        env.close()
    return found


def _seen(image: Any) -> np.ndarray:
    """(height, width, 3) uint8, enlarged by a whole factor."""
    array = np.asarray(image, np.uint8)
    factor = max(1, -(-_LOWEST_SIDE // min(array.shape[:2])))
    size = (array.shape[1] * factor, array.shape[0] * factor)
    return np.asarray(Image.fromarray(array).resize(size, Image.Resampling.NEAREST))
