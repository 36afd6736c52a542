"""Both ways of evaluating play the same episodes; and the benchmark sees if they do not."""

import importlib
import json
from pathlib import Path

import pytest
import torch

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.models.gato import Gato

pytest.importorskip("stable_baselines3")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("sb3_evaluate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("sb3") / "agent"
    specs = {"CartPole-v1": envs.task_spec("CartPole-v1")}
    GatoAgent(Gato(model_config("tiny")), specs).save_pretrained(path)
    return path


@pytest.fixture
def run(script, folder, capsys):
    """Run the script with three episodes -> (exit code, its JSON)."""

    def call(*arguments):
        command = ["--checkpoint", str(folder), "--device", "cpu", "--tasks", "CartPole-v1:3"]
        code = script.main([*command, *arguments])
        return code, json.loads(capsys.readouterr().out)

    return call


def test_the_returns_are_the_same(run, tmp_path):
    out = tmp_path / "sb3.json"
    code, told = run("--seed", "11", "--out", str(out))
    (row,) = told["rows"]
    assert code == 0 and row["same"]
    assert row["eval"] == row["evaluate_policy"] and len(row["eval"]) == row["episodes"] == 3
    assert json.loads(out.read_text()) == told
    assert row["steps"] == [sum(row["eval"])] * 2  # a pole earns 1 a step


def test_other_episodes_are_noticed(run, script, monkeypatch):
    evaluate = script.evaluate
    monkeypatch.setattr(
        script,
        "evaluate",
        lambda task, agent, *, episodes, seed: evaluate(
            task, agent, episodes=episodes, seed=seed + 1
        ),
    )
    code, told = run()
    assert code == 1 and not told["rows"][0]["same"]
