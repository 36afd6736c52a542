"""A few-shot run: fine-tune, play every so often, score the curve (paper section 5.2, appendix E).

    RUN/finetune.json   what the run is; its folder takes no other one
    RUN/curve.jsonl     one line per evaluation
    RUN/step-*/         checkpoints, see training/checkpoint.py
    RUN/best/           the agent at the end of the best window of the curve so far

The paper's score is the maximum of the smoothed curve. That is a little high by construction, as
the maximum is chosen on the episodes that it is made of. `last` in the result is not chosen.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import gcd
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.data.corpus import Corpus
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.errors import GatoGymError
from gato_gym.evaluation.batched import TOGETHER, batched_rollout
from gato_gym.evaluation.rollout import Observer
from gato_gym.evaluation.scores import normalize
from gato_gym.training import adapt, finetune
from gato_gym.training.bundle import Bundle, save_bundle
from gato_gym.training.finetune import FineTuneConfig
from gato_gym.training.lora import plain
from gato_gym.training.manifest import read_json
from gato_gym.training.progress import StepLog
from gato_gym.training.trainer import Trainer
from gato_gym.types import Episode

EVALUATION_SEED = 1_000_000
"""Of the first episode that is played; higher where the corpus has such seeds."""


@dataclass(frozen=True)
class Evaluation:
    """Episodes with seeds `seed`, `seed` + 1, ... after `step` steps; step 0 is before training."""

    step: int
    seed: int
    mean_return: float
    success_rate: float | None
    returns: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; `Evaluation.from_json` is its inverse."""
        return asdict(self) | {"returns": list(self.returns)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """Inverse of `to_json`."""
        return cls(**{**data, "returns": tuple(data["returns"])})


class FewShotRun:
    """Adapts an agent to one task with few of its episodes. A run in the folder is resumed.

    Args:
        base: the agent; stays as it is.
        corpus: has the task's episodes.
        task: its id.
        episodes, draw: which of them, see `training.finetune.few_shot_subset`. The draw also seeds
            the order of samples and what is random at the start.
        config: the protocol.
        folder: of the run.
        scratch: start from random weights of the base's shape.
        prompt: play with a demonstration from the chosen episodes.
        evaluation_seed: of the first episode that is played.
        device: "cpu", "cuda"; None chooses.
        documents: what goes into the agent's folder beside what acting needs.
        log_every: steps between logs, rounded down to divide those between evaluations.
        bookkeeping: more settings of `TrainConfig`, e.g. loader_workers.

    Raises:
        GatoGymError: too few episodes, or the folder holds another run; see `training.adapt`.
        TrainingError: the folder's checkpoints are of another run.
    """

    def __init__(
        self,
        base: Bundle,
        corpus: Corpus,
        task: str,
        episodes: int,
        draw: int,
        config: FineTuneConfig,
        folder: str | Path,
        *,
        scratch: bool = False,
        prompt: bool = True,
        evaluation_seed: int = EVALUATION_SEED,
        device: str | None = None,
        documents: Callable[[FewShotRun], Mapping[str, str]] | None = None,
        log_every: int = 20,
        **bookkeeping: Any,
    ) -> None:
        self.base, self.corpus, self.config, self.folder = base, corpus, config, Path(folder)
        self.spec = adapt.known_spec(base, envs.task_spec(task))
        self.draw, self.scratch = draw, scratch
        self.chosen = adapt.choose_episodes(corpus, self.spec.id, episodes, draw)
        source = adapt.few_shot_source(
            corpus, self.spec, self.chosen, base, seed=draw, prompt_share=config.prompt_share
        )
        self._seed = free_seed(corpus.episodes(self.spec.id), evaluation_seed)
        settings = self._compare_settings(prompt)
        model = adapt.prepare_model(base.model, config, scratch=scratch, seed=draw)
        self.trainer = Trainer(
            model.config,
            config.train_config(
                seed=draw,
                save_every=config.evaluate_every,
                log_every=gcd(log_every, config.evaluate_every),
                **bookkeeping,
            ),
            source,
            self.folder,
            device,
            model=model,
            domains={self.spec.id: self.spec.domain},
        )
        self.demonstration = demonstration(corpus, self.chosen) if prompt else None
        self.curve = _read_curve(self.folder / "curve.jsonl", self.trainer.step)
        self._documents = documents
        self.folder.mkdir(parents=True, exist_ok=True)
        _replace(self.folder / "finetune.json", json.dumps(settings, indent=1) + "\n")
        _write_curve(self.folder / "curve.jsonl", self.curve)

    # Running

    def run(
        self, observers: Sequence[Observer] = (), stop: Callable[[], bool] = lambda: False
    ) -> Iterator[StepLog | Evaluation]:
        """Train to the last step; yields the trainer's logs, and each evaluation when it is done.

        Args:
            observers: watch the episodes that are played, see `batched.mixed_rollout`.
            stop: asked before every step, of training and of play; the run is saved and ends.

        Raises:
            TrainingError: a loss or gradient is not finite.
        """
        with contextlib.ExitStack() as stack:
            copies = []
            for _ in range(min(TOGETHER, self.config.evaluate_episodes)):
                copies.append(envs.make(self.spec.id))
                stack.callback(copies[-1].close)
            if self._due(self.trainer.step):
                yield from self._evaluate(copies, observers, stop)
            for log in self.trainer.run(stop):
                if isinstance(log, StepLog):
                    yield log
                    if self._due(log.step):
                        yield from self._evaluate(copies, observers, stop)

    @property
    def finished(self) -> bool:
        """Whether the last step is done and evaluated."""
        return self.trainer.step >= self.config.steps and not self._due(self.trainer.step)

    def _due(self, step: int) -> bool:
        ends = step % self.config.evaluate_every == 0 or step == self.config.steps
        return ends and all(point.step != step for point in self.curve)

    def _evaluate(
        self,
        copies: Sequence[gymnasium.Env],
        observers: Sequence[Observer],
        stop: Callable[[], bool],
    ) -> Iterator[Evaluation]:
        """Play; yields nothing where it is stopped on the way."""
        count, step = self.config.evaluate_episodes, self.trainer.step
        first = self._seed + count * -(-step // self.config.evaluate_every)
        results = batched_rollout(
            copies, self.agent(), episodes=count, seed=first, observers=observers, stop=stop
        )
        if len(results) < count:
            return
        successes = [result.success for result in results if result.success is not None]
        point = Evaluation(
            step=step,
            seed=first,
            mean_return=float(np.mean([result.episode_return for result in results])),
            success_rate=float(np.mean(successes)) if successes else None,
            returns=tuple(result.episode_return for result in results),
        )
        self.curve.append(point)
        _write_curve(self.folder / "curve.jsonl", self.curve)
        means = self.smoothed()
        if means and int(np.argmax(means)) == len(means) - 1:
            self.export(self.folder / "best")
        yield point

    # What comes out

    def bundle(self) -> Bundle:
        """The agent at this moment: it knows the task, and what the base knows unless it forgot it
        all for random weights."""
        specs, prompts = {}, {}
        if not self.scratch:
            specs, prompts = dict(self.base.specs), dict(self.base.prompts)
        specs[self.spec.id] = self.spec
        if self.demonstration is not None:
            prompts[self.spec.id] = self.demonstration
        return Bundle(plain(self.trainer.model), specs, prompts, self.base.text)

    def agent(self) -> GatoAgent:
        """The same, ready to play this task with the run's own prompt or none."""
        bundle = self.bundle()
        if self.demonstration is None:
            bundle.prompts.pop(self.spec.id, None)
        return GatoAgent(bundle.model, bundle.specs, bundle.prompts, bundle.text)

    def export(self, folder: Path) -> None:
        """Write the agent; adapters are merged into its weights."""
        bundle = self.bundle()
        bundle.documents = {} if self._documents is None else self._documents(self)
        save_bundle(bundle, folder)

    def smoothed(self) -> list[float]:
        """The moving average of the curve; what was played before training does not count."""
        returns = [point.mean_return for point in self.curve if point.step]
        return finetune.smoothed(returns, self.config.smooth)

    def result(self) -> dict[str, Any]:
        """The score and all that it depends on, JSON-ready.

        Raises:
            GatoGymError: nothing was evaluated yet.
        """
        points = [point for point in self.curve if point.step]
        means = self.smoothed()
        if not means:
            raise GatoGymError(f"{self.folder} has no evaluation yet: run it further")
        best, width = int(np.argmax(means)), len(points) - len(means) + 1
        random, expert = self.spec.random_score, self.spec.expert_score
        trained = (p.numel() for p in self.trainer.model.parameters() if p.requires_grad)
        return {
            "task": self.spec.id,
            "episodes": len(self.chosen),
            "draw": self.draw,
            "start": "scratch" if self.scratch else "base",
            "method": self.config.method,
            "score": means[best],
            "score_at_step": points[best + width - 1].step,
            "normalized": normalize(means[best], random, expert),
            "random": random,
            "expert": expert,
            "before": next((p.mean_return for p in self.curve if not p.step), None),
            "last": means[-1],
            "steps": self.trainer.step,
            "tokens": self.trainer.tokens,
            "seconds": round(self.trainer.seconds, 1),
            "parameters": self.base.model.parameter_count(),
            "trained_parameters": sum(trained),
            "data": self.data(),
            "prompt": self.demonstration is not None,
            "smoothed_over": width,
            "settings": self.config.to_json(),
            "curve": [point.to_json() for point in self.curve],
        }

    def data(self) -> dict[str, Any]:
        """Which episodes it learns from, beside the protocol's numbers; JSON-ready."""
        available = len(self.corpus.episodes(self.spec.id))
        return {
            "available": available,
            "best": min(available, finetune.BEST),
            "drawn": min(available, finetune.DRAWN),
            "protocol": [finetune.BEST, finetune.DRAWN],
            "steps": sum(entry.steps for entry in self.chosen),
            "mean_return": float(np.mean([entry.episode_return for entry in self.chosen])),
            "seeds": [entry.seed for entry in self.chosen],
        }

    # The folder

    def _compare_settings(self, prompt: bool) -> dict[str, Any]:
        """What the run is; raises where its folder holds another one."""
        settings = {
            "task": self.spec.id,
            "episodes": len(self.chosen),
            "draw": self.draw,
            "scratch": self.scratch,
            "base": adapt.fingerprint(self.base.model),
            "prompt": prompt,
            "evaluation_seed": self._seed,
            # More steps go on with the same run; micro-batches are no setting of the result.
            **{k: v for k, v in self.config.to_json().items() if k not in ("steps", "accumulate")},
        }
        path = self.folder / "finetune.json"
        if path.exists():
            known = read_json(path)
            changed = [name for name in settings if known.get(name) != settings[name]]
            if changed:
                told = ", ".join(
                    f"{name} {known.get(name)}, not {settings[name]}" for name in changed
                )
                raise GatoGymError(
                    f"{self.folder} holds a run with {told}: choose another --out, or the same "
                    "settings"
                )
        elif self.folder.is_dir() and any(self.folder.iterdir()):
            raise FileExistsError(
                f"{self.folder} is not empty and holds no fine-tuning run: choose another --out"
            )
        return settings


def free_seed(entries: Sequence[EpisodeEntry], first: int) -> int:
    """`first`, or the seed after all of the episodes' where some of them are not below it."""
    return max(first, max(entry.seed for entry in entries) + 1)


def demonstration(corpus: Corpus, chosen: Sequence[EpisodeEntry]) -> Episode | None:
    """The best of the chosen episodes, as a prompt: noise-free, of several the shortest."""
    clean = [entry for entry in chosen if entry.is_clean]
    if not clean:
        return None
    return corpus.read(min(clean, key=lambda e: (-e.episode_return, e.steps, e.seed)))


def _read_curve(path: Path, last_step: int) -> list[Evaluation]:
    """What was played up to a step; the resumed run plays the rest again."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    points = [Evaluation.from_json(json.loads(line)) for line in lines]
    return [point for point in points if point.step <= last_step]


def _write_curve(path: Path, curve: Sequence[Evaluation]) -> None:
    _replace(path, "".join(json.dumps(point.to_json()) + "\n" for point in curve))


def _replace(path: Path, text: str) -> None:
    """Write a file completely or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
