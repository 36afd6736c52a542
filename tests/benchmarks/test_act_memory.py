"""Acting keeps nothing of what is past, by the benchmark in short; and it sees what grows."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.models.gato import Gato

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TASK = "CartPole-v1"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("act_memory")


@pytest.fixture
def agent():
    torch.manual_seed(0)
    prompts = GatoAgent.from_pretrained(device="cpu").prompts
    return GatoAgent(Gato(model_config("tiny")), {TASK: envs.task_spec(TASK)}, prompts)


def test_2000_steps_keep_nothing(script, agent):
    player = script.Player(agent, TASK)
    player.play(500)  # the cache has turned, constants are there
    tensors, blocks = script.tensors(), sys.getallocatedblocks()
    player.play(2000)
    assert script.tensors() == tensors
    # Had each step kept one object, this would be 2,000 more.
    assert sys.getallocatedblocks() - blocks < 500
    player.env.close()
    assert player.episodes > 50


def test_every_look_is_told(script, agent, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(script.GatoAgent, "from_pretrained", lambda *_, **__: agent)
    out = tmp_path / "memory.json"
    steps = ["--steps", "250", "--every", "100", "--warm-up", "50", "--limit", "1000"]
    assert script.main([*steps, "--json", "--out", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text()) == found
    assert [point["step"] for point in found["points"]] == [0, 100, 200, 250]
    assert found["steady"] and found["steps"] == 250 and found["episodes"] > 5
    assert found["more_tensors"] == found["recompiles_after_warm_up"] == 0
    assert all(low < 2**40 for low in found["resident_mb"]) and found["limit"] == 1000
    assert script.main([*steps, "--steps", "5", "--limit", "-1000"]) == 1
    with pytest.raises(SystemExit):
        script.main(["--steps", "0"])


def test_what_grows_is_seen(script, agent, monkeypatch):
    player, kept, honest = script.Player(agent, TASK), [], agent.act

    def hoarding(obs):
        kept.append(torch.ones(8))
        return honest(obs)

    monkeypatch.setattr(agent, "act", hoarding)
    points = list(script.watch(player, 5, steps=40, every=20))
    player.env.close()
    found = script.judge(points, limit=2.0)
    assert found["more_tensors"] == 40 and not found["steady"]
    still = [dict.fromkeys(("step", "episodes", "resident", "tensors", "recompiles"), 0)] * 2
    assert script.judge(still, limit=2.0)["steady"]
    assert not script.judge([still[0], still[0] | {"recompiles": 1}], limit=2.0)["steady"]
    assert not script.judge([still[0], still[0] | {"resident": 3 << 20}], limit=2.0)["steady"]


def test_resident_memory_is_that_of_now(script):
    before = script.resident()
    block = torch.ones(64 << 20)  # 256 MB, more than what was freed before could hold
    assert before + (200 << 20) < script.resident() < before + (400 << 20)
    del block
