"""The benchmark of playing in batches runs and says whether the episodes were the same."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.models.gato import Gato

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "eval_batches.py"
TASK = "CartPole-v1"


@pytest.fixture
def script():
    location = importlib.util.spec_from_file_location("eval_batches", SCRIPT)
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


@pytest.fixture
def command(tmp_path):
    torch.manual_seed(0)
    agent = GatoAgent(Gato(model_config("tiny")), {TASK: envs.task_spec(TASK)})
    agent.save_pretrained(tmp_path / "agent")
    return [
        *("--checkpoint", str(tmp_path / "agent"), "--episodes", "3", "--rounds", "2"),
        *("--num-envs", "1", "3", "--out", str(tmp_path / "out.json")),
    ]


def test_one_row_for_each_number_of_environments(script, command, tmp_path, capsys):
    assert script.main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "out.json").read_text()) == found
    assert [(row["task"], row["num_envs"]) for row in found["rows"]] == [(TASK, 1), (TASK, 3)]
    assert all(0 < row["median"] <= row["best"] for row in found["rows"])
    assert found["command"] == "python benchmarks/eval_batches.py " + " ".join(command)


def test_other_returns_are_a_failure(script, command, monkeypatch):
    evaluate = script.evaluate

    def shifted(*args, seed, num_envs, **kwargs):
        return evaluate(*args, seed=seed + (num_envs > 1), num_envs=num_envs, **kwargs)

    monkeypatch.setattr(script, "evaluate", shifted)
    assert script.main(command) == 1
