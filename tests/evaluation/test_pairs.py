"""Differences and shares of two scores of the same episodes."""

from dataclasses import replace

import numpy as np
import pytest

from gato_gym.evaluation.intervals import bootstrap_interval
from gato_gym.evaluation.pairs import FEWEST, LENGTHS, LengthRecorder, difference, share_kept
from gato_gym.evaluation.rollout import EpisodeResult
from gato_gym.evaluation.scores import Score


def score(returns, random=10.0, expert=110.0, lengths=None):
    returns = tuple(map(float, returns))
    mean = float(np.mean(returns))
    found = Score(
        task="T-v0",
        episodes=len(returns),
        seed=7000,
        mean_return=mean,
        ci95=(min(returns), max(returns)),
        random=random,
        expert=expert,
        normalized=None,
        success_rate=None,
        checkpoint="test",
        steps_per_second=1.0,
        mean_length=1.0,
        returns=returns,
    )
    if lengths is None:
        return found
    accuracy = sum(returns) / sum(lengths)
    return replace(
        found, accuracy=accuracy, accuracy_ci95=(0.0, 1.0), beside={LENGTHS: list(lengths)}
    )


def test_pairs_see_what_two_means_do_not():
    """Seeds differ by far more than the change; what is the same for each seed is seen."""
    luck = np.linspace(20, 100, 12)
    base, worse = score(luck), score(luck - 2 + 0.5 * np.sin(np.arange(12)))
    found = difference(worse, base)
    assert found.verdict == "lower" and found.ci95[1] < 0
    assert found.mean == pytest.approx(worse.mean_return - base.mean_return)
    assert difference(base, worse).verdict == "higher"
    # Against other seeds' luck nothing would be seen.
    assert difference(score(np.roll(luck, 5)), base).verdict == "none seen"
    assert difference(base, base).ci95 == (0, 0)


def test_few_episodes_give_no_verdict():
    few, base = score([1.0] * (FEWEST - 1)), score([2.0] * (FEWEST - 1))
    assert difference(few, base).verdict == "too few"
    assert difference(score([1.0] * FEWEST), score([2.0] * FEWEST)).verdict == "lower"


def test_the_interval_is_that_of_a_direct_bootstrap():
    random = np.random.default_rng(3)
    base, other = random.normal(50, 10, 20), random.normal(45, 10, 20)
    found = difference(score(other), score(base))
    drawn = random.integers(0, 20, (20000, 20))
    low, high = np.percentile((other - base)[drawn].mean(1), [2.5, 97.5])
    assert found.ci95 == pytest.approx((low, high), abs=0.2)
    share, interval = share_kept(score(other), score(base))
    assert share == pytest.approx((other.mean() - 10) / (base.mean() - 10))
    ratios = (other - 10)[drawn].mean(1) / (base - 10)[drawn].mean(1)
    assert interval == pytest.approx(np.percentile(ratios, [2.5, 97.5]), abs=0.01)


def test_words_are_compared_by_their_accuracy():
    lengths = [3, 6, 4, 5, 3, 6, 5]
    base, other = score(lengths, lengths=lengths), score([2, 5, 2, 4, 1, 6, 3], lengths=lengths)
    found = difference(other, base)
    assert found.mean == pytest.approx(other.accuracy - base.accuracy)
    assert found.ci95[0] < found.mean < found.ci95[1] < 0 and found.verdict == "lower"
    cut = score([2, 5, 2, 4, 1, 6, 3], lengths=[3, 6, 4, 5, 3, 6, 4])
    with pytest.raises(ValueError, match="the same seeds gave episodes of"):
        difference(cut, base)


def test_a_share_needs_something_to_keep():
    base = score([60, 62, 64])
    assert share_kept(base, base) == (1.0, (1.0, 1.0))
    assert share_kept(score([10, 10, 10]), score([60, 60, 60])) == (0.0, (0.0, 0.0))
    assert share_kept(base, score([5, 20, 60])) is None  # its interval reaches random play
    assert share_kept(base, score([60, 62, 64], random=None)) is None


def test_a_base_of_which_some_fail_has_an_interval():
    """Among resamples of eight such episodes are some of failures only."""
    returns = [10, 10, 60, 60, 60, 60, 10, 60]
    base = replace(score(returns), ci95=bootstrap_interval(returns))
    share, (low, high) = share_kept(score([10, 10, 60, 60, 60, 60, 10, 10]), base)
    assert share == pytest.approx(0.8)
    assert 0.0 <= low < share < high == 1.0


def test_other_episodes_are_not_compared():
    with pytest.raises(ValueError, match="scores of the same episodes are compared"):
        difference(score([1, 2]), score([1, 2, 3]))
    with pytest.raises(ValueError, match="same episodes"):
        share_kept(replace(score([1, 2]), seed=0), score([1, 2]))


def test_lengths_are_in_order_of_the_seeds():
    recorder = LengthRecorder()
    for seed, length in ((3, 30), (1, 10), (2, 20)):
        recorder.on_episode_end(EpisodeResult(seed, 0.0, length, None, True, 0.0))
    assert recorder.lengths == [10, 20, 30]
