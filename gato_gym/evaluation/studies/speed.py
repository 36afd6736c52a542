"""How long a study takes: the speed of this machine, from a short probe or as it is given."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gato_gym.config import ModelConfig
from gato_gym.evaluation.studies.runner import Guess
from gato_gym.evaluation.studies.units import Unit

PROBE_TASK = "CartPole-v1"
PROBE_STEPS = 3
STARTING, LOADING = 4.0, 1.0
"""Seconds of a unit that are no work: a network and an optimiser are made and saved; or, where
nothing is trained, a network and environments are made."""
# The size `bundle` on one core: Boxing and cartpole swingup, played two episodes at once.
ACTED_BY_TRAINED = 1.2
ROUNDED, COMPILED = 1.7, 2.2
"""Speed of training in bfloat16, and compiled as well, by that of a probe."""
TOKENS_OF_A_PASS = 28.0
"""A pass takes as long as so many tokens of training."""


@dataclass(frozen=True)
class Speed:
    """Of one process.

    trained  tokens per second of training, padding included
    acted    tokens per second of acting, beside what each pass takes
    passes   per second of acting: one for each number of an action, for all episodes at once
    played   steps per second of experts and environments: what collecting costs
    source   where the figures are from
    plain    `trained` is without bfloat16 and compiling, which make longer trainings faster, see
             `learning.arithmetic`
    """

    trained: float
    acted: float
    passes: float
    played: float = 1000.0
    source: str = "given"
    plain: bool = False

    def __post_init__(self) -> None:
        for name in ("trained", "acted", "passes", "played"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    def seconds(self, unit: Unit) -> float:
        """What a unit takes, roughly."""
        work = unit.work
        acted = work.acted / self.acted + work.passes / self.passes
        start = STARTING if work.trained else LOADING
        trained = self.trained * (_gain(work.trained) if self.plain else 1.0)
        return start + work.trained / trained + acted + work.played / self.played

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "tokens_per_second": {"trained": self.trained, "acted": self.acted},
            "passes_per_second": self.passes,
            "steps_per_second": self.played,
            "speed": self.source,
        }


def _gain(tokens: int) -> float:
    """Of how a training of so many tokens is computed."""
    from gato_gym.evaluation.studies.learning import arithmetic

    how = arithmetic(tokens)
    return COMPILED if "compile" in how else ROUNDED if how else 1.0


def given_speed(tokens_per_second: float) -> Speed:
    """A machine of which only the speed of training is known: acting in proportion."""
    return Speed(
        tokens_per_second,
        ACTED_BY_TRAINED * tokens_per_second,
        tokens_per_second / TOKENS_OF_A_PASS,
    )


@dataclass(frozen=True)
class Estimate:
    """Hours of one process for each stage, and of `jobs` processes for all."""

    hours: dict[str, float]
    units: dict[str, int]
    jobs: int

    @property
    def total(self) -> float:
        """Hours of the whole study with so many processes."""
        return sum(self.hours.values()) / self.jobs

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "hours": self.total,
            "jobs": self.jobs,
            "by_stage": {
                stage: {"units": self.units[stage], "process_hours": self.hours[stage]}
                for stage in self.hours
            },
        }


def estimate(units: Iterable[Unit], speed: Guess, jobs: int) -> Estimate:
    """What units take together; the processes are never idle, which flatters the end a little."""
    hours: dict[str, float] = {}
    counts: dict[str, int] = {}
    for unit in units:
        hours[unit.stage] = hours.get(unit.stage, 0.0) + speed.seconds(unit) / 3600
        counts[unit.stage] = counts.get(unit.stage, 0) + 1
    return Estimate(hours, counts, jobs)


def probe(shape: ModelConfig, batch: int, threads: int | None = None) -> Speed:
    """Train a few steps and play a few episodes of a small task with a network of the study.

    Args:
        shape: of the network.
        batch: rows of a step.
        threads: of the arithmetic; None leaves them as they are.
    """
    import torch

    from gato_gym import envs
    from gato_gym.agents.gato import GatoAgent
    from gato_gym.config import TrainConfig
    from gato_gym.data.collect import collect
    from gato_gym.data.mixture import Mixture
    from gato_gym.data.windows import WindowSource
    from gato_gym.evaluation.batched import batched_rollout
    from gato_gym.tokenizers.vocabulary import Vocabulary
    from gato_gym.training.trainer import Trainer

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    spec = envs.task_spec(PROBE_TASK)
    copies = [envs.make(PROBE_TASK) for _ in range(2)]
    try:
        with tempfile.TemporaryDirectory(prefix="gato-gym-probe-") as folder:
            corpus = collect(
                PROBE_TASK, out=Path(folder) / "corpus", episodes=2, seed=0, progress=False
            ).corpus
            rows = WindowSource(
                corpus,
                Mixture(corpus),
                {PROBE_TASK: spec},
                shape.context,
                Vocabulary(shape.text_size),
            )
            # The first step sets itself up: it is not counted.
            config = TrainConfig(steps=PROBE_STEPS + 1, batch=batch, log_every=1, loader_threads=1)
            trainer = Trainer(shape, config, rows, Path(folder) / "run")
            times = [time.perf_counter() for _ in trainer.run()]
            trained = PROBE_STEPS * batch * shape.context / max(times[-1] - times[0], 1e-9)
            model = trainer.trained()
            assert model is not None  # there is one process only
        agent = GatoAgent(model, {PROBE_TASK: spec}, {})
        batched_rollout(copies, agent, episodes=2, seed=0)
        began = time.perf_counter()
        results = batched_rollout(copies, agent, episodes=8, seed=2)
        seconds = time.perf_counter() - began
    finally:
        for copy in copies:
            copy.close()
        torch.set_num_threads(before)
    steps, acted = sum(result.length for result in results), ACTED_BY_TRAINED * trained
    # Four numbers, a separator and an action; the rest of the time is the passes'. On a busy
    # machine there may seem to be none.
    passing = max(seconds - 6 * steps / acted, 0.1 * seconds)
    passes = steps / len(copies) / max(passing, 1e-9)
    return Speed(trained, acted, passes, source="measured here on a small task", plain=True)
