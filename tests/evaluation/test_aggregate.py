"""Figures of many tasks: worked values, and a second computation that shares no line with ours."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from gato_gym.evaluation.aggregate import aggregate, aggregate_scores, summarize, why_unscored

FOUR = {"mean", "iqm", "ci95", "count"}


def a_score(task, returns, random=0.0, expert=10.0):
    return SimpleNamespace(task=task, returns=returns, random=random, expert=expert)


@pytest.fixture(scope="module")
def suite():
    """Three tasks of one domain and one of another, with 20 to 40 episodes each."""
    rng = np.random.default_rng(5)
    plays = {"a": (0.2, 40), "b": (0.52, 30), "c": (0.9, 20), "d": (1.1, 25)}
    return [a_score(t, list(rng.normal(10 * m, 1, n))) for t, (m, n) in plays.items()]


def interquartile_mean(values):
    values = sorted(values)
    cut = len(values) // 4
    return sum(values[cut : len(values) - cut]) / (len(values) - 2 * cut)


def resampled(tasks, rng):
    """One stratified resample: as many episodes of each task, drawn from its own."""
    return [rng.choice(task, len(task)) for task in tasks]


def test_an_independent_computation_agrees(suite):
    found = aggregate_scores(suite, {"a": "x", "b": "x", "c": "x", "d": "y"})
    rng = np.random.default_rng(99)
    for members, ours in (
        ("abc", found["domains"]["x"]),
        ("d", found["domains"]["y"]),
        ("abcd", found["overall"]),
    ):
        tasks = [np.array(one.returns) / 10 for one in suite if one.task in members]
        draws = [resampled(tasks, rng) for _ in range(4000)]
        means = np.array([[task.mean() for task in draw] for draw in draws])
        iqms = [interquartile_mean(np.concatenate(draw)) for draw in draws]
        assert ours["count"] == len(members)
        assert ours["mean"] == pytest.approx(np.mean([t.mean() for t in tasks]), abs=1e-12)
        assert ours["iqm"] == pytest.approx(interquartile_mean(np.concatenate(tasks)), abs=1e-12)
        assert ours["median"] == pytest.approx(np.median([t.mean() for t in tasks]))
        # Two draws of resamples: their bounds differ by a few per cent of the standard error.
        for interval, theirs in ((ours["ci95"], means.mean(axis=1)), (ours["iqm_ci95"], iqms)):
            assert interval == pytest.approx(np.quantile(theirs, [0.025, 0.975]), abs=1e-3)
        for x in (0, 20, 50, 52, 90, 100):
            counts = (means >= x / 100).sum(axis=1)
            assert ours["above"][str(x)] == sum(t.mean() >= x / 100 for t in tasks)
            bounds = np.quantile(counts, [0.025, 0.975])
            assert ours["above_ci95"][str(x)] == [np.floor(bounds[0]), np.ceil(bounds[1])]
    assert found["overall"]["mean_of_domains"] == pytest.approx(
        np.mean([one["mean"] for one in found["domains"].values()])
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_counts_by_threshold_are_of_tasks_and_never_grow():
    groups = [np.full(3, value) for value in (-0.1, 0.0, 0.29, 0.5, 0.5, 1.0, 1.3)]
    found = aggregate(groups)
    assert [found.above[x] for x in (0, 1, 29, 30, 50, 51, 100)] == [6, 5, 5, 4, 4, 2, 2]
    assert len(found.above) == 101 and list(found.above) == sorted(found.above, reverse=True)
    # All episodes of a task are alike: nothing to be unsure of.
    assert found.above_ci95 == tuple((count, count) for count in found.above)
    assert found.ci95 == (found.mean, found.mean)


def test_a_single_episode_beside_many():
    values = np.random.default_rng(1).normal(0.5, 0.2, 30)
    found = aggregate([np.array([0.7]), values])
    assert found.mean == pytest.approx((0.7 + values.mean()) / 2)
    assert found.iqm == pytest.approx(interquartile_mean([0.7, *values]))
    # Half of the interval of the task with many.
    alone = aggregate([values]).ci95
    assert np.ptp(found.ci95) == pytest.approx(np.ptp(alone) / 2, rel=0.05)


def test_in_small_batches_the_interval_is_the_same_within_its_noise(monkeypatch, suite):
    groups = [np.array(one.returns) / 10 for one in suite]
    whole = aggregate(groups)
    monkeypatch.setattr("gato_gym.evaluation.aggregate._BATCH", 1000 * 115)
    assert aggregate(groups).ci95 == pytest.approx(whole.ci95, abs=1e-3)


def test_what_is_not_averaged_is_named():
    found = aggregate_scores(
        [
            a_score("a", [5.0, 5.0]),
            a_score("b", [1.0], expert=None),
            a_score("c", [1.0], random=None),
            a_score("d", [1.0], random=3.0, expert=3.0),
        ],
        {"a": "x", "b": "x", "c": "y", "d": "y"},
    )
    assert found["unscored"] == {
        "b": "no expert score is known",
        "c": "no score of random play is known",
        "d": "the expert (3) is not above random play (3)",
    }
    assert (found["domains"]["x"]["count"], found["overall"]["mean"]) == (1, 0.5)
    nothing = found["domains"]["y"]
    assert nothing["count"] == 0 and nothing["mean"] is None and nothing["above"] == {}
    assert nothing.keys() == found["domains"]["x"].keys() >= FOUR
    assert found["overall"]["mean_of_domains"] == 0.5
    assert aggregate_scores([], {})["overall"]["mean_of_domains"] is None


@pytest.mark.parametrize(("random", "expert"), [(0.0, float("nan")), (float("nan"), 1.0)])
def test_a_reference_that_is_no_number_scores_nothing(random, expert):
    assert "not above" in why_unscored(random, expert)


def test_the_summary_of_domains():
    scores = [a_score("a", [0.0, 10.0]), a_score("b", [10.0, 10.0]), a_score("c", [5.0] * 4)]
    found = summarize(scores, {"a": "x", "b": "x", "c": "y"})
    assert found["x"]["count"] == 2
    assert found["x"]["mean"] == pytest.approx(0.75)
    # Episodes 0, 1, 1, 1: the middle half is 1, 1.
    assert found["x"]["iqm"] == pytest.approx(1.0)
    assert found["x"]["ci95"] == [pytest.approx(0.5), pytest.approx(1.0)]
    assert found["y"] == {"mean": 0.5, "iqm": 0.5, "ci95": [0.5, 0.5], "count": 1}


def test_the_summary_has_the_values_of_the_whole(suite):
    domains = {"a": "x", "b": "x", "c": "x", "d": "y"}
    whole = aggregate_scores(suite, domains)["domains"]
    assert summarize(suite, domains) == {
        domain: {key: found[key] for key in FOUR} for domain, found in whole.items()
    }


def test_a_domain_without_references_says_so():
    found = summarize([a_score("a", [1.0], random=None)], {"a": "x"})
    assert found == {"x": {"mean": None, "iqm": None, "ci95": None, "count": 0}}
