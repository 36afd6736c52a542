"""The trainer at toy size: it learns, it resumes bit for bit, it stops before it does harm."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from gato_gym.config import MODELS, ModelConfig, TrainConfig
from gato_gym.data.collect import collect
from gato_gym.data.mixture import Mixture
from gato_gym.data.windows import WindowSource, batches
from gato_gym.envs import task_spec
from gato_gym.errors import CorruptCheckpointError, OutOfMemoryError, TrainingError
from gato_gym.testing import TOY_CONTINUOUS_TASK, TOY_TASK, ToyExpert, make_toy
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import SEPARATOR_ROW
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training import checkpoint
from gato_gym.training.progress import StepLog, ValidationLog
from gato_gym.training.step import to_device
from gato_gym.training.trainer import Trainer

TASKS = (TOY_TASK, TOY_CONTINUOUS_TASK)
MODEL = ModelConfig(
    "test",
    width=32,
    layers=2,
    heads=2,
    hidden=64,
    context=160,
    text_size=1024,
    patch_channels=32,
    stochastic_depth=0.0,
)
CONFIG = TrainConfig(steps=8, batch=2, log_every=1, save_every=4, learning_rate=3e-3)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Noisy episodes of both toy tasks: image, floats, room, text; both kinds of action."""
    out = tmp_path_factory.mktemp("corpus") / "toy"
    for task in TASKS:
        report = collect(
            task,
            out=out,
            episodes=4,
            seed=0,
            expert=ToyExpert(),
            noise=0.2,
            episodes_per_shard=4,
            make_env=make_toy,
        )
    text = TextTokenizer.train(["go left", "go right"] * 20, 512)
    specs = {task: task_spec(make_toy(task)) for task in TASKS}
    mixture = Mixture(report.corpus)
    vocabulary = Vocabulary(MODEL.text_size)
    return WindowSource(report.corpus, mixture, specs, MODEL.context, vocabulary, text)


class FixedSource:
    """Always the same rows."""

    def __init__(self, source, rows):
        self.tasks, self._source, self._rows = source.tasks, source, rows
        self.seed, self.prompt_share, self.mixture = (
            source.seed,
            source.prompt_share,
            source.mixture,
        )

    def rows(self, indices):
        return self._source.rows([index % self._rows for index in indices])


def weights(trainer):
    return {name: p.detach().numpy().tobytes() for name, p in trainer.model.named_parameters()}


def test_loss_falls(source, tmp_path):
    config = replace(CONFIG, steps=60, batch=4, log_every=10, save_every=60)
    logs = list(Trainer(MODEL, config, source, tmp_path).run())
    assert [log.step for log in logs] == [10, 20, 30, 40, 50, 60]
    assert logs[-1].loss < 0.5 * logs[0].loss
    for task in TASKS:
        assert logs[-1].losses[task] < logs[0].losses[task]
        assert logs[-1].accuracy[task] > logs[0].accuracy[task]
    for log in logs:
        assert log.tokens_per_second > 0 and 0 <= log.loader_wait <= 1
        assert log.gradient_norm > 0 and 0 <= log.padding < 0.5


@pytest.mark.parametrize(("threads", "workers"), [(1, 0), (2, 0), (1, 1)])
def test_resume_is_exact(source, tmp_path, threads, workers):
    model = replace(MODEL, stochastic_depth=0.3)
    config = replace(CONFIG, loader_threads=threads, loader_workers=workers)
    straight = Trainer(model, config, source, tmp_path / "straight")
    expected = list(straight.run())
    broken = Trainer(model, config, source, tmp_path / "broken")
    logs = broken.run()
    before = [next(logs) for _ in range(5)]  # step 5 is lost, step 4 was saved
    logs.close()
    torch.manual_seed(123)
    torch.rand(5)
    resumed = Trainer(model, replace(config, loader_workers=0), source, tmp_path / "broken")
    assert (resumed.step, resumed.tokens) == (4, 4 * 2 * MODEL.context)
    after = list(resumed.run())
    for found, log in zip(before[:4] + after, expected, strict=True):
        for name in ("step", "loss", "losses", "accuracy", "gradient_norm", "learning_rate"):
            assert getattr(found, name) == getattr(log, name), name
    assert weights(resumed) == weights(straight)
    assert resumed.tokens == straight.tokens
    names = ["step-00000004", "step-00000008"]
    for run in ("straight", "broken"):
        assert [p.name for p in checkpoint.checkpoints(tmp_path / run)] == names
    saved = [
        checkpoint.load_tensors(tmp_path / run / names[1] / "tensors-00001-of-00001.safetensors")
        for run in ("straight", "broken")
    ]
    assert saved[0].keys() == saved[1].keys()
    for name, value in saved[0].items():
        assert value.numpy().tobytes() == saved[1][name].numpy().tobytes(), name


