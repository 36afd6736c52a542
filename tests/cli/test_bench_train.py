"""`gato-gym bench train`: both paths train the same model, and the figures fit together."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from gato_gym.cli import bench, bench_report, measure_train
from gato_gym.cli.bench_ladder import Ladder
from gato_gym.cli.bench_paths import OurPath, PlainPath, StepFigures, peak_resident
from gato_gym.cli.bench_processes import KINDS, Process
from gato_gym.cli.bench_workload import Workload
from gato_gym.cli.plain_reference import PlainGato, PlainSource, plain_batch
from gato_gym.config import ModelConfig, TrainConfig
from gato_gym.data.collect import collect
from gato_gym.envs import task_spec
from gato_gym.errors import TrainingError
from gato_gym.models.gato import Gato
from gato_gym.testing import TOY_CONTINUOUS_TASK, TOY_TASK, ToyExpert, make_toy
from gato_gym.training.step import draw_keep, to_device

MODEL = ModelConfig(
    "test",
    width=32,
    layers=3,
    heads=2,
    hidden=64,
    context=160,
    text_size=1024,
    patch_channels=32,
    stochastic_depth=0.3,
)
TRAIN = TrainConfig(steps=100, batch=4, log_every=1, save_every=1000)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """A workload on both toy tasks: images, numbers, discrete values and text."""
    folder = tmp_path_factory.mktemp("bench")
    shares = {TOY_TASK: 0.5, TOY_CONTINUOUS_TASK: 0.5}
    for task in shares:
        collect(
            task,
            out=folder / "corpus",
            episodes=4,
            seed=0,
            expert=ToyExpert(),
            episodes_per_shard=4,
            make_env=make_toy,
        )
    specs = {task: task_spec(make_toy(task)) for task in shares}
    return Workload(folder, folder / "corpus", shares, specs, MODEL, TRAIN, "cpu", 1)


@pytest.fixture
def workload(toys, tmp_path):
    return replace(toys, folder=tmp_path)


class Here:
    """A `Process` without a process."""

    def __init__(self, kind, workload):
        self.kind, self.workload = kind, workload

    def ask(self, method, *arguments):
        if method == "make":
            self.made = KINDS[self.kind](self.workload, *arguments)
            return None
        return getattr(self.made, method)(*arguments)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.kind == "ours":
            self.made._logs.close()


# what is compared


def pair(workload):
    torch.manual_seed(0)
    ours = Gato(workload.model).train()
    plain = PlainGato(workload.model).train()
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def test_the_plain_path_has_the_same_loss_and_gradients(workload):
    ours, plain = pair(workload)
    rows = workload.source(PlainSource).rows(range(4))
    keep = draw_keep(0, range(4), workload.model)
    keep[0] = keep.max()  # each sub-layer is there in some row
    assert (keep == 0).any() and len(rows.pixels) > len(rows.patches)
    batch = to_device(rows, CPU)
    mine = ours(**batch, keep=keep).total / rows.target_count
    theirs = plain(plain_batch(rows), keep)
    assert mine.item() == pytest.approx(theirs.item(), abs=1e-5)
    mine.backward()
    theirs.backward()
    others = dict(plain.named_parameters())
    for name, parameter in ours.named_parameters():
        expected = others[name].grad
        torch.testing.assert_close(parameter.grad, expected, rtol=0, atol=1e-4, msg=name)
        assert expected.abs().max() > 0, name


def test_a_plain_row_is_one_document_about_the_task_of_the_packed_row(workload):
    packed, plain = workload.source(), workload.source(PlainSource)
    rows = plain.rows(range(12))
    for index, first in enumerate(rows.first_visible):
        end = int((first == 0).sum())
        assert (first[end:] == range(end, MODEL.context)).all()
        assert plain.row(index).tasks[0] == packed.row(index).tasks[0]
    assert 0.05 < rows.padding / rows.ids.size < 0.6  # toy episodes are short


def test_plain_rows_have_every_step_as_often(workload):
    train = replace(workload.train, prompt_share=0.0)
    source = replace(workload, train=train).source(PlainSource)
    rng, seen = np.random.default_rng(0), Counter()
    for _ in range(6000):
        ((cut,),) = source._planner.row(MODEL.context, rng)
        seen.update((*cut[:2], step) for step in range(cut.start, cut.start + cut.length))
    for number, task in enumerate(source.mixture.tasks):
        counts = np.array([count for key, count in seen.items() if key[0] == number])
        assert len(counts) == sum(entry.steps for entry in task.entries)
        assert np.ptp(counts) < 8 * counts.mean() ** 0.5


def test_every_rung_trains_the_same(workload):
    ladder = Ladder(workload, rows=3)
    names = [name for name, _, _ in ladder.measure()]
    assert names[0] == "plain" and names[-1] == "fused optimiser" and len(names) == 7
    losses = {rung.name: rung.loss(rung.batch, rung.keep).item() for rung in ladder.rungs}
    assert ladder.rungs[0].tokens < ladder.rungs[1].tokens
    skipped = (ladder.rungs[0].keep == 0).float().mean()
    assert skipped == pytest.approx(MODEL.stochastic_depth, abs=0.05)
    same = [loss for name, loss in losses.items() if name != "plain"]
    # One rung has tiny factors where the others have 0, and one factor for all rows.
    masked = same.pop(names.index("fused attention by document") - 1)
    assert max(same) - min(same) < 1e-5 and abs(masked - same[0]) < 1.0
    (weights,) = {id(rung.optimizer.param_groups[0]["params"][0]) for rung in ladder.rungs}
    assert weights == id(ladder.model.embedding.ids.weight)


def test_without_stochastic_depth_nothing_can_be_skipped(workload):
    still = replace(workload, model=replace(MODEL, stochastic_depth=0.0))
    assert "skipped sub-layers" not in [rung.name for rung in Ladder(still, rows=1).rungs]


def test_the_last_rung_is_compiled_where_training_is(workload, monkeypatch):
    compiled = []
    monkeypatch.setattr(Gato, "compile_blocks", lambda model: compiled.append(model))
    ladder = Ladder(replace(workload, train=replace(TRAIN, compile=True)), rows=1)
    *_, before, last = ladder.rungs
    assert last.name == "compiled blocks" and len(compiled) == 1
    losses = [rung.loss(rung.batch, rung.keep).item() for rung in (before, last)]
    assert losses[0] == losses[1]
    last.loss(last.batch, last.keep).backward()
    assert ladder.model.norm.weight.grad is not None  # the twin has no weights of its own


def test_a_batch_that_does_not_fit_is_halved(workload, monkeypatch):
    plain = PlainPath(workload)
    honest = plain.model.forward

    def small(batch, keep):
        if len(batch["ids"]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return honest(batch, keep)

    monkeypatch.setattr(plain.model, "forward", small)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    assert plain.step().size == MODEL.context
    assert plain.facts()["batch"] == 1
    monkeypatch.setattr(plain.model, "forward", lambda *_: small({"ids": [0, 0]}, None))
    with pytest.raises(torch.OutOfMemoryError):
        plain.step()


def test_paths_count_the_same_rows(workload):
    ours, plain = OurPath(workload), PlainPath(workload)
    mine, theirs = ours.step(), plain.step()
    size = TRAIN.batch * MODEL.context
    assert mine.size == theirs.size == size
    assert mine.tokens > theirs.tokens and mine.padding / size < 0.1 < theirs.padding / size
    assert mine.env_steps > theirs.env_steps > 0 and mine.flops > theirs.flops
    for step in (mine, theirs):
        assert 0 <= step.waited <= step.seconds and step.loss == pytest.approx(7.6, abs=0.6)
    assert ours.patch_seconds() > 0
    assert ours.facts()["parameters"] == ours.trainer.model.parameter_count()
    ours._logs.close()


def test_peak_memory_is_the_most_at_once():
    before = peak_resident()
    block = torch.ones(before // 4 + (64 << 20))  # more than before, in floats
    del block
    assert peak_resident() > before + (64 << 20)


# the figures


def test_the_report_fits_together(workload):
    def step(seconds, padding, **changes):
        figures = dict(seconds=seconds, waited=0.1, size=100, padding=padding, env_steps=10)
        return StepFigures(**(figures | dict(flops=50.0, loss=2.0) | changes))

    rounds = [
        bench_report.Round([step(1.0, 0), step(1.0, 20)], [step(4.0, 20)]),
        bench_report.Round([step(2.0, 0)], [step(5.0, 50)]),
        bench_report.Round([step(1.0, 20)], [step(4.0, 20)]),
    ]
    facts = [{"memory": memory, "measured_as": "m", "batch": 4} for memory in (6e9, 8e9)]
    facts[0] |= {"parameters": 7, "peak_flops": 100.0, "peak_source": "p"}
    found = bench_report.report(workload, rounds, facts, patches=0.25)
    assert (found["value"], found["reference"], found["ratio"]) == (80.0, 20.0, 4.0)
    assert found["ratio_range"] == [4.0, 5.0]
    assert found["steps"] == {"value": 4, "reference": 3}
    assert found["env_steps"] == {"value": 8.0, "reference": 2.31, "tokens_per_step": 9.0}
    assert found["utilisation"]["value"] == 0.4
    assert found["memory_gb"] == {
        "value": 6.0,
        "reference": 8.0,
        "saving": 0.25,
        "measured_as": "m",
    }
    assert found["padding"] == {"value": 0.1, "reference": 0.3}
    assert found["loader_wait"] == {"value": 0.08, "reference": 0.0231}
    assert found["patch_network"] == 0.2
    assert "published" not in found


def test_the_shares_of_savings_add_up():
    passes = [[("a", 10.0, 4.0), ("b", 20.0, 2.0), ("c", 16.0, 2.5), ("d", 80.0, 0.5)]] * 2
    found = bench_report.savings(passes, 2, 8)
    assert [rung["gain"] for rung in found["rungs"]] == [1, 2, 0.8, 5]
    assert [rung["ratio"] for rung in found["rungs"]] == [1, 2, 1.6, 8]
    assert sum(rung["share"] for rung in found["rungs"]) == pytest.approx(1, abs=2e-3)
    assert found["rungs"][1]["share"] == pytest.approx(math.log(2) / math.log(8), abs=1e-3)


# the command


def test_bench_train(run_json, corpus, monkeypatch):
    monkeypatch.setattr(measure_train, "Process", Here)
    shape = ("--layers", 1, "--width", 64, "--context", 60, "--batch", 2)
    found = run_json(
        "bench",
        "train",
        "--size",
        "tiny",
        *shape,
        "--rounds",
        2,
        "--seconds",
        0,
        "--corpus",
        corpus,
    )
    assert found["ratio"] == pytest.approx(found["value"] / found["reference"], rel=0.05)
    assert found["ratio_range"][0] <= found["ratio"] <= found["ratio_range"][1]
    assert found["rounds"] == 2 and found["tasks"] == {"CartPole-v1": 1.0}
    model = found["model"]
    assert (model["layers"], model["width"], model["heads"], model["hidden"]) == (1, 64, 1, 256)
    assert model["context"] == 60 and found["batch"] == {"value": 2, "reference": 2}
    assert found["env_steps"]["tokens_per_step"] == 6 and found["patch_network"] == 0
    assert found["padding"]["value"] == 0 and found["unit"] == "tokens/s"
    assert found["savings"]["rungs"][0]["ratio"] == 1 and found["savings"]["rows"] == 2
    assert found["command"] == (
        "gato-gym bench train --size tiny --rounds 2 --seconds 0.0 --layers 1 --width 64 "
        f"--context 60 --batch 2 --corpus {corpus} --json"
    )


def test_a_slow_first_step_counts_and_time_ends_the_rounds(monkeypatch):
    clock = [0.0]

    class Slow:
        def __init__(self, seconds):
            self.seconds, self.steps = seconds, 0

        def ask(self, method):
            if method == "make":
                return None
            self.steps += 1
            clock[0] += self.seconds
            return StepFigures(self.seconds, 0.0, 10, 0, 1, 1.0, 1.0)

    monkeypatch.setattr(measure_train.time, "perf_counter", lambda: clock[0])
    for seconds, rounds, expected, steps in (
        (60.0, None, 2, 2),
        (25.0, None, 4, 4),
        (1.0, None, 5, 6),
        (60.0, 1, 1, 1),
        (1.0, 3, 3, 4),
    ):
        ours, plain = Slow(seconds), Slow(2 * seconds)
        options = bench.Options("train", rounds=rounds, seconds=0.0)
        assert len(measure_train.alternate(ours, plain, options)) == expected
        assert ours.steps == plain.steps == steps


def test_the_ladder_takes_as_many_rows_as_there_is_time_and_memory_for(workload):
    class Small:
        def __init__(self, most):
            self.most, self.passes = most, 0

        def ask(self, method, rows=None):
            if method == "make":
                self.rows = rows
                return None
            if self.rows > self.most:
                raise TrainingError("ladder: OutOfMemoryError: CUDA out of memory")
            self.passes += 1
            return [("plain", 10.0, 1.0), ("better", 20.0, 0.5)]

    for seconds, most, rows, passes in ((1.0, 4, 4, 3), (1.0, 2, 2, 3), (80.0, 4, 2, 3)):
        ladder = Small(most)
        found = measure_train.climb(ladder, workload, seconds, most=3)
        assert (found["rows"], found["of"], found["passes"]) == (rows, 4, passes)
        assert ladder.passes == passes + 1  # it warmed up
    with pytest.raises(TrainingError, match="CUDA out of memory"):
        measure_train.climb(Small(0), workload, 1.0, most=3)


def test_a_process_answers_fails_and_dies(workload):
    with Process("ladder", workload) as process:
        process.ask("make", 1)
        assert process.ask("measure")[0][0] == "plain"
        with pytest.raises(TrainingError, match="ladder: AttributeError"):
            process.ask("no_such_method")
        process._process.kill()
        with pytest.raises(TrainingError, match=r"'ladder' has ended \(exit code -9\).*--batch"):
            process.ask("measure")
