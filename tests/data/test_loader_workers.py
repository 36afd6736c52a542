"""Processes that build windows: they go when they are not needed, and their end is told."""

import multiprocessing
import os
import signal

import numpy as np
import pytest

from gato_gym.data.corpus import Corpus
from gato_gym.data.mixture import Mixture
from gato_gym.data.windows import WindowSource, batches
from gato_gym.errors import CorruptShardError, TrainingError
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import ActionSpec, Episode, ObservationSpec, TaskSpec

SPEC = TaskSpec(
    "state",
    "test",
    "test",
    (ObservationSpec("state", "continuous", (4,)),),
    ActionSpec("discrete", 1, (2,)),
)


@pytest.fixture
def source(tmp_path):
    corpus = Corpus.create(tmp_path / "corpus")
    states = np.random.default_rng(0).normal(size=(51, 4)).astype(np.float32)
    corpus.append_shard(
        [
            Episode(
                task="state",
                observations={"state": states},
                actions=np.zeros(50, np.int64),
                rewards=np.zeros(50),
                terminated=True,
                seed=0,
                expert="one",
            )
        ]
    )
    return WindowSource(corpus, Mixture(corpus), {"state": SPEC}, 60, Vocabulary(1024))


def test_processes_end_with_their_reader(source):
    loader = batches(source, 2, 0, 1000, threads=1, workers=2)
    next(loader)
    started = multiprocessing.active_children()
    assert len(started) == 2
    loader.close()
    for process in started:
        process.join(30)
        assert not process.is_alive()


def test_a_killed_process_is_told(source):
    loader = batches(source, 2, 0, 10_000, threads=1, workers=1)
    next(loader)
    (process,) = multiprocessing.active_children()
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(TrainingError, match=r"a process that loads data has ended.*exit code -9"):
        for _ in loader:
            pass


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_shard_is_told(source, workers):
    (shard,) = (source.corpus.path / "shards").iterdir()
    data = bytearray(shard.read_bytes())
    data[-100] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CorruptShardError, match=shard.name):
        next(batches(source, 2, 0, 10, threads=1, workers=workers))
