"""The generalist's choices at toy size: what differs reaches the training, and runs are kept."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "generalist_choices.py"
TOY = {"layers": 1, "width": 32, "heads": 2, "hidden": 64, "context": 96}


@pytest.fixture
def script(monkeypatch):
    location = importlib.util.spec_from_file_location("generalist_choices", SCRIPT)
    module = importlib.util.module_from_spec(location)
    monkeypatch.setitem(sys.modules, "generalist_choices", module)
    location.loader.exec_module(module)
    return module


def test_every_choice_is_one_change(script):
    base = script.CHOICES["base"]
    for name, choice in script.CHOICES.items():
        parts = ("shape", "train", "noise", "weights", "tasks")
        changed = [part for part in parts if getattr(choice, part) != getattr(base, part)]
        assert len(changed) == (name != "base"), name
        if "context" in choice.shape:
            assert choice.shape["context"] * choice.rows == 308


def test_it_trains_plays_and_goes_on(script, tmp_path, monkeypatch):
    pole = ("CartPole-v1",)
    monkeypatch.setattr(script, "TASKS", pole)
    monkeypatch.setattr(script, "SYMBOLS", ())
    choices = {
        "base": script.Choice("", "as it is", TOY, tasks=pole),
        "rate": script.Choice("learning rate", "2e-3", TOY, {"learning_rate": 2e-3}, tasks=pole),
        "noise": script.Choice("noise", "none", TOY, noise="none", tasks=pole),
    }
    monkeypatch.setattr(script, "CHOICES", choices)
    out, work = tmp_path / "found.json", tmp_path / "work"
    command = ["--work", str(work), "--collected", "2", "--steps", "2", "--batch", "2"]
    command += ["--episodes", "2", "--arithmetic", "float32", "--out", str(out)]
    assert script.main([*command, "--choices", "base", "rate"]) == 0
    found = json.loads(out.read_text())
    assert [row["choice"] for row in found["choices"]] == ["base", "rate"]
    for row in found["choices"]:
        (once,) = row["seeds"]
        score = once["scores"]["CartPole-v1"]
        assert len(score["returns"]) == 2
        assert once["groups"] == {"pole": min(max(score["normalized"], 0), 1)} | {
            "all": min(max(score["normalized"], 0), 1)
        }
    trained = []
    train = script.train
    monkeypatch.setattr(script, "train", lambda *args: trained.append(args[0]) or train(*args))
    assert script.main([*command, "--choices", *choices]) == 0
    assert [choice.of for choice in trained] == ["noise"]
    assert len(json.loads(out.read_text())["choices"]) == 3
