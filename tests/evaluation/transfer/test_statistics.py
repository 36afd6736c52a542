"""The statistics against direct computations, and on data of which the transfer is known."""

import math

import numpy as np
import pytest
from scipy import stats

from gato_gym.evaluation.transfer.statistics import (
    Scores,
    compare,
    difference,
    holm,
    mean_variance,
    scores_of,
    window_returns,
)


def plain(*values, noise=0.0):
    return Scores(tuple(values), (noise,) * len(values))


def result(curve, at, over, random=0.0, expert=10.0):
    points = [{"step": step, "returns": returns} for step, returns in curve]
    window = [value for step, returns in curve if step and step <= at for value in returns]
    score = float(np.mean(window[-over * 2 :]))
    return {
        "curve": points,
        "score_at_step": at,
        "smoothed_over": over,
        "score": score,
        "normalized": (score - random) / (expert - random),
        "random": random,
        "expert": expert,
    }


def test_the_episodes_of_a_score_are_those_of_its_window():
    curve = [(0, [9.0, 9.0]), (5, [1.0, 2.0]), (10, [3.0, 5.0]), (15, [4.0, 6.0]), (20, [0.0, 0.0])]
    found = result(curve, at=15, over=2)
    assert window_returns(found) == [[3.0, 5.0], [4.0, 6.0]]
    assert np.mean(window_returns(found)) == found["score"]
    scores = scores_of([found], normalized=True)
    assert scores.values == (0.45,)
    # The mean of two evaluations, each the mean of two episodes with variance 0.02.
    assert scores.noise == (pytest.approx((0.02 / 2 + 0.02 / 2) / 2**2),)
    raw = scores_of([found], normalized=False)
    assert raw.values == (4.5,) and raw.noise[0] == pytest.approx(100 * scores.noise[0])


def test_noise_is_that_of_the_episodes_not_of_learning():
    assert mean_variance([[1.0, 2.0], [11.0, 12.0]]) == pytest.approx(0.5 / 4)
    assert mean_variance([[1.0], [3.0], [5.0]]) == pytest.approx(4 / 3)
    assert mean_variance([[1.0]]) == 0.0


def test_an_interval_is_students():
    scores = plain(1.0, 2.0, 4.0)
    low, high = scores.interval()
    direct = stats.ttest_1samp(scores.values, 0).confidence_interval(0.95)
    assert (low, high) == (pytest.approx(direct.low), pytest.approx(direct.high))
    assert plain(1.0).interval() is None


def test_a_difference_is_welchs():
    one, other = plain(1.0, 2.0, 4.0), plain(0.0, 0.5, 0.25)
    found = difference(one, other)
    direct = stats.ttest_ind(one.values, other.values, equal_var=False)
    interval = direct.confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(one.values) - np.mean(other.values))
    assert found.p == pytest.approx(direct.pvalue)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_draws_that_lie_close_by_chance_are_not_surer_than_their_episodes():
    lucky, noisy = plain(1.0, 1.0, 1.0), plain(1.0, 1.0, 1.0, noise=0.04)
    assert lucky.variance == 0.0 and noisy.variance == pytest.approx(0.04)
    low, high = noisy.interval()
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, 2) * math.sqrt(0.04 / 3))
    assert plain(0.0, 1.0, 2.0, noise=0.04).variance == pytest.approx(1.0)
    assert difference(lucky, plain(0.5, 0.5, 0.5)).p == 0.0
    assert difference(noisy, plain(0.5, 0.5, 0.5, noise=0.04)).p > 0.01


def test_scores_that_never_vary():
    assert difference(plain(1.0, 1.0), plain(1.0, 1.0)).p == 1.0
    assert difference(plain(1.0, 1.0), plain(1.0)) is None


@pytest.mark.parametrize(
    ("values", "corrected"),
    [
        ([], []),
        ([0.04], [0.04]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        # A hypothesis is never surer than one with a smaller value: 0.8 and not 0.6.
        ([0.3, 0.4, 0.01], [0.6, 0.6, 0.03]),
        ([0.9, 0.8], [1.0, 1.0]),
    ],
)
def test_holm(values, corrected):
    assert holm(values) == pytest.approx(corrected)


def test_known_transfer_is_found():
    cells = {
        ("scratch", 1): plain(0.10, 0.12, 0.11),
        ("all", 1): plain(0.80, 0.82, 0.79),
        ("same-domain", 1): plain(0.05, 0.20, 0.11),
        ("scratch", 10): plain(0.90, 0.92, 0.91),
        ("all", 10): plain(0.30, 0.31, 0.33),
        ("same-domain", 10): plain(0.90),
    }
    found = {(c.regime, c.episodes): c for c in compare("boxing", cells, "scratch", "normalised")}
    verdicts = {key: one.verdict for key, one in found.items()}
    assert verdicts == {
        ("all", 1): "positive",
        ("same-domain", 1): "none",
        ("all", 10): "negative",
        ("same-domain", 10): "untested",
    }
    tested = [found[key] for key in (("all", 1), ("same-domain", 1), ("all", 10))]
    assert [one.p_holm for one in tested] == pytest.approx(holm([c.difference.p for c in tested]))
    assert found["same-domain", 10].p_holm is None


def test_without_scratch_there_is_nothing_to_compare_with():
    assert compare("boxing", {("all", 1): plain(0.1, 0.2)}, "scratch", "return") == []


def bootstrap_finds(one, other, rng, resamples=200):
    """Whether draws and then episodes, resampled, leave zero out of the 95 % interval."""

    def means(episodes):
        draws = episodes[rng.integers(len(episodes), size=(resamples, len(episodes)))]
        chosen = rng.integers(episodes.shape[1], size=draws.shape)
        return np.take_along_axis(draws, chosen, 2).mean((1, 2))

    low, high = np.percentile(means(one) - means(other), [2.5, 97.5])
    return low > 0 or high < 0


def test_where_there_is_no_transfer_five_in_a_hundred_are_found_at_most():
    """Three draws of six episodes: a bootstrap of draws and episodes says so far too often."""
    rng = np.random.default_rng(0)
    rounds, found, bootstrap = 300, 0, 0
    for _ in range(rounds):
        cells = rng.normal(0, 0.1, (2, 3, 1)) + rng.normal(0, 0.1, (2, 3, 6))
        one, other = (Scores(tuple(cell.mean(1)), tuple(cell.var(1, ddof=1) / 6)) for cell in cells)
        found += difference(one, other).p < 0.05
        bootstrap += bootstrap_finds(*cells, rng)
    assert found <= 0.05 * rounds
    assert bootstrap >= 0.08 * rounds