def test_prompts_are_on_by_default(source):
    assert source.prompt_share == 0.25
    names = [name for i in range(16) for name in source.row(i).episodes]
    assert any("(prompt)" in name for name in names)


def test_a_finished_run_does_nothing(source, tmp_path):
    config = replace(CONFIG, steps=2)
    list(Trainer(MODEL, config, source, tmp_path).run())
    again = Trainer(MODEL, config, source, tmp_path)
    assert again.step == 2
    assert list(again.run()) == []


@pytest.mark.parametrize(
    ("model", "train", "named"),
    [
        ({"width": 64}, {}, "width"),
        ({"stochastic_depth": 0.2}, {}, "stochastic_depth"),
        ({}, {"batch": 3}, "batch"),
        ({}, {"weight_decay": 0.2, "clip": 2.0}, "clip, weight_decay"),
    ],
)
def test_other_settings_are_refused(source, tmp_path, model, train, named):
    Trainer(MODEL, CONFIG, source, tmp_path).save()
    with pytest.raises(TrainingError, match=rf"other \w+ settings \({named}\)"):
        Trainer(replace(MODEL, **model), replace(CONFIG, **train), source, tmp_path)
    Trainer(MODEL, replace(CONFIG, steps=99, log_every=7), source, tmp_path)


def test_a_source_that_contradicts_the_config_is_refused(source, tmp_path):
    with pytest.raises(ValueError, match="give both the same"):
        Trainer(MODEL, replace(CONFIG, prompt_share=0.5), source, tmp_path)


def test_damaged_state_is_not_taken_for_other_settings(source, tmp_path):
    folder = Trainer(MODEL, CONFIG, source, tmp_path).save()
    state = folder / "state.json"
    state.write_text(state.read_text().replace('"width": 32', '"width": 36'))
    with pytest.raises(CorruptCheckpointError, match=r"state\.json"):
        Trainer(MODEL, CONFIG, source, tmp_path)


def test_non_finite_loss_stops_before_the_update(source, tmp_path):
    trainer = Trainer(MODEL, replace(CONFIG, save_every=2), source, tmp_path)
    logs = trainer.run()
    next(logs), next(logs)
    with torch.no_grad():
        trainer.model.norm.weight[0] = float("inf")
    before = weights(trainer)
    moments = {
        n: trainer.optimizer.state[p]["step"].item() for n, p in trainer.model.named_parameters()
    }
    window = next(batches(source, 2, 2, 3, threads=1))
    with pytest.raises(
        TrainingError, match="at step 2 are not finite; nothing was updated"
    ) as caught:
        next(logs)
    for names in window.episodes:
        assert all(name in str(caught.value) for name in names)
    assert trainer.step == 2
    assert weights(trainer) == before
    assert moments == {
        n: trainer.optimizer.state[p]["step"].item() for n, p in trainer.model.named_parameters()
    }
    assert all(p.grad is None for p in trainer.model.parameters())
    assert [p.name for p in checkpoint.checkpoints(tmp_path)] == ["step-00000002"]


def test_overfits_one_batch_to_the_last_action(source, tmp_path):
    config = replace(CONFIG, steps=150, batch=4, log_every=150, save_every=150)
    config = replace(config, learning_rate=5e-3)
    fixed = FixedSource(source, rows=4)  # of both tasks
    trainer = Trainer(replace(MODEL, width=64, hidden=256), config, fixed, tmp_path)
    list(trainer.run())
    trainer.model.eval()
    batch = to_device(next(batches(fixed, 4, 0, 1)), torch.device("cpu"))
    targets = batch.pop("targets")
    with torch.no_grad():
        greedy = trainer.model(**batch).argmax(-1)
    # Text is left out: the first goal of a document cannot be known before it is read.
    before = batch["local"].gather(1, batch["queries"])
    actions = (targets >= 0) & (before == SEPARATOR_ROW)
    assert greedy[actions].tolist() == targets[actions].tolist()
    assert len(set(targets[actions].tolist())) >= 3 and actions.sum() > 10


