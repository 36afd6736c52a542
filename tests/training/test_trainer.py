"""The trainer at toy size: it learns, it resumes bit for bit, it stops before it does harm."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gato_gym.config import ModelConfig, TrainConfig
from gato_gym.data.collect import collect
from gato_gym.data.mixture import Mixture
from gato_gym.data.windows import WindowSource, batches
from gato_gym.envs import task_spec
from gato_gym.errors import CorruptCheckpointError, TrainingError
from gato_gym.testing import TOY_CONTINUOUS_TASK, TOY_TASK, ToyExpert, make_toy
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import SEPARATOR_ROW
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training import checkpoint
from gato_gym.training.trainer import Trainer, predict, target_losses, to_device

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
    for name in ("model.safetensors", "optimizer.safetensors"):
        files = [tmp_path / run / names[1] / name for run in ("straight", "broken")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_prompts_are_on_by_default(source):
    assert source.prompt_share == 0.25
    assert any("(prompt)" in name for i in range(16) for name in source.row(i).episodes)


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
    for name in window.episodes:
        assert name in str(caught.value)
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
    with torch.no_grad():
        greedy = predict(trainer.model, batch).argmax(-1)
    # Text is left out: the first goal of a document cannot be known before it is read.
    before = batch["local"].gather(1, batch["queries"])
    actions = (batch["targets"] >= 0) & (before == SEPARATOR_ROW)
    assert greedy[actions].tolist() == batch["targets"][actions].tolist()
    assert len(set(batch["targets"][actions].tolist())) >= 3 and actions.sum() > 10


def test_tensorboard(source, tmp_path):
    list(Trainer(MODEL, replace(CONFIG, steps=2), source, tmp_path).run())
    (events,) = (tmp_path / "tensorboard").glob("events.out.tfevents.*")
    written = events.read_bytes()
    for tag in ("train/loss", "train/learning_rate", f"loss/{TOY_TASK}", f"accuracy/{TOY_TASK}"):
        assert tag.encode() in written


def test_target_losses_by_hand():
    logits = torch.tensor([[[0.0, 0.0], [np.log(3.0), 0.0]], [[0.0, 5.0], [0.0, np.log(3.0)]]])
    targets = torch.tensor([[1, 0], [-1, 0]])
    expected = [[np.log(2), np.log(4 / 3)], [0.0, np.log(4)]]
    np.testing.assert_allclose(target_losses(logits, targets), expected, rtol=1e-6)


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
