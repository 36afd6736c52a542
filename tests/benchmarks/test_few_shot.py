"""The few-shot benchmark at toy size: it runs, keeps what it needs, and goes on."""

import importlib.util
import json
from pathlib import Path

import pytest

from gato_gym.config import model_config
from gato_gym.models.gato import Gato
from gato_gym.training.bundle import Bundle, save_bundle

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "few_shot.py"
SIZE = ["--batch", "1", "--steps", "2", "--evaluate-every", "1", "--evaluate-episodes", "1"]


@pytest.fixture
def script(monkeypatch):
    location = importlib.util.spec_from_file_location("few_shot", SCRIPT)
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    monkeypatch.setattr(module, "SIZE", SIZE)
    return module


def test_it_writes_one_run_per_cell_and_reads_finished_ones(script, tmp_path, monkeypatch):
    agent = save_bundle(Bundle(Gato(model_config("tiny")), {}), tmp_path / "agent")
    command = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "few_shot.json")]
    command += ["--task", "CartPole-v1", "--collected", "2", "--episodes", "1", "2"]
    command += ["--ways", "from scratch", "--checkpoint", str(agent)]
    assert script.main(command) == 0
    results = json.loads((tmp_path / "few_shot.json").read_text())
    assert results["task"] == "CartPole-v1"
    cells = [(run["way"], run["episodes"], run["draw"]) for run in results["runs"]]
    assert cells == [("from scratch", 1, 0), ("from scratch", 2, 0)]
    for run in results["runs"]:
        assert [point["step"] for point in run["curve"]] == [0, 1, 2]
        assert set(script.KEPT) <= set(run) and run["settings"]["learning_rate"] == 1e-3

    verbs = []
    monkeypatch.setattr(script, "gato_gym", lambda words: verbs.append(words[0]) or 0)
    assert script.main(command) == 0
    assert verbs == ["collect"]
    assert json.loads((tmp_path / "few_shot.json").read_text()) == results
