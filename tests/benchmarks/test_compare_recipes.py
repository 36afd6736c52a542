"""The comparison of recipes runs, goes on where it was stopped, and picks the best rate."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from gato_gym import envs
from gato_gym.config import MODELS
from gato_gym.data.collect import collect
from gato_gym.testing import TOY_TASK, ToyExpert, make_toy

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        module = importlib.import_module("compare_recipes")
        patched.setattr(module, "MODEL", replace(MODELS["tiny"], layers=1))
        # The toy task is in no catalogue.
        patched.setattr(module, "named_by_data", lambda task: task)
        spec = envs.task_spec(make_toy(TOY_TASK))
        patched.setattr(module.envs, "task_spec", lambda task: spec)
        yield module


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    for name, seed in (("seen", 0), ("unseen", 100)):
        collect(
            TOY_TASK,
            out=folder / name,
            episodes=2,
            seed=seed,
            expert=ToyExpert(),
            make_env=make_toy,
        )
    return folder


def test_rates_then_seeds(script, corpora, tmp_path):
    out, work = tmp_path / "recipes.json", tmp_path / "work"
    same = ["--corpus", str(corpora / "seen"), "--held-out", str(corpora / "unseen")]
    same += ["--work", str(work), "--out", str(out), "--recipes", "paper", "muon"]
    same += ["--steps", "3", "--batch", "2", "--every", "1", "--rows", "4"]
    assert script.main([*same, "--rates", "1e-9", "1e-2"]) == 0
    before = {path.name: path.stat().st_mtime_ns for path in work.iterdir()}
    assert sorted(before) == [
        f"{name}-{rate}-0.json" for name in ("muon", "paper") for rate in ("0.01", "1e-09")
    ]
    assert script.main([*same, "--seeds", "0", "1"]) == 0
    result = json.loads(out.read_text())
    runs = {(run["recipe"], run["rate"], run["seed"]): run for run in result["runs"]}
    added = {("paper", 0.01, 1), ("muon", 0.01, 1)}
    assert len(runs) == 6 and added < runs.keys()
    assert all((work / name).stat().st_mtime_ns == time for name, time in before.items())
    for run in runs.values():
        assert [point["step"] for point in run["curve"]] == [1, 2, 3]
        assert list(run["curve"][-1]["held_out"]) == ["all", "other"]
        assert list(run["curve"][-1]["ema"]) == [str(decay) for decay in script.DECAYS]
        assert run["step_seconds"] > 0
    # The same start and the same rows: only what the recipe changes differs.
    first = {key: run["curve"][0]["training"] for key, run in runs.items()}
    assert first["paper", 0.01, 0] == first["muon", 0.01, 0] != first["muon", 0.01, 1]
    still = runs["paper", 1e-9, 0]["curve"][-1]
    assert still["ema"]["0.99"]["all"] == pytest.approx(still["held_out"]["all"], rel=1e-5)
