"""The picture of a run's curves, from its logs."""

import importlib.util
import json
from pathlib import Path

import imageio.v3 as imageio
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo():
    path = ROOT / "demos" / "training_curves.py"
    location = importlib.util.spec_from_file_location("training_curves", path)
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def losses(step, **more):
    return {"step": step, "losses": {"CartPole-v1": 2 / step}} | more


def test_losses_validation_and_scores(demo, tmp_path, capsys):
    domains = {"classic": 0.5, "atari": 1.5}
    write(tmp_path / "train.jsonl", [losses(s, domain_losses=domains) for s in (5, 10)])
    assert demo.main([str(tmp_path)]) == 0
    alone = imageio.imread(tmp_path / "curves.png")
    write(tmp_path / "validation.jsonl", [losses(10, domain_losses={"classic": 0.6})])
    score = {"mean": 0.8, "iqm": 0.9, "ci95": [0.7, 0.9], "count": 1}
    unknown = {"mean": None, "iqm": None, "ci95": None, "count": 0}
    rolled = [{"step": s, "domains": {"classic": score, "other": unknown}} for s in (5, 10)]
    write(tmp_path / "rollouts.jsonl", rolled)
    out = tmp_path / "both.png"
    assert demo.main([str(tmp_path), "--out", str(out)]) == 0
    both = imageio.imread(out)
    assert both.shape[1] > 1.8 * alone.shape[1] and both.min() < 100
    assert str(out) in capsys.readouterr().out


def test_runs_without_domains_are_drawn_by_task(demo):
    found = demo.curves([losses(1), losses(2)])
    assert found == {"CartPole-v1": ([1, 2], [2.0, 1.0])}


def test_a_folder_without_a_log(demo, tmp_path, capsys):
    assert demo.main([str(tmp_path)]) == 2
    assert "has no lines" in capsys.readouterr().err
