"""A finished run -> an agent's folder: weights, one prompt per task, and the card of the run."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gato_gym
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli.runlog import RunLog
from gato_gym.data.corpus import Corpus
from gato_gym.data.lengths import step_lengths
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.evaluation.corpus_stats import parts
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.timestep import StepTokenizer
from gato_gym.training.trainer import Trainer
from gato_gym.types import Episode, TaskSpec

PACKAGES = ("torch", "numpy", "gymnasium", "ale-py", "mujoco", "grain", "safetensors")
CURVE_POINTS = 100
TASK_NUMBERS = 2000
"""Losses and accuracies of single tasks that a card's curve keeps: of many tasks fewer points."""


def choose_prompts(corpus: Corpus, tasks: Iterable[str]) -> dict[str, Episode]:
    """Each task's demonstration: its best noise-free episode; ties go to the shortest, then the
    lowest seed. A task without a noise-free episode gets none."""
    prompts = {}
    for task in tasks:
        clean = [entry for entry in corpus.episodes(task) if entry.is_clean]
        if clean:
            prompts[task] = corpus.read(
                min(clean, key=lambda entry: (-entry.episode_return, entry.steps, entry.seed))
            )
    return prompts


def shortened(prompt: Episode, tokenizer: StepTokenizer, context: int) -> Episode:
    """A demonstration's first steps, as many as fill the context: no more of it is ever read, and
    whole episodes of pixels are large."""
    lengths = step_lengths(
        tokenizer, len(prompt), lambda key: prompt.observations[key], lambda: prompt.actions
    )
    return prompt.first(int(np.searchsorted(lengths.cumsum(), context)) + 1)


def export(
    trainer: Trainer,
    model: Gato,
    specs: dict[str, TaskSpec],
    log: RunLog,
    folder: Path,
    command: str,
    note: str,
    start: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the agent of a run, with the weights of `model`, and return its card.

    `start` is what the run went on from, {} of random weights.

    Its model card, README.md, is made of that, see `training.model_card`.
    """
    corpus = trainer.source.corpus
    prompts = choose_prompts(corpus, specs)
    card = make_card(trainer, prompts, log, command) | {"note": note}
    context = trainer.model_config.context
    for tokenizer in trainer.source.tokenizers:
        task = tokenizer.spec.id
        if task in prompts:
            prompts[task] = shortened(prompts[task], tokenizer, context)
    if start:
        card["start"] = dict(start)
    documents = {"card.json": json.dumps(card, indent=1) + "\n"}
    text = trainer.source.text
    agent = GatoAgent(model, specs, prompts, text=text, documents=documents, name=folder.name)
    agent.save_pretrained(folder)
    return card


def make_card(
    trainer: Trainer, prompts: dict[str, Episode], log: RunLog, command: str
) -> dict[str, Any]:
    """How the weights were made: data, seeds, settings, time, curve, versions."""
    source = trainer.source
    steps_tokens = {t.spec.id: t.tokens_per_step for t in source.tokenizers}
    return {
        "size": trainer.model_config.size,
        "parameters": trainer.parameters,
        "steps": trainer.step,
        "tokens": trainer.tokens,
        "seconds": round(trainer.seconds, 1),
        "machine": machine(str(trainer.device)),
        "command": command,
        "data": {
            t.task: data_card(t.entries, source.mixture.shares[t.task], steps_tokens[t.task])
            for t in source.mixture.tasks
        },
        "prompts": {
            task: {"seed": e.seed, "return": e.episode_return, "steps": len(e), "expert": e.expert}
            for task, e in prompts.items()
        },
        "model": trainer.model_config.to_json(),
        "train": trainer.config.to_json(),
        "versions": versions(),
        "curve": thinned(log.lines),
    }


def data_card(
    entries: Sequence[EpisodeEntry], share: float, tokens_per_step: int
) -> dict[str, Any]:
    """What a task was trained on."""
    steps = sum(entry.steps for entry in entries)
    return {
        "share": round(share, 4),
        "episodes": len(entries),
        "steps": steps,
        "tokens": steps * tokens_per_step,
        "parts": parts(entries),
    }


def thinned(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most 100 evenly spaced points of the loss curve, its last among them.

    Those of single tasks are on fewer of them where there are many tasks, always on the last.
    """
    chosen = _spaced(lines, CURVE_POINTS)
    tasks = max((len(line["losses"]) for line in chosen), default=0)
    detailed = {line["step"] for line in _spaced(chosen, max(1, TASK_NUMBERS // max(1, tasks)))}
    names = ("loss", "learning_rate", "tokens_per_second")
    return [
        {"step": line["step"], **{name: _rounded(line[name]) for name in names if name in line}}
        | {
            part: {task: _rounded(value) for task, value in line[part].items()}
            for part in ("losses", "accuracy")
            if line["step"] in detailed
        }
        for line in chosen
    ]


def _spaced(lines: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    stride = -(-len(lines) // most) or 1
    return list(reversed(lines[::-1][::stride]))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def versions() -> dict[str, str]:
    """Of the packages that decide what a run gives."""
    found = {"gato_gym": gato_gym.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine(device: str = "cpu") -> str:
    """The processor, its cores and the threads in use, for reports."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = re.findall(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        if models:
            name = f"{len(models)} x {models[0]}"
    if device.startswith("cuda"):
        name = f"{torch.cuda.get_device_name()}, {name}"
    return f"{name}, {torch.get_num_threads()} threads"
