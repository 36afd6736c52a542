"""The scores of a page: figures of old and new scorecards, and whose they are."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats

from gato_gym.config import model_config
from gato_gym.evaluation.aggregate import aggregate_scores
from gato_gym.evaluation.report.scores import mismatches, read
from gato_gym.evaluation.report.weights import fingerprint
from gato_gym.models.gato import Gato
from gato_gym.training import adapt
from gato_gym.training.bundle import Bundle, save_bundle

SPECS = {"A-v0": {"domain": "one"}, "B-v0": {"domain": "one"}, "C-v0": {"domain": "two"}}


def row(task, *returns, expert=10.0):
    mean = float(np.mean(returns))
    told = {"task": task, "episodes": len(returns), "seed": 7000, "mean_return": mean}
    return told | {"returns": list(returns), "ci95": [mean, mean], "random": 0.0, "expert": expert}


@pytest.fixture
def old():
    """A scorecard without counts of thresholds."""
    rows = [row("A-v0", 2.0, 6.0), row("B-v0", 5.0, 5.0), row("C-v0", 12.0, 8.0)]
    return {"tasks": [*rows, row("D-v0", 3.0, expert=None)], "checkpoint": "run/agent"}


def test_an_old_scorecard_gets_its_figures_from_its_tasks(old):
    problems = []
    found = read(old, SPECS, problems)
    overall = found.overall
    assert (overall.count, overall.above) == (3, {50: 2, 100: 1}) and not problems
    assert overall.mean == pytest.approx((0.4 + 0.5 + 1.0) / 3)
    pooled = np.array([0.2, 0.6, 0.5, 0.5, 1.2, 0.8])
    assert overall.iqm == pytest.approx(stats.trim_mean(pooled, 0.25))
    by_name = {one.name: one for one in found.domains}
    assert by_name["one"].above == {50: 1, 100: 0} and by_name["two"].mean == pytest.approx(1.0)
    assert [one.task for one in found.unscored] == ["D-v0"]
    assert found.unscored[0].why == "no expert score is known"


def test_what_the_evaluation_wrote_stands(old):
    domains = {task: "one" for task in (*SPECS, "D-v0")}
    figures = aggregate_scores(read(old, SPECS, []).rows, domains)
    new = old | copy.deepcopy(figures)
    new["overall"]["mean"] = 0.125
    assert read(new, SPECS, []).overall.mean == 0.125
    del new["overall"]["above"]["37"]  # a page cannot draw what is not there
    assert read(new, SPECS, []).overall.mean == pytest.approx((0.4 + 0.5 + 1.0) / 3)


def test_rows_that_are_none_are_told(old):
    old["tasks"] += [3, {"task": "E-v0", "mean_return": float("nan")}, row("A-v0", 1.0)]
    problems = []
    assert len(read(old, SPECS, problems).rows) == 4
    assert [problem.split(" ")[2] for problem in problems[:2]] == ["entry", "entry"]
    assert "A-v0 twice" in problems[2]


def test_bars_have_one_scale(old):
    found = read(old, SPECS, [])
    assert (found.low, found.high) == (0.0, 1.0)
    assert [found.place(value) for value in (0.0, 0.5, 1.0, 9.0)] == [0, 50, 100, 100]
    old["tasks"].append(row("E-v0", -90.0))
    worse = read(old, SPECS, [])
    assert worse.low == -0.5 and worse.place(-9.0) == 0.0


def told(scorecard, names=("run/agent",), specs=SPECS, weights="0a"):
    return mismatches(scorecard, list(names), specs, lambda: weights)


def test_scores_of_another_checkpoint(old):
    specs = {**SPECS, "D-v0": {}}
    for name in ("run/agent", "long/way/run/agent", "agent", "run/agent (no prompt)"):
        assert told(old | {"checkpoint": name}, specs=specs) == []
    assert (
        "'other/agent', the agent here is 'run/agent'"
        in told(old | {"checkpoint": "other/agent"}, specs=specs)[0]
    )
    # Weights tell more than names.
    named = old | {"checkpoint": "renamed", "settings": {"weights": "0a", "agent": "gato"}}
    assert told(named, specs=specs) == []
    assert "fingerprint 0a, this agent's have 0b" in told(named, specs=specs, weights="0b")[0]
    assert "of experts, not of this agent" in told(old | {"checkpoint": "expert"})[0]
    assert "not trained on: D-v0" in told(old)[0]


def test_the_fingerprint_is_the_one_of_the_evaluation(tmp_path):
    torch.manual_seed(0)
    model = Gato(model_config("tiny"))
    save_bundle(Bundle(model, {}), tmp_path / "agent")
    assert fingerprint(tmp_path / "agent") == adapt.fingerprint(model)
    (tmp_path / "agent" / "model.safetensors").write_bytes(b"no tensors")
    assert fingerprint(tmp_path / "agent") is None


def test_what_newer_scorecards_tell_besides(old):
    figures = aggregate_scores(read(old, SPECS, []).rows, dict.fromkeys((*SPECS, "D-v0"), "a\x01"))
    headlines = {
        "gato": {"tasks": 604, "above": {"50": 450}, "at_least": True},
        "db1": {"tasks": 870, "above_share": {"50": 0.76}},
        "odd": {"tasks": "many"},
    }
    new = old | figures | {"published": {"headlines": headlines}, "skipped": {"E-v0": "gone"}}
    new["tasks"][0] |= {"domain": "named", "published": {"jat": {"normalized": 0.7}}}
    found = read(new, SPECS, [])
    assert list(found.figures["domains"]) == ["a\ufffd"]  # no drawing can hold the letter
    assert found.headlines == ["GATO more than 450 of 604", "DB1 76 % of 870"]
    assert found.published == {"A-v0": 0.7} and found.skipped == {"E-v0": "gone"}
    assert found.rows[0].domain == "named"


def test_names_of_other_types_are_no_tasks(old):
    old["tasks"].append({"task": ["A-v0"], "mean_return": 1.0})
    assert len(read(old, SPECS, []).rows) == 4
    assert told(old, specs={**SPECS, "D-v0": {}}) == []
