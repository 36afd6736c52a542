"""What `gato-gym bench env | data | collect` measure, and their references."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import gato_gym
from gato_gym import envs
from gato_gym.cli.bench import Pair
from gato_gym.config import MODELS
from gato_gym.data.collect import collect as collect_episodes
from gato_gym.data.corpus import Corpus
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.data.mixture import Mixture
from gato_gym.data.windows import WindowSource
from gato_gym.envs.registry import resolve
from gato_gym.tokenizers.vocabulary import Vocabulary

STEPS_PER_WORK = 50


@contextmanager
def env(task: str) -> Iterator[Pair]:
    """Steps of the tokenizing environment, against those of the bare one; random actions."""
    ours, bare = gato_gym.make(task), gym.make(resolve(task))
    try:
        yield Pair("steps/s", _stepper(ours, _random), _stepper(bare, _random))
    finally:
        ours.close()
        bare.close()


@contextmanager
def collect(task: str) -> Iterator[Pair]:
    """Expert steps that were committed, against bare steps that do nothing."""
    seeds = count(1)
    bare = gym.make(resolve(task))
    with tempfile.TemporaryDirectory() as folder:

        def episode() -> int:
            return collect_episodes(
                task, out=folder, episodes=1, seed=next(seeds), progress=False
            ).steps

        try:
            yield Pair("steps/s", episode, _stepper(bare, _nothing))
        finally:
            bare.close()


@contextmanager
def data(task: str) -> Iterator[Pair]:
    """Windows of the bundled context, against reading whole episodes for them."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = expert_corpus(Path(folder), task)
        ours, reference = (window_source(c, task) for c in (corpus, WholeEpisodes.open(folder)))
        yield Pair("windows/s", _reader(ours), _reader(reference))


class WholeEpisodes(Corpus):
    """A corpus whose windows are cut out of whole episodes."""

    def read_steps(self, entry: EpisodeEntry, start: int, stop: int) -> dict[str, Any]:
        """Decode everything, keep [start, stop)."""
        episode = self.read(entry)
        assert episode.expert_actions is not None  # the constructor fills it in
        return {
            "observations": {k: v[start:stop] for k, v in episode.observations.items()},
            "actions": episode.actions[start:stop],
            "expert_actions": episode.expert_actions[start:stop],
        }


def expert_corpus(folder: Path, task: str, episodes: int = 2) -> Corpus:
    """A few episodes by the task's expert."""
    return collect_episodes(task, out=folder, episodes=episodes, seed=1, progress=False).corpus


def window_source(corpus: Corpus, task: str, size: str = "bundle") -> WindowSource:
    """Rows for a model size."""
    shape = MODELS[size]
    specs = {task: envs.task_spec(task)}
    return WindowSource(corpus, Mixture(corpus), specs, shape.context, Vocabulary(shape.text_size))


def _reader(source: WindowSource) -> Callable[[], int]:
    rows = count()

    def read() -> int:
        source.row(next(rows))
        return 1

    return read


def _stepper(environment: gym.Env, choose: Callable[[gym.Space], Any]) -> Callable[[], int]:
    environment.action_space.seed(0)
    environment.reset(seed=0)

    def steps() -> int:
        for _ in range(STEPS_PER_WORK):
            _, _, terminated, truncated, _ = environment.step(choose(environment.action_space))
            if terminated or truncated:
                environment.reset()
        return STEPS_PER_WORK

    return steps


def _random(space: gym.Space) -> Any:
    return space.sample()


def _nothing(space: gym.Space) -> Any:
    if isinstance(space, gym.spaces.Box):
        return np.zeros(space.shape, space.dtype)
    return space.dtype.type(0) if isinstance(space, gym.spaces.Discrete) else space.sample() * 0
