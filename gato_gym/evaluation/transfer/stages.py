"""What the units of a study do: collect, pretrain, fine-tune. Each goes on where it was stopped.

A stage returns its result, JSON-ready, or None where it was asked to stop on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from gato_gym.config import ModelConfig
from gato_gym.data.corpus import Corpus
from gato_gym.data.jobs import make_suite_env
from gato_gym.evaluation.few_shot import FewShotRun
from gato_gym.evaluation.studies.collecting import collect_episodes
from gato_gym.evaluation.studies.folder import Stage, Stop
from gato_gym.evaluation.studies.learning import Learner, arithmetic
from gato_gym.evaluation.studies.units import Unit
from gato_gym.evaluation.transfer.plan import HELD_OUT, PRETRAINING, SCRATCH
from gato_gym.evaluation.transfer.sources import make_environment, refuse_held_out
from gato_gym.evaluation.transfer.study import Study
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.default_text import default_text
from gato_gym.training.adapt import fingerprint
from gato_gym.training.bundle import Bundle, load_bundle, save_bundle
from gato_gym.training.finetune import FineTuneConfig


def collect(unit: Unit, study: Study, stop: Stop) -> dict[str, Any] | None:
    """The expert's episodes of one task, into one of the study's two corpora."""
    role = unit.key.split("/")[1]
    make = make_environment if role == PRETRAINING else make_suite_env
    return collect_episodes(unit.settings, study.folder / role, stop, make)


def pretrain(unit: Unit, study: Study, stop: Stop) -> dict[str, Any] | None:
    """One network on the tasks of a regime; its agent goes to the unit's folder."""
    folder = study.path(unit)
    corpus = Corpus.open(study.folder / PRETRAINING)
    refuse_held_out(corpus.tasks(), study.budget.all_targets(), str(corpus.path))
    learner = Learner(corpus, unit.settings, folder)
    if not learner.run(stop):
        return None
    model = learner.trained()
    save_bundle(Bundle(model, learner.specs, {}, learner.text), folder / "agent")
    return {"weights": fingerprint(model), **learner.result()}


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


STAGES: Mapping[str, Stage] = {"collect": collect, "pretrain": pretrain, "finetune": finetune}


def _untrained(shape: ModelConfig, seed: int) -> Bundle:
    """A network of a shape; its weights are not used, a draw has random weights of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Bundle(Gato(shape), {}, {}, default_text())
