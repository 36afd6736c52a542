"""The benchmark of rounded weights, at toy size."""

import importlib
import json
from pathlib import Path

import pytest

from gato_gym.models.precision import PRECISIONS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("precision")


def test_figures(script, capsys, tmp_path):
    out = tmp_path / "precision.json"
    arguments = ["--size", "tiny", "--tokens", "10", "--passes", "3", "--device", "cpu"]
    arguments += [
        "--task",
        "gato_gym/BlockStacking-Reach-v0",
        "--steps",
        "10",
        "--episodes",
        "1",
        "--seed",
        "7000",
    ]
    assert script.main([*arguments, "--json", "--out", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text()) == found
    assert tuple(found["speed"]) == PRECISIONS
    sizes = [speed["weight_megabytes"] for speed in found["speed"].values()]
    assert sizes[1] == sizes[0] / 2 and sizes[2] < sizes[1]
    assert found["speed"]["float32"]["ratio"] == 1
    assert all(0 < speed["p50_ms"] <= speed["p99_ms"] for speed in found["speed"].values())
    task = found["tasks"]["gato_gym/BlockStacking-Reach-v0"]
    for agreement in task["agreement"].values():
        assert 0.5 < agreement["equal_actions"] <= 1
        assert agreement["equal_actions"] <= agreement["equal_numbers"]
    assert task["returns"]["float32"]["mean_return"] >= 20


def test_agents_that_differ_are_told_apart(script):
    """Weights of noise agree with the trained ones by chance."""
    agents = {name: script.GatoAgent.from_pretrained(device="cpu") for name in PRECISIONS}
    script.torch.manual_seed(0)
    agents["int8"].model.init_weights()
    found = script.agreement("CartPole-v1", agents, steps=60, seed=7000)
    assert found["bfloat16"]["equal_actions"] == 1
    assert 0.2 < found["int8"]["equal_actions"] < 0.8
    # Of two values: where they differ, they are one apart.
    assert found["int8"]["mean_difference"] == pytest.approx(1 - found["int8"]["equal_actions"])