def test_step_loss_is_the_mean_over_all_targets(source, tmp_path):
    """Against log-softmax row by row; the batch's filling counts nothing."""
    trainer = Trainer(MODEL, replace(CONFIG, steps=1), source, tmp_path)
    window = next(batches(source, 2, 0, 1))
    batch = to_device(window, torch.device("cpu"))
    with torch.no_grad():
        everywhere = trainer.model(
            **{n: batch[n] for n in ("ids", "local", "patches", "pixels", "positions")},
            first_visible=batch["first_visible"],
        ).log_softmax(-1)
    losses, tasks = [], []
    for row in range(2):
        triples = zip(window.queries[row], window.targets[row], window.tasks[row], strict=True)
        for query, target, task in triples:
            if target >= 0:
                losses.append(-everywhere[row, query, target].item())
                tasks.append(source.tasks[task])
    (log,) = trainer.run()
    assert log.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert log.utilisation > 0
    for task, found in log.losses.items():
        mine = [loss for loss, name in zip(losses, tasks, strict=True) if name == task]
        assert found == pytest.approx(np.mean(mine), rel=1e-5)


def test_without_images(source, tmp_path):
    """The patch network then has no gradient and no moments; saving and resuming still work."""
    spec = source.tokenizers[0].spec
    plain = replace(spec, observations=tuple(o for o in spec.observations if o.key == "position"))
    mixture = Mixture(source.corpus, {spec.id: 1.0})
    few = WindowSource(source.corpus, mixture, {spec.id: plain}, 64, Vocabulary(1024))
    runs = [Trainer(MODEL, CONFIG, few, tmp_path / "a")]
    expected = list(runs[0].run())
    logs = Trainer(MODEL, CONFIG, few, tmp_path / "b").run()
    [next(logs) for _ in range(5)]
    logs.close()
    runs.append(Trainer(MODEL, CONFIG, few, tmp_path / "b"))
    assert [log.loss for log in runs[1].run()] == [log.loss for log in expected[4:]]
    assert weights(runs[0]) == weights(runs[1])


def first_log(model, config, source, folder, **more):
    """The log of one step, and the weights after it."""
    trainer = Trainer(model, replace(config, steps=1), source, folder, **more)
    (log,) = trainer.run()
    return log, trainer


@pytest.fixture
def quick_compiler(monkeypatch):
    """torch.compile traces and differentiates as ever, but makes no C++, which takes minutes."""
    compiled = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self: compiled(self, backend="aot_eager")
    )
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


