"""How the rows of a step are divided among ranks and micro-batches."""

from dataclasses import fields

import numpy as np
import pytest

from gato_gym.data.corpus import Corpus
from gato_gym.data.mixture import Mixture
from gato_gym.data.packing import Window, merge
from gato_gym.data.windows import WindowSource, batches
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import ActionSpec, Episode, ObservationSpec, TaskSpec

SPEC = TaskSpec(
    "seen",
    "test",
    "test",
    (ObservationSpec("screen", "image", (32, 32, 3)),),
    ActionSpec("discrete", 1, (2,)),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    rng = np.random.default_rng(0)
    corpus = Corpus.create(tmp_path_factory.mktemp("batches"))
    corpus.append_shard(
        [
            Episode(
                task="seen",
                observations={"screen": rng.integers(0, 256, (n + 1, 32, 32, 3)).astype(np.uint8)},
                actions=rng.integers(0, 2, n),
                rewards=np.zeros(n),
                terminated=True,
                seed=n,
                expert="one",
            )
            for n in (3, 11, 50)
        ]
    )
    return WindowSource(corpus, Mixture(corpus), {"seen": SPEC}, 62, Vocabulary(1024))


def same(a, b):
    for field in fields(Window):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype
        np.testing.assert_equal(x, y, err_msg=field.name)


@pytest.mark.parametrize(
    ("ranks", "accumulate", "workers"), [(1, 1, 0), (1, 4, 0), (2, 1, 0), (2, 2, 0), (2, 2, 1)]
)
def test_ranks_and_micro_batches_share_a_batch(source, ranks, accumulate, workers):
    loaders = [
        batches(source, 8, 3, 5, 1, workers, part=(rank, ranks), accumulate=accumulate)
        for rank in range(ranks)
    ]
    for step in (3, 4):
        parts = [next(loader) for loader in loaders for _ in range(accumulate)]
        same(merge(parts), source.rows(range(8 * step, 8 * step + 8)))
    assert all(next(loader, None) is None for loader in loaders)


@pytest.mark.parametrize(
    ("batch", "ranks", "accumulate", "hint"),
    [(10, 4, 1, "8 or 12"), (10, 2, 2, "8 or 12"), (3, 2, 2, "4 rows"), (9, 1, 2, "8 or 10")],
)
def test_batches_that_cannot_be_divided(source, batch, ranks, accumulate, hint):
    told = f"batch of {batch} rows .* {ranks} ranks x {accumulate} micro-batches: .*{hint}"
    with pytest.raises(ValueError, match=told):
        batches(source, batch, 0, 1, part=(0, ranks), accumulate=accumulate)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"part": (0, 0)}, "ranks must be at least 1"),
        ({"part": (2, 2)}, "rank 2 is not one of 2"),
        ({"part": (-1, 2)}, "rank -1 is not one of 2"),
        ({"threads": -1}, "cannot be negative, got -1 and 0"),
    ],
)
def test_loaders_that_cannot_be(source, changed, told):
    with pytest.raises(ValueError, match=told):
        batches(source, **{"batch": 2, "first_step": 0, "steps": 1} | changed)
