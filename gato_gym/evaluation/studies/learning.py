"""A network of a study: trained on tasks of a corpus, gone on with where it was stopped."""

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
from gato_gym.data.corpus import Corpus
from gato_gym.data.mixture import Mixture
from gato_gym.data.windows import WindowSource
from gato_gym.errors import GatoGymError, TrainingError
from gato_gym.evaluation.studies.folder import Stop
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.default_text import default_text
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training.progress import StepLog
from gato_gym.training.trainer import Trainer
from gato_gym.types import TaskSpec

ROUND_FROM = 50_000
"""Tokens of training from which on products are of bfloat16, where the processor has them."""
COMPILE_FROM = 500_000
"""Tokens of training from which on compiling, which takes about a minute, pays."""
SAVES = 10
"""Checkpoints of a training."""
LOGS = 50
"""Lines of its log, if nobody asks for others."""


class Learner:
    """Trains one network; its checkpoints are in FOLDER/run, its losses in FOLDER/train.jsonl.

    Args:
        corpus: has the episodes.
        settings: "tasks" with their weights, "model", "steps", "batch", "learning_rate", "seed",
            and "tokens", which say how to compute.
        folder: of the unit; what is there is gone on with.
        log_every: steps between two lines of the log; None chooses.

    Attributes:
        specs, text: of its tasks.
        shares: task -> share of the rows.
        data: digest of the episodes and shares.
        lines: of the log so far: "step", "loss" and "losses" by task.

    Raises:
        GatoGymError: a task has no episodes, or the checkpoints are of other data.
    """

    def __init__(
        self,
        corpus: Corpus,
        settings: Mapping[str, Any],
        folder: Path,
        *,
        log_every: int | None = None,
    ) -> None:
        mixture = Mixture(corpus, settings["tasks"])
        corpus.check(mixture.shares)
        shape = ModelConfig(**settings["model"])
        self.shares = dict(mixture.shares)
        self.data = mixture.digest()
        self.specs: dict[str, TaskSpec] = {task: envs.task_spec(task) for task in mixture.shares}
        self.text = default_text()
        config = TrainConfig(
            steps=settings["steps"],
            batch=settings["batch"],
            learning_rate=settings["learning_rate"],
            seed=settings["seed"],
            save_every=max(1, settings["steps"] // SAVES),
            log_every=log_every or max(1, settings["steps"] // LOGS),
            loader_threads=1,
            **arithmetic(settings["tokens"]),
        )
        source = WindowSource(
            corpus,
            mixture,
            self.specs,
            shape.context,
            Vocabulary(shape.text_size),
            self.text,
            seed=config.seed,
            prompt_share=config.prompt_share,
        )
        domains = {task: spec.domain for task, spec in self.specs.items()}
        try:
            self.trainer = Trainer(shape, config, source, folder / "run", domains=domains)
        except TrainingError as error:  # the checkpoints are of other data
            raise GatoGymError(f"{error}; or delete {folder}") from error
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "train.jsonl"
        self.lines = _lines(self._path, self.trainer.step)

    def run(self, stop: Stop, seen: Callable[[StepLog], None] = lambda log: None) -> bool:
        """Train to the last step; False where it was asked to stop before.

        Args:
            stop: asked before every step.
            seen: takes each log, before a checkpoint of its step or of a later one is written.
        """
        for log in self.trainer.run(stop):
            if isinstance(log, StepLog):
                line = {"step": log.step, "loss": log.loss, "losses": log.losses}
                self.lines.append(line)
                _write_lines(self._path, self.lines)
                seen(log)
        return self.trainer.step >= self.trainer.config.steps

    def trained(self) -> Gato:
        """The network as it is now."""
        model = self.trainer.trained()
        assert model is not None  # there is one process only
        return model

    def result(self) -> dict[str, Any]:
        """What it learned from, how much, and where its loss ended; JSON-ready."""
        return {
            "tasks": self.shares,
            "tokens": self.trainer.tokens,
            "steps": self.trainer.step,
            "parameters": self.trainer.parameters,
            "training_seconds": round(self.trainer.seconds, 1),
            "tokens_per_second": round(self.trainer.tokens / max(self.trainer.seconds, 1e-9), 1),
            "loss": self.lines[-1]["loss"],
            "losses": self.lines[-1]["losses"],
        }


def arithmetic(tokens: int) -> dict[str, Any]:
    """How to compute a training of so many tokens here; settings of `TrainConfig`.

    On a processor with bfloat16 instructions all but the shortest runs use them, and long ones a
    compiler, if there is one. A GPU decides for itself.
    """
    if tokens < ROUND_FROM or torch.cuda.is_available() or not _has_bfloat16():
        return {}
    compiler = any(shutil.which(name) for name in ("c++", "g++", "clang++"))
    if tokens < COMPILE_FROM or not compiler:
        return {"arithmetic": "bfloat16"}
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
