"""The expert's episodes of a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium

from gato_gym.data.collect import check_expert, collect_jobs
from gato_gym.data.corpus import Corpus
from gato_gym.data.jobs import Job, make_suite_env
from gato_gym.evaluation.studies.folder import Stop

CHUNKS = 10
"""Parts of a collection between which it can be stopped."""


def collect_episodes(
    settings: Mapping[str, Any],
    out: Path,
    stop: Stop,
    make: Callable[[str], gymnasium.Env] = make_suite_env,
) -> dict[str, Any] | None:
    """The expert's episodes of one task, into a corpus.

    Args:
        settings: "task", "episodes" and the "seed" of the first one.
        out: the corpus' folder.
        stop: asked now and then.
        make: makes the environment.
    """
    task, episodes = settings["task"], settings["episodes"]
    agent, name = check_expert(task, None, make)
    for part in range(1, CHUNKS + 1):
        if stop():
            return None
        (report,) = collect_jobs(
            [Job(task, agent, name, make)],
            out=out,
            episodes=-(-episodes * part // CHUNKS),
            seed=settings["seed"],
            progress=False,
        )
        if report.failure is not None:
            raise report.failure.error
    entries = Corpus.open(out).episodes(task)
    return {
        "task": task,
        "expert": name,
        "episodes": len(entries),
        "steps": sum(entry.steps for entry in entries),
        "mean_return": sum(entry.episode_return for entry in entries) / len(entries),
    }
