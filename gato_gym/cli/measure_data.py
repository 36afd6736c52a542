"""What `gato-gym bench data` measures: the loader, against reading whole episodes row by row.

Rows have the paper's 1024 tokens, batches 16 rows. Nothing is kept between windows, neither decoded
nor compressed: each of them reads its records from their files, which the operating system has in
memory. Both ways work in one thread; its processor time counts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from gato_gym import envs
from gato_gym.cli.bench import Pair
from gato_gym.config import MODELS, TrainConfig
from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.data.mixture import Mixture
from gato_gym.data.packing import Window, collate
from gato_gym.data.windows import WindowSource, batches
from gato_gym.tokenizers.vocabulary import Vocabulary

SIZE = "79m"  # the smallest with the paper's context and vocabulary
BATCH = TrainConfig().batch
STATE_TASK, STATE_EPISODES = "gato_gym/BlockStacking-v0", 64
IMAGE_TASK, IMAGE_EPISODES = "ALE/Boxing-v5", 12


@contextmanager
def data(task: str) -> Iterator[Pair]:
    """Tokens of training batches; parts: tokens of a state task, patches of an image task."""
    with tempfile.TemporaryDirectory() as folder:
        whole = _pair(Path(folder), task, "tokens/s", _tokens)
        parts = {
            "state": _pair(Path(folder), STATE_TASK, "tokens/s", _tokens),
            "images": _pair(Path(folder), IMAGE_TASK, "patches/s", _patches),
        }
        yield replace(whole, parts=parts)


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
    return collect(
        task, out=folder, episodes=episodes, seed=1, episodes_per_shard=episodes, progress=False
    ).corpus


def window_source(corpus: Corpus, task: str, size: str = "bundle") -> WindowSource:
    """Rows for a model size."""
    shape = MODELS[size]
    specs = {task: envs.task_spec(task)}
    mixture = Mixture(corpus, {task: 1.0})
    return WindowSource(corpus, mixture, specs, shape.context, Vocabulary(shape.text_size))


def _pair(folder: Path, task: str, unit: str, units: Callable[[Window], int]) -> Pair:
    images = any(leaf.kind == "image" for leaf in envs.task_spec(task).observations)
    episodes = IMAGE_EPISODES if images else STATE_EPISODES
    written = expert_corpus(folder, task, episodes)  # those that are there are kept
    corpora = Corpus.open(folder), WholeEpisodes.open(folder)
    for corpus in corpora:
        corpus.cache_bytes = 0
    ours, reference = (window_source(corpus, task, SIZE) for corpus in corpora)
    loader = batches(ours, BATCH, 0, 1 << 40, threads=0)
    steps = count()

    def row_by_row() -> int:
        first = next(steps) * BATCH
        return units(collate([reference.row(first + i) for i in range(BATCH)]))

    figures = {
        "task": task,
        "episodes": episodes,
        "record_bytes": sum(entry.size for entry in written.episodes(task)),
        "context": ours.context,
        "batch": BATCH,
    }
    return Pair(
        unit,
        lambda: units(next(loader)),
        row_by_row,
        clock=time.process_time,
        figures=lambda: figures,
    )


def _tokens(window: Window) -> int:
    return window.ids.size - window.padding


def _patches(window: Window) -> int:
    return len(window.pixels)
