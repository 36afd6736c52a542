"""The few-shot protocol (paper section 5.2, appendix E): episodes, settings, score.

Of a task's episodes the 2,000 of the highest return are kept, 1,000 of these are drawn, and the
smaller sets are nested in each other: the first 100, 10, 5, 3 and 1 of the draw. Another draw gives
another point of the same size. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from gato_gym.config import TrainConfig
from gato_gym.data.manifest import EpisodeEntry

BEST = 2000
DRAWN = 1000
SIZES = (1, 3, 5, 10, 100, 1000)
"""The paper's numbers of episodes; any number up to `DRAWN` is nested in the same way."""

Method = Literal["full", "lora"]


@dataclass(frozen=True)
class FineTuneConfig:
    """One fine-tuning run. Defaults are the paper's few-shot protocol (appendix E).

    method             train all weights, or LoRA adapters of the blocks' matrices
    rank, alpha        of the adapters
    steps              optimiser steps
    batch              rows of one context per step
    accumulate         micro-batches of a step: less memory, the same step
    learning_rate      of Adam, constant
    clip               gradient norm limit; 0 = off
    stochastic_depth   the regularisation, 0.1: sub-layers are skipped, as in the paper's
                       pretraining. Where its appendix E means dropout, this is not the same
    prompt_share       share of documents that start with a prompt, as in pretraining
    evaluate_every     steps between evaluations
    evaluate_episodes  episodes of each, all with seeds of their own
    smooth             consecutive evaluations of the moving average
    """

    method: Method = "full"
    rank: int = 8
    alpha: int = 16
    steps: int = 10_000
    batch: int = 64
    accumulate: int = 1
    learning_rate: float = 1e-5
    clip: float = 0.0
    stochastic_depth: float = 0.1
    prompt_share: float = 0.25
    evaluate_every: int = 100
    evaluate_episodes: int = 10
    smooth: int = 5

    def __post_init__(self) -> None:
        for name in ("evaluate_every", "evaluate_episodes", "smooth", "rank", "alpha"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.stochastic_depth < 1:
            raise ValueError(f"stochastic_depth {self.stochastic_depth} must be in [0, 1)")
        self.train_config(seed=0)  # the rest is checked there

    def train_config(self, seed: int, **bookkeeping: Any) -> TrainConfig:
        """The trainer's settings: Adam (without weight decay AdamW is), constant rate.

        Args:
            seed: of the order of samples.
            bookkeeping: more of them, e.g. log_every.
        """
        return TrainConfig(
            steps=self.steps,
            batch=self.batch,
            accumulate=self.accumulate,
            learning_rate=self.learning_rate,
            warmup=0,
            schedule="constant",
            weight_decay=0.0,
            clip=self.clip,
            prompt_share=self.prompt_share,
            seed=seed,
            **bookkeeping,
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; `FineTuneConfig(**config.to_json())` is its inverse."""
        return asdict(self)


def best_episodes(entries: Iterable[EpisodeEntry]) -> list[EpisodeEntry]:
    """The `BEST` of the highest return, best first; among equals those with less noise first."""

    def rank(entry: EpisodeEntry) -> tuple[Any, ...]:
        injected = entry.learner, entry.noise, entry.random_start, entry.burst, entry.max_steps
        return -entry.episode_return, *injected, entry.expert, entry.seed

    return sorted(entries, key=rank)[:BEST]


def few_shot_subset(
    entries: Iterable[EpisodeEntry], episodes: int, draw: int = 0
) -> tuple[EpisodeEntry, ...]:
    """The first `episodes` of draw `draw` from the best episodes of a task.

    A function of what the episodes are, not of the order in which they were committed. Where there
    are fewer than the protocol's numbers, all that there are take their place.

    Args:
        entries: of one task.
        episodes: how many, at most `DRAWN`.
        draw: which draw, from 0.

    Raises:
        ValueError: there are fewer episodes, or less than one or more than `DRAWN` are asked for.
    """
    if not 1 <= episodes <= DRAWN:
        raise ValueError(f"{episodes} episodes: the protocol draws from 1 to {DRAWN}")
    if draw < 0:
        raise ValueError(f"draw {draw} must be 0, 1, 2, ...")
    best = best_episodes(entries)
    if len(best) < episodes:
        raise ValueError(f"{episodes} episodes are asked for, there are {len(best)}")
    order = np.random.default_rng(draw).permutation(len(best))
    return tuple(best[index] for index in order[:episodes])


def smoothed(values: Sequence[float], window: int) -> list[float]:
    """Means of `window` consecutive values; one of all of them where there are fewer."""
    if not values:
        return []
    width = min(window, len(values))
    sums = np.cumsum([0.0, *values])
    return [float(mean) for mean in (sums[width:] - sums[:-width]) / width]
