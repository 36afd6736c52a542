"""Two scores of the same task and the same seeds, episode by episode.

An episode is a function of the agent, the task and the seed. What two ways of playing make of one
seed belongs together: luck of the draw is in both, and their difference tells more than two means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium
import numpy as np

from gato_gym.evaluation.intervals import bootstrap_interval, ratio_interval, share_interval
from gato_gym.evaluation.rollout import EpisodeResult
from gato_gym.evaluation.scores import Score

Verdict = Literal["lower", "higher", "none seen", "too few"]
FEWEST = 6
"""Episodes that a verdict needs: of fewer pairs even the clearest come by chance more often than
one time in twenty (two-sided test of signs: 2 / 2^5)."""
TEST = (
    "95 % percentile bootstrap of the mean difference on the same seeds, 9,999 resamples; a "
    f"verdict where 0 lies outside, from {FEWEST} episodes on; not corrected for the number of "
    "comparisons"
)

LENGTHS = "lengths"
"""Key of `Score.beside`: the steps of each episode."""


class LengthRecorder:
    """An observer that keeps how many steps each episode took."""

    interleaves = True

    def __init__(self) -> None:
        self._lengths: dict[int, int] = {}

    def on_reset(self, env: gymnasium.Env, obs: Any, info: dict[str, Any], seed: int) -> None:
        """Nothing to keep."""

    def on_step(
        self,
        env: gymnasium.Env,
        action: Any,
        obs: Any,
        reward: float,
        terminated: bool,
        truncated: bool,
        info: dict[str, Any],
    ) -> None:
        """Nothing to keep."""

    def on_episode_end(self, result: EpisodeResult) -> None:
        """Keep its length."""
        self._lengths[result.seed] = result.length

    @property
    def lengths(self) -> list[int]:
        """In order of the seeds."""
        return [self._lengths[seed] for seed in sorted(self._lengths)]


@dataclass(frozen=True)
class Difference:
    """What a change made of a score: later minus before, with its 95 % interval.

    Of a task that speaks it is of the accuracy, else of the return.
    """

    mean: float
    ci95: tuple[float, float]
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {"mean": self.mean, "ci95": list(self.ci95), "verdict": self.verdict}


def difference(score: Score, base: Score) -> Difference:
    """A score minus another one.

    Raises:
        ValueError: they are not of the same task and seeds.
    """
    changes = _changes(score, base)
    if score.accuracy is None:
        mean, interval = float(np.mean(changes)), bootstrap_interval(changes)
    else:
        # How long a conversation is belongs to its seed, whatever is said.
        lengths = _lengths(score, base)
        mean, interval = sum(changes) / sum(lengths), ratio_interval(changes, lengths)
    return Difference(mean, interval, _verdict(len(changes), *interval))


def share_kept(score: Score, base: Score) -> tuple[float, tuple[float, float]] | None:
    """How much of the way from random play that one score went another one goes, and its interval.

    Returns:
        1 is as far, 0 random play; None where no random play was measured, or the base is not
        clearly above it: its interval reaches down to it.

    Raises:
        ValueError: they are not of the same task and seeds.
    """
    _changes(score, base)
    random = base.random
    if random is None or base.ci95[0] <= random:
        return None
    above, below = (np.asarray(one.returns) - random for one in (score, base))
    return float(above.mean() / below.mean()), share_interval(above.tolist(), below.tolist())


def _changes(score: Score, base: Score) -> list[float]:
    ours, theirs = ((one.task, one.seed, one.episodes) for one in (score, base))
    if ours != theirs:
        raise ValueError(f"scores of the same episodes are compared, got {ours} and {theirs}")
    return [a - b for a, b in zip(score.returns, base.returns, strict=True)]


def _lengths(score: Score, base: Score) -> Sequence[int]:
    ours, theirs = (one.beside[LENGTHS] for one in (score, base))
    if ours != theirs:
        raise ValueError(f"{score.task}: the same seeds gave episodes of {ours} and {theirs} steps")
    found: Sequence[int] = ours
    return found


def _verdict(count: int, low: float, high: float) -> Verdict:
    if count < FEWEST:
        return "too few"
    return "lower" if high < 0 else "higher" if low > 0 else "none seen"
