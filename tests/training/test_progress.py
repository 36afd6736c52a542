"""What a run tells: means over targets, sums that add up over ranks, scalars by name."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gato_gym.data.packing import Window
from gato_gym.errors import MissingExtraError, TrainingError
from gato_gym.training.progress import Meter, TaskLoss, task_sums, validation_log
from gato_gym.training.sinks import TensorBoard, WeightsAndBiases, scalars

TASKS = ["a", "b", "c", "unseen"]
DOMAINS = {"a": "one", "b": "two", "c": "one"}


class Clock:
    """Time that passes when a test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def window(targets, tasks, length=10, padding=1):
    """A window of which only what a meter reads is there."""
    arrays = {
        "ids": np.zeros((len(targets), length), np.int64),
        "targets": np.array(targets),
        "tasks": np.array(tasks),
        "padding": padding,
    }
    return Window(**{name: arrays.get(name) for name in Window.__dataclass_fields__})


def steps():
    """Two steps of two rows: (window, losses, correct)."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(2):
        targets = rng.integers(0, 9, (2, 6))
        targets[rng.random((2, 6)) < 0.3] = -1
        tasks = rng.integers(0, 3, (2, 6))
        losses, correct = rng.random((2, 6)), rng.random((2, 6)) < 0.5
        found.append((window(targets, tasks), losses, correct))
    return found


def one_log(parts, clock=None, **extra):
    clock = clock or Clock()
    meter = Meter(TASKS, DOMAINS, clock=clock)
    for part in parts:
        with meter.waiting():
            clock.sleep(0.5)
        meter.add(*part)
        clock.sleep(1.5)
        meter.end_step(2.0)
    return meter.log(2, 10, 1e-3, **extra)


def flat(parts):
    """Losses, hits and task names of all targets, one by one."""
    triples = [
        (losses[i], bool(correct[i]), TASKS[w.tasks[i]])
        for w, losses, correct in parts
        for i in np.ndindex(w.targets.shape)
        if w.targets[i] >= 0
    ]
    return triples


def test_means_over_targets_by_task_and_domain():
    parts = steps()
    log = one_log(parts)
    triples = flat(parts)
    assert log.loss == pytest.approx(np.mean([loss for loss, _, _ in triples]))
    assert set(log.losses) == {"a", "b", "c"} and set(log.domain_losses) == {"one", "two"}
    for task in log.losses:
        mine = [(loss, hit) for loss, hit, name in triples if name == task]
        assert log.losses[task] == pytest.approx(np.mean([loss for loss, _ in mine]))
        assert log.accuracy[task] == pytest.approx(np.mean([hit for _, hit in mine]))
    for domain in log.domain_losses:
        mine = [(loss, hit) for loss, hit, name in triples if DOMAINS[name] == domain]
        assert log.domain_losses[domain] == pytest.approx(np.mean([loss for loss, _ in mine]))
        assert log.domain_accuracy[domain] == pytest.approx(np.mean([hit for _, hit in mine]))


def test_tensors_count_as_arrays_do():
    parts = steps()
    tensors = [(w, torch.from_numpy(x), torch.from_numpy(c)) for w, x, c in parts]
    assert one_log(tensors).losses == pytest.approx(one_log(parts).losses)


def test_speeds_and_shares():
    log = one_log(steps())
    assert log.tokens_per_second == 2 * 20 / 4
    assert log.loader_wait == 0.25
    assert log.padding == 2 / 40
    assert (log.gradient_norm, log.learning_rate, log.step) == (2.0, 1e-3, 2)
    assert log.seconds_left == 8 * 2
    assert log.utilisation is None
    assert log.memory > 10_000_000


def test_a_pause_is_no_training_time_but_delays_the_end():
    clock = Clock()
    meter = Meter(TASKS, clock=clock)
    for step in (1, 2):
        meter.add(*steps()[0])
        meter.end_step(1.0)
        clock.sleep(2)
        with meter.paused():
            clock.sleep(6)
        log = meter.log(step, 10, 1e-3)
        assert log.tokens_per_second == 10
        assert meter.seconds == 2 * step
    assert log.seconds_left == 8 * 8


def test_utilisation_is_useful_flops_over_what_the_device_could_do():
    clock = Clock()
    meter = Meter(TASKS, peak=1000.0, clock=clock)
    for part in steps():
        meter.add(*part, flops=300.0)
    meter.end_step(1.0)
    clock.sleep(4)
    assert meter.log(1, 2, 1e-3).utilisation == 600 / 4000


def test_ranks_add_up_to_one_process():
    parts = steps()
    whole = one_log(parts)
    shares = [
        [
            (
                window(w.targets[r : r + 1], w.tasks[r : r + 1], padding=r),
                x[r : r + 1],
                c[r : r + 1],
            )
            for w, x, c in parts
        ]
        for r in (0, 1)
    ]
    others = []
    one_log(shares[1], together=lambda sums: others.append(sums) or sums)
    log = one_log(shares[0], together=lambda sums: sums + others[0])
    for name in ("losses", "accuracy", "domain_losses", "domain_accuracy"):
        assert getattr(log, name) == pytest.approx(getattr(whole, name))
    for name in ("loss", "gradient_norm", "tokens_per_second", "loader_wait", "padding"):
        assert getattr(log, name) == pytest.approx(getattr(whole, name)), name


def test_a_log_starts_anew_and_keeps_nothing_of_the_steps():
    meter = Meter(TASKS, clock=(clock := Clock()))
    first, second = steps()
    for part in (first, second):
        meter.add(*part)
        meter.end_step(1.0)
        clock.sleep(1)
        log = meter.log(1, 2, 1e-3)
    assert log.loss == pytest.approx(np.mean([loss for loss, _, _ in flat([second])]))
    assert meter.sums()[:-1].abs().sum() == 0 and not meter._parts


def test_validation_log_weighs_tasks_by_their_targets():
    log = validation_log(7, {"a": TaskLoss(1.0, 0.5, 30), "c": TaskLoss(2.0, 1.0, 10)}, DOMAINS)
    assert (log.step, log.targets, log.loss) == (7, 40, 1.25)
    assert log.domain_losses == {"one": 1.25} and log.domain_accuracy == {"one": 0.625}


def test_scalars_by_name():
    log = one_log(steps())
    values = scalars(log)
    assert values["train/loss"] == log.loss
    assert values["loss/a"] == log.losses["a"]
    assert values["accuracy/b"] == log.accuracy["b"]
    assert values["loss_domain/one"] == log.domain_losses["one"]
    assert "train/utilisation" not in values  # nobody knows it here
    held_out = scalars(validation_log(7, {"a": TaskLoss(1.0, 0.5, 3)}, DOMAINS))
    assert held_out["validation/loss"] == held_out["validation/loss_domain/one"] == 1.0
    assert all(name.startswith("validation/") for name in held_out)


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars("x")]


def test_a_resumed_run_replaces_what_tensorboard_shows_of_later_steps(tmp_path):
    first = TensorBoard(tmp_path)
    for step in (1, 2, 3):
        first.scalars(step, {"x": 1.0})
    assert read(tmp_path) == [(1, 1.0), (2, 1.0), (3, 1.0)]  # at once, not when it is closed
    first.close()
    again = TensorBoard(tmp_path, step=1)
    again.scalars(2, {"x": 2.0})
    again.close()
    assert read(tmp_path) == [(1, 1.0), (2, 2.0)]


def test_without_wandb_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match="pip install wandb, or leave --wandb out"):
        WeightsAndBiases("project", tmp_path, {})


def test_wandb_goes_on_in_the_same_run(tmp_path, monkeypatch):
    sent, starts = [], []
    run = SimpleNamespace(id="abc", define_metric=lambda *a, **k: None, finish=lambda: None)
    run.log = sent.append
    fake = SimpleNamespace(init=lambda **given: starts.append(given) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for _ in range(2):
        sink = WeightsAndBiases("project", tmp_path / "run", {"steps": 5})
        sink.scalars(3, {"train/loss": 1.0})
        sink.close()
    assert [start["id"] for start in starts] == [None, "abc"]
    assert starts[0]["config"] == {"steps": 5} and starts[0]["project"] == "project"
    assert sent == [{"step": 3, "train/loss": 1.0}] * 2

    def fails(**given):
        raise RuntimeError("api_key not configured")

    fake.init = fails
    with pytest.raises(TrainingError, match="api_key not configured; try `wandb login`"):
        WeightsAndBiases("project", tmp_path, {})


def test_task_sums_ignore_what_is_no_target():
    sums = task_sums(window([[1, -1]], [[2, 2]]), [[0.5, np.nan]], [[True, True]], 4)
    np.testing.assert_array_equal(sums, [[0, 0, 0.5, 0], [0, 0, 1, 0], [0, 0, 1, 0]])
