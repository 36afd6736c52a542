"""What the units of a study do: collect, pretrain, fine-tune. Each goes on where it was stopped.

A stage returns its result, JSON-ready, or None where it was asked to stop on the way.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gato_gym import envs
from gato_gym.config import ModelConfig, TrainConfig
from gato_gym.data.collect import check_expert, collect_jobs
from gato_gym.data.corpus import Corpus
from gato_gym.data.jobs import Job, make_suite_env
from gato_gym.data.mixture import Mixture
from gato_gym.data.windows import WindowSource
from gato_gym.errors import GatoGymError, TrainingError
from gato_gym.evaluation.few_shot import FewShotRun
from gato_gym.evaluation.transfer.plan import HELD_OUT, PRETRAINING, SCRATCH, Stage, Unit
from gato_gym.evaluation.transfer.sources import make_environment, refuse_held_out
from gato_gym.evaluation.transfer.study import Study
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.default_text import default_text
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training.adapt import fingerprint
from gato_gym.training.bundle import Bundle, load_bundle, save_bundle
from gato_gym.training.finetune import FineTuneConfig
from gato_gym.training.progress import StepLog
from gato_gym.training.trainer import Trainer

Stop = Callable[[], bool]

CHUNKS = 10
"""Parts of a collection between which it can be stopped."""
COMPILE_FROM = 500_000
"""Tokens of training from which on compiling, which takes about a minute, pays."""
SAVES = 10
"""Checkpoints of a pretraining."""


def collect(unit: Unit, study: Study, stop: Stop) -> dict[str, Any] | None:
    """The expert's episodes of one task, into one of the study's two corpora."""
    settings, role = unit.settings, unit.key.split("/")[1]
    task, episodes = settings["task"], settings["episodes"]
    make = make_environment if role == PRETRAINING else make_suite_env
    agent, name = check_expert(task, None, make)
    out = study.folder / role
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


def pretrain(unit: Unit, study: Study, stop: Stop) -> dict[str, Any] | None:
    """One network on the tasks of a regime; its agent goes to the unit's folder."""
    settings, folder = unit.settings, study.path(unit)
    corpus = Corpus.open(study.folder / PRETRAINING)
    refuse_held_out(corpus.tasks(), study.budget.all_targets(), str(corpus.path))
    mixture = Mixture(corpus, settings["tasks"])
    corpus.check(mixture.shares)
    shape = ModelConfig(**settings["model"])
    specs = {task: envs.task_spec(task) for task in mixture.shares}
    config = TrainConfig(
        steps=settings["steps"],
        batch=settings["batch"],
        learning_rate=settings["learning_rate"],
        seed=settings["seed"],
        save_every=max(1, settings["steps"] // SAVES),
        log_every=max(1, settings["steps"] // 50),
        loader_threads=1,
        **arithmetic(settings["tokens"]),
    )
    text = default_text()
    source = WindowSource(
        corpus,
        mixture,
        specs,
        shape.context,
        Vocabulary(shape.text_size),
        text,
        seed=config.seed,
        prompt_share=config.prompt_share,
    )
    domains = {task: spec.domain for task, spec in specs.items()}
    try:
        trainer = Trainer(shape, config, source, folder / "run", domains=domains)
    except TrainingError as error:  # the checkpoints are of other data
        raise GatoGymError(f"{error}; or delete {folder}") from error
    lines = _lines(folder / "train.jsonl", trainer.step)
    for log in trainer.run(stop):
        if isinstance(log, StepLog):
            lines.append({"step": log.step, "loss": log.loss, "losses": log.losses})
            _write_lines(folder / "train.jsonl", lines)
    if trainer.step < config.steps:
        return None
    model = trainer.trained()
    assert model is not None  # there is one process only
    save_bundle(Bundle(model, specs, {}, text), folder / "agent")
    return {
        "weights": fingerprint(model),
        "tasks": dict(mixture.shares),
        "tokens": trainer.tokens,
        "steps": trainer.step,
        "parameters": trainer.parameters,
        "training_seconds": round(trainer.seconds, 1),
        "loss": lines[-1]["loss"],
        "losses": lines[-1]["losses"],
    }


def finetune(unit: Unit, study: Study, stop: Stop) -> dict[str, Any] | None:
    """One cell: a few-shot run from a pretrained network, or from random weights of its shape."""
    settings, folder = unit.settings, study.path(unit)
    scratch = settings["regime"] == SCRATCH
    if scratch:
        base = _untrained(ModelConfig(**settings["model"]), settings["seed"])
    else:
        base = load_bundle(study.folder / "pretrain" / settings["run"] / "agent")
        refuse_held_out(base.specs, study.budget.all_targets(), f"the agent {settings['run']!r}")
    config = FineTuneConfig(**settings["tuning"])
    rows = config.steps * config.batch * base.model.config.context
    tuning = FewShotRun(
        base,
        Corpus.open(study.folder / HELD_OUT),
        settings["task"],
        settings["episodes"],
        settings["draw"],
        config,
        folder / "run",
        scratch=scratch,
        loader_threads=1,
        **arithmetic(rows),
    )
    for _ in tuning.run(stop=stop):
        pass
    if not tuning.finished:
        return None
    return tuning.result() | {"base": fingerprint(base.model)}


STAGES: Mapping[Stage, Callable[[Unit, Study, Stop], dict[str, Any] | None]] = {
    "collect": collect,
    "pretrain": pretrain,
    "finetune": finetune,
}


def arithmetic(tokens: int) -> dict[str, Any]:
    """How to compute a training of so many tokens here; settings of `TrainConfig`.

    On a processor with bfloat16 instructions and a compiler long runs use both; a GPU decides for
    itself.
    """
    compiler = any(shutil.which(name) for name in ("c++", "g++", "clang++"))
    if tokens < COMPILE_FROM or torch.cuda.is_available() or not compiler or not _has_bfloat16():
        return {}
    return {"arithmetic": "bfloat16", "compile": True}


def _has_bfloat16(path: Path = Path("/proc/cpuinfo")) -> bool:
    flags = set(path.read_text().split()) if path.is_file() else set()
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16"})


def _lines(path: Path, step: int) -> list[dict[str, Any]]:
    """The logs up to a step; a resumed run writes the others again."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [line for line in map(json.loads, text.splitlines()) if line["step"] <= step]


def _write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    part = path.with_suffix(".part")
    part.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    os.replace(part, path)


def _untrained(shape: ModelConfig, seed: int) -> Bundle:
    """A network of a shape; its weights are not used, a draw has random weights of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Bundle(Gato(shape), {}, {}, default_text())
