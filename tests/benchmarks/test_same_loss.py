"""The first steps of both paths, by the benchmark."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from gato_gym.cli import bench_workload
from gato_gym.cli.bench_paths import PlainPath

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("same_loss")


@pytest.fixture(autouse=True)
def few_episodes(monkeypatch):
    monkeypatch.setattr(bench_workload, "EPISODES", 2)


ARGUMENTS = ["--steps", "5", "--size", "tiny", "--task", "CartPole-v1", "--json"]


def test_five_steps_have_the_same_losses(script, capsys, tmp_path):
    out = tmp_path / "same_loss.json"
    assert script.main([*ARGUMENTS, "--out", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text()) == found
    assert found["same"] and found["value"] < 1e-5 and found["steps"] == 5
    assert found["model"]["stochastic_depth"] == 0.1
    assert found["last_loss"] < found["first_loss"]
    assert all(len(losses) == 5 for losses in found["losses"].values())
    assert found["command"].startswith("python benchmarks/same_loss.py --steps 5")


def test_another_loss_is_noticed(script, capsys, monkeypatch):
    honest = PlainPath.step

    def off_by_a_hundredth(path):
        step = honest(path)
        return replace(step, loss=step.loss * 1.01)

    monkeypatch.setattr(PlainPath, "step", off_by_a_hundredth)
    assert script.main(ARGUMENTS) == 1
    assert not json.loads(capsys.readouterr().out)["same"]
