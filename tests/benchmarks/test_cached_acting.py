"""Cached acting equals a recomputation, by the benchmark in short; and it sees what does not."""

import importlib
import json
from pathlib import Path

import pytest
import torch

from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.models.decode import Decoder
from gato_gym.models.gato import Gato
from gato_gym.models.stream import TokenStreams

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        module = importlib.import_module("cached_acting")
        patched.setattr(module, "CUTS", (None, 9, 5, None))
        yield module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small agent of the bundled tasks and prompts; its context slides after a few steps."""
    bundled = GatoAgent.from_pretrained(device="cpu")
    torch.manual_seed(0)
    model = Gato(model_config("tiny"))
    with torch.no_grad():  # larger than at the start of training: every path counts
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= 3
    path = tmp_path_factory.mktemp("cached") / "agent"
    GatoAgent(model, bundled.specs, bundled.prompts).save_pretrained(path)
    return path


@pytest.fixture
def run(script, folder, capsys):
    """Run the script -> (exit code, its JSON)."""

    def call(steps, *arguments):
        command = ["--checkpoint", str(folder), "--device", "cpu", "--steps", str(steps), "--json"]
        code = script.main([*command, *arguments])
        return code, json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def only_cartpole(script, monkeypatch):
    monkeypatch.setattr(script, "TASKS", ("CartPole-v1",))


def test_every_logit_and_action_is_the_same(run, script, tmp_path):
    out = tmp_path / "cached.json"
    code, found = run(490, "--out", str(out))
    assert code == 0 and json.loads(out.read_text()) == found
    assert found["same"] and 0 < found["value"] <= 1e-4
    assert found["equal_actions"] == 1 and found["different_actions"] == []
    assert found["steps"] >= 490 and found["predictions"] > found["steps"]
    assert found["slides"] > 100 and found["episodes_ended"] > 0 and found["episodes_cut"] > 20
    *single, mixed = found["batches"]
    assert [(one["tasks"][0], len(one["prompted"])) for one in single] == [
        (task, prompted) for task in script.TASKS for prompted in (1, 0)
    ]
    assert all(one["steps"] >= 50 for one in found["batches"])
    assert all(one["slides"] > 0 for one in found["batches"])
    assert mixed["tasks"] == [*script.TASKS] * 2 and mixed["steps_waited"] > 0
    assert mixed["prompted"] == [t for t in script.TASKS if t != script.UNPROMPTED]


def test_a_past_that_is_not_forgotten_is_seen(run, only_cartpole, monkeypatch):
    honest, restarted = TokenStreams.restart, set()

    def restart(streams, row, prompt=None):
        if (id(streams.cache), row) not in restarted:
            restarted.add((id(streams.cache), row))
            honest(streams, row, prompt)

    monkeypatch.setattr(TokenStreams, "restart", restart)
    code, found = run(160)
    assert code == 1 and not found["same"] and found["value"] > 1e-3
    assert found["equal_actions"] < 1 and len(found["different_actions"]) > 0


def test_a_small_difference_is_seen_and_another_action_named(run, only_cartpole, monkeypatch):
    honest = Decoder.logits
    monkeypatch.setattr(Decoder, "logits", lambda *given: honest(*given) + 1e-3)
    code, found = run(7)
    assert code == 1 and found["value"] == pytest.approx(1e-3, rel=0.1)
    assert found["equal_actions"] == 1
    assert run(7, "--tolerance", "0.01")[0] == 0
    monkeypatch.setattr(Decoder, "logits", lambda *given: -honest(*given))
    code, found = run(7, "--tolerance", "1000")
    assert code == 1 and found["equal_actions"] < 0.5
    first = found["different_actions"][0]
    assert first["task"] == "CartPole-v1" and first["step"] == first["number"] == 0
    assert first["ahead_by"] > 0