# Warnings of torch.compile itself.
compiles = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script_method` is deprecated", "ignore:The .grad attribute of a Tensor"
)


@compiles
@pytest.mark.parametrize(
    "changes",
    [
        {"accumulate": 2},
        {"accumulate": 4},
        {"checkpoint_activations": "on"},
        {"accumulate": 2, "checkpoint_activations": "on"},
        {"compile": True},
    ],
    ids=str,
)
def test_other_ways_to_compute_the_same_step(source, tmp_path, changes, quick_compiler):
    model = replace(MODEL, stochastic_depth=0.3)
    config = replace(CONFIG, batch=4)
    expected, plain = first_log(model, config, source, tmp_path / "plain")
    found, other = first_log(model, replace(config, **changes), source, tmp_path / "other")
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    assert found.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-4)
    for (name, one), two in zip(
        plain.model.named_parameters(), other.model.parameters(), strict=True
    ):
        # Adam's first step is the sign of the gradient, whatever its size.
        torch.testing.assert_close(one, two, rtol=0, atol=2.1e-7, msg=name)


@compiles
def test_nothing_compiles_again_after_the_first_steps(source, tmp_path, quick_compiler):
    config = replace(CONFIG, steps=12, compile=True)
    logs = Trainer(replace(MODEL, stochastic_depth=0.3), config, source, tmp_path).run()
    [next(logs) for _ in range(4)]
    torch._dynamo.config.error_on_recompile = True
    try:
        assert len(list(logs)) == 8
    finally:
        torch._dynamo.config.error_on_recompile = False


def test_a_run_that_is_asked_to_stop_saves_and_goes_on_later(source, tmp_path):
    expected = list(Trainer(MODEL, CONFIG, source, tmp_path / "straight").run())
    asked = iter([False] * 3 + [True])
    stopped = Trainer(MODEL, CONFIG, source, tmp_path / "stopped")
    logs = list(stopped.run(stop=lambda: next(asked)))
    assert stopped.step == len(logs) == 3
    resumed = Trainer(MODEL, CONFIG, source, tmp_path / "stopped")
    logs += resumed.run()
    assert [log.loss for log in logs] == [log.loss for log in expected]


def test_a_loader_that_was_ended_with_the_run_loses_no_step(source, tmp_path, monkeypatch):
    """Who stops a run may have stopped the processes that load its data as well."""

    def ended(*arguments, **more):
        yield from islice(batches(*arguments, **more), 3)
        raise TrainingError("a process that loads data has ended")

    monkeypatch.setattr("gato_gym.training.trainer.batches", ended)
    trainer = Trainer(MODEL, CONFIG, source, tmp_path / "failed")
    with pytest.raises(TrainingError, match="has ended"):
        list(trainer.run())
    trainer = Trainer(MODEL, CONFIG, source, tmp_path / "stopped")
    assert len(list(trainer.run(stop=lambda: trainer.step == 3))) == 3
    assert Trainer(MODEL, CONFIG, source, tmp_path / "stopped").step == 3


def test_validation_and_the_mean_weights_leave_no_trace_in_training(source, tmp_path):
    model = replace(MODEL, stochastic_depth=0.3)
    straight = Trainer(model, CONFIG, source, tmp_path / "straight")
    expected = list(straight.run())
    corpus, specs = source.corpus, {t.spec.id: t.spec for t in source.tokenizers}
    parts = [
        WindowSource(
            corpus,
            Mixture(corpus, held_out=0.3, part=part),
            specs,
            MODEL.context,
            Vocabulary(MODEL.text_size),
            source.text,
        )
        for part in ("train", "validation")
    ]
    config = replace(CONFIG, held_out=0.3, validate_every=3, validation_rows=5, ema=0.5)
    watched = Trainer(model, config, source, tmp_path / "watched", validation=parts[1])
    found = list(watched.run())
    logs = [log for log in found if isinstance(log, StepLog)]
    losses = [log for log in found if isinstance(log, ValidationLog)]
    assert [log.loss for log in logs] == [log.loss for log in expected]
    assert weights(watched) == weights(straight)
    assert [log.step for log in losses] == [3, 6, 8]
    # What is validated and exported are the mean weights, also after a resume.
    again = Trainer(model, config, source, tmp_path / "watched", validation=parts[1])
    mean = again.trained()
    assert again._validate() == losses[-1]
    for name, value in mean.named_parameters():
        assert not torch.equal(value, dict(again.model.named_parameters())[name]), name
        torch.testing.assert_close(value, watched.ema.tensors()[f"ema.{name}"], rtol=0, atol=0)


def test_changed_data_is_not_resumed(source, tmp_path):
    Trainer(MODEL, CONFIG, source, tmp_path).save()
    weighted = Mixture(source.corpus, {TOY_TASK: 2.0, TOY_CONTINUOUS_TASK: 1.0})
    specs = {t.spec.id: t.spec for t in source.tokenizers}
    other = WindowSource(
        source.corpus, weighted, specs, MODEL.context, Vocabulary(MODEL.text_size), source.text
    )
    with pytest.raises(TrainingError, match=f"other data: {TOY_TASK} has share 0.666667, had 0.5"):
        Trainer(MODEL, CONFIG, other, tmp_path)


def test_impossible_batches_and_memory_are_refused_before_the_first_step(source, tmp_path):
    with pytest.raises(ValueError, match="cannot be cut into 2 micro-batches"):
        replace(CONFIG, batch=3, accumulate=2)
    with pytest.raises(OutOfMemoryError, match=r"GiB are missing.*--batch"):
        Trainer(MODELS["1.2b"], replace(CONFIG, batch=1 << 20), source, tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="give validation"):
        Trainer(MODEL, replace(CONFIG, held_out=0.2, validate_every=1), source, tmp_path)
