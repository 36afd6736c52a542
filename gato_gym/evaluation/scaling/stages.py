"""What the units of a scaling study do: collect, train, play. Each goes on where it was stopped.

A stage returns its result, JSON-ready, or None where it was asked to stop on the way.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.data.corpus import Corpus
from gato_gym.evaluation.batched import TOGETHER, batched_rollout
from gato_gym.evaluation.few_shot import EVALUATION_SEED, demonstration, free_seed
from gato_gym.evaluation.scaling.plan import train_key
from gato_gym.evaluation.scaling.study import ScalingStudy
from gato_gym.evaluation.scores import score
from gato_gym.evaluation.studies.collecting import collect_episodes
from gato_gym.evaluation.studies.folder import Stage, Stop
from gato_gym.evaluation.studies.learning import Learner
from gato_gym.evaluation.studies.units import Unit
from gato_gym.training.adapt import fingerprint
from gato_gym.training.bundle import Bundle, load_bundle, save_bundle
from gato_gym.training.progress import StepLog
from gato_gym.types import Episode


def collect(unit: Unit, study: ScalingStudy, stop: Stop) -> dict[str, Any] | None:
    """The expert's episodes of one task."""
    return collect_episodes(unit.settings, study.corpus, stop)


def train(unit: Unit, study: ScalingStudy, stop: Stop) -> dict[str, Any] | None:
    """One network; an agent of it is kept at every point."""
    settings, folder = unit.settings, study.path(unit)
    corpus = Corpus.open(study.corpus)
    learner = Learner(corpus, settings, folder, log_every=settings["log_every"])
    prompts = _prompts(corpus, learner.shares)

    def keep(log: StepLog) -> None:
        if log.step in settings["points"]:
            bundle = Bundle(learner.trained(), learner.specs, prompts, learner.text)
            save_bundle(bundle, point_folder(folder, log.step))

    if not learner.run(stop, keep):
        return None
    per_step = settings["batch"] * settings["model"]["context"]
    lines = {line["step"]: line for line in learner.lines}
    points = {
        str(step): {
            "tokens": step * per_step,
            "weights": fingerprint(load_bundle(point_folder(folder, step)).model),
            "loss": lines[step]["loss"],
            "losses": lines[step]["losses"],
        }
        for step in settings["points"]
    }
    return {**learner.result(), "data": learner.data, "points": points}


def play(unit: Unit, study: ScalingStudy, stop: Stop) -> dict[str, Any] | None:
    """One task's episodes with a network at a point, prompted by a demonstration of the corpus; all
    networks play the same seeds, which no episode of the corpus has."""
    settings = unit.settings
    task, episodes = settings["task"], settings["episodes"]
    trained = study.path(train_key(settings["size"], settings["seed"]))
    bundle = load_bundle(point_folder(trained, settings["step"]))
    agent = GatoAgent(bundle.model, bundle.specs, bundle.prompts, bundle.text, name=unit.key)
    first = free_seed(Corpus.open(study.corpus).episodes(task), EVALUATION_SEED)
    with contextlib.ExitStack() as stack:
        copies = []
        for _ in range(min(TOGETHER, episodes)):
            copies.append(envs.make(task))
            stack.callback(copies[-1].close)
        began = time.perf_counter()
        results = batched_rollout(copies, agent, episodes=episodes, seed=first, stop=stop)
        seconds = time.perf_counter() - began
    if len(results) < episodes:
        return None
    found = score(bundle.specs[task], results, unit.key, seconds=seconds, num_envs=len(copies))
    return {"weights": fingerprint(bundle.model), **found.to_json()}


STAGES: Mapping[str, Stage] = {"collect": collect, "train": train, "play": play}


def point_folder(folder: Path, step: int) -> Path:
    """Where the agent of a point is, in the folder of its training."""
    return folder / "points" / str(step)


def _prompts(corpus: Corpus, tasks: Mapping[str, float]) -> dict[str, Episode]:
    found = {task: demonstration(corpus, corpus.episodes(task)) for task in tasks}
    return {task: episode for task, episode in found.items() if episode is not None}
