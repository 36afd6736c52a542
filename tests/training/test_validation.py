"""Validation: the same rows each time, on any number of ranks, and no trace in training."""

import threading

import numpy as np
import pytest
import torch

from gato_gym.config import ModelConfig
from gato_gym.data.collect import collect
from gato_gym.data.mixture import Mixture
from gato_gym.data.windows import WindowSource
from gato_gym.envs import task_spec
from gato_gym.models.gato import Gato
from gato_gym.testing import TOY_CONTINUOUS_TASK, TOY_TASK, ToyExpert, make_toy
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training.validation import validate

MODEL = ModelConfig(
    "test",
    width=32,
    layers=2,
    heads=2,
    hidden=64,
    context=96,
    text_size=1024,
    patch_channels=32,
    stochastic_depth=0.5,
)
ROWS = 10


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Rows of two toy tasks."""
    out = tmp_path_factory.mktemp("corpus") / "toy"
    tasks = (TOY_TASK, TOY_CONTINUOUS_TASK)
    for task in tasks:
        given = {"episodes": 2, "seed": 0, "expert": ToyExpert(), "make_env": make_toy}
        report = collect(task, out=out, **given)
    text = TextTokenizer.train(["go left", "go right"] * 20, 512)
    specs = {task: task_spec(make_toy(task)) for task in tasks}
    return WindowSource(
        report.corpus, Mixture(report.corpus), specs, MODEL.context, Vocabulary(1024), text
    )


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Gato(MODEL)


def by_hand(model, source):
    """Log-softmax row by row, target by target."""
    model.eval()
    found = {}
    for row in range(ROWS):
        window = source.rows([row])
        names = ("ids", "local", "patches", "pixels", "positions", "first_visible")
        with torch.no_grad():
            logits = model(*(torch.from_numpy(getattr(window, name)) for name in names))
        logs = logits.log_softmax(-1)[0]
        queries, targets, tasks = (getattr(window, n)[0] for n in ("queries", "targets", "tasks"))
        for query, target, task in zip(queries, targets, tasks, strict=True):
            if target >= 0:
                hit = int(logs[query].argmax()) == target
                values = found.setdefault(source.tasks[task], [])
                values.append((-logs[query, target].item(), hit))
    return found


def test_mean_losses_by_task(model, source):
    found = validate(model, source, ROWS, 4, "cpu")
    expected = by_hand(model, source)
    assert found.keys() == expected.keys() and len(found) == 2
    for task, values in expected.items():
        losses, hits = zip(*values, strict=True)
        assert found[task].loss == pytest.approx(np.mean(losses), rel=1e-4)
        assert found[task].accuracy == pytest.approx(np.mean(hits))
        assert found[task].targets == len(values)


def test_the_same_again_and_no_trace(model, source):
    model.train()
    torch.manual_seed(5)
    before, weights = torch.get_rng_state(), [p.clone() for p in model.parameters()]
    first = validate(model, source, ROWS, 4, "cpu")
    assert validate(model, source, ROWS, 4, "cpu") == first
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is None for p in model.parameters())
    assert all(map(torch.equal, weights, model.parameters()))


def test_a_model_that_fails_is_put_back_too(model, source):
    model.train()
    with pytest.raises(TypeError):
        validate(model, source, ROWS, "four", "cpu")
    assert model.training
    model.eval()
    validate(model, source, 2, 2, "cpu")
    assert not model.training


class Meeting:
    """Adds the tensors of ranks that are threads."""

    def __init__(self, ranks):
        self._barrier, self._given = threading.Barrier(ranks), [None] * ranks

    def rank(self, rank):
        def together(tensor):
            self._given[rank] = tensor
            self._barrier.wait(20)
            return sum(self._given)

        return together


@pytest.mark.parametrize(("ranks", "rows"), [(2, ROWS), (3, ROWS), (4, 1)])
def test_ranks_share_the_rows_and_run_the_model_equally_often(model, source, ranks, rows):
    alone = validate(model, source, rows, 2, "cpu")
    meeting, results, calls = Meeting(ranks), [None] * ranks, [0] * ranks

    class Counting(torch.nn.Module):
        def __init__(self, rank):
            super().__init__()
            self.rank = rank

        def forward(self, **batch):
            calls[self.rank] += 1
            return model(**batch)

    def work(rank):
        results[rank] = validate(
            Counting(rank),
            source,
            rows,
            2,
            "cpu",
            rank=rank,
            ranks=ranks,
            together=meeting.rank(rank),
        )

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(calls)) == 1 and calls[0] >= 1
    for found in results:
        assert found == results[0]
        assert found.keys() == alone.keys()
        for task, mean in found.items():
            assert mean == pytest.approx(alone[task], rel=1e-6)


def test_ranks_without_a_way_to_add_are_refused(model, source):
    with pytest.raises(ValueError, match="2 ranks need a function that adds"):
        validate(model, source, ROWS, 2, "cpu", rank=0, ranks=2)
