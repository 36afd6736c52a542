"""What an agent said, beside what was right: accuracy by source, and figures of text libraries.

The environment is the judge: the reward of a step, in [0, 1], says how right a reply was. What
libraries compare are letters and words, so a right answer in other words than the reference's
counts for less there; that is why those figures stand beside the accuracy and not for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import gymnasium
import numpy as np

from gato_gym.agents import RandomAgent
from gato_gym.evaluation.intervals import ratio_interval
from gato_gym.evaluation.observers import EpisodeRecorder, PerEpisode
from gato_gym.evaluation.rollout import EpisodeResult
from gato_gym.evaluation.text_metrics import TextMetrics, text_metrics
from gato_gym.types import Episode

Interval = tuple[float, float]

READING_FPS = 0.4
"""Frames per second of a video whose frames are there to be read."""


@dataclass(frozen=True)
class Reply:
    """One step of a task whose actions are text.

    seed       of the episode
    reply      what the agent said
    reference  the expert's words for the same observation
    reward     how right the reply is, in [0, 1]
    source     where the picture or the question comes from, "" where the task does not tell
    held_out   whether its combination of words was kept out of training; None where the task
               knows no such combinations
    """

    seed: int
    reply: str
    reference: str
    reward: float
    source: str = ""
    held_out: bool | None = None


class TruthRecorder(PerEpisode):
    """Collects what an expert would have said in the episodes that it watches, as `Episode`s.

    What a task shows next depends on its seed alone, so an expert would have seen the same. Of
    tasks that do not tell an expert's words (`info["reference"]`), `episodes` stays empty.
    """

    def __init__(self, task: str) -> None:
        self.episodes: list[Episode] = []
        super().__init__(lambda env, seed: _Truth(task, self.episodes.append))


class _Truth(EpisodeRecorder):
    def __init__(self, task: str, on_episode: Callable[[Episode], None]) -> None:
        super().__init__(task, RandomAgent(0), "reference", on_episode)
        self._knows = True

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
        """Keep the expert's words instead of the agent's."""
        self._knows &= "reference" in info
        said = info.get("reference", action)
        super().on_step(env, said, obs, reward, terminated, truncated, info)

    def on_episode_end(self, result: EpisodeResult) -> None:
        """Build the episode, if the task told the words."""
        if self._knows:
            super().on_episode_end(result)


class ReplyRecorder:
    """Collects the replies of the episodes that it watches; `replies` has those of finished ones.

    Args:
        on_reply: is told each reply as it comes.
    """

    interleaves = True

    def __init__(self, on_reply: Callable[[Reply], None] = lambda reply: None) -> None:
        self.replies: list[Reply] = []
        self._on_reply = on_reply
        self._running: dict[int, tuple[int, list[Reply]]] = {}

    def on_reset(self, env: gymnasium.Env, obs: Any, info: dict[str, Any], seed: int) -> None:
        """An episode begins."""
        self._running[id(env)] = (seed, [])

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
        """Keep the reply; `info` tells what it answers."""
        seed, said = self._running[id(env)]
        held_out = info.get("held_out")
        said.append(
            Reply(
                seed,
                str(action),
                str(info.get("reference", "")),
                float(reward),
                str(info.get("source", "")),
                None if held_out is None else bool(held_out),
            )
        )
        self._on_reply(said[-1])
        if terminated or truncated:
            self.replies += said
            del self._running[id(env)]

    def on_episode_end(self, result: EpisodeResult) -> None:
        """Its replies were taken at its last step."""


@dataclass(frozen=True)
class Share:
    """How right replies of one kind are.

    accuracy       mean reward, in [0, 1]
    accuracy_ci95  its 95 % interval over episodes
    exact          share of replies with the full reward
    replies        how many there are
    """

    accuracy: float
    accuracy_ci95: Interval
    exact: float
    replies: int

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self) | {"accuracy_ci95": list(self.accuracy_ci95)}


@dataclass(frozen=True)
class LanguageScore:
    """How right the replies of a task are.

    total     of all replies
    sources   by the source of the picture or the topic of the question
    held_out  of combinations that training never showed; None where there were none
    metrics   of text libraries, see `text_metrics`; None where they are not installed
    note      why `metrics` is None, else ""
    """

    total: Share
    sources: dict[str, Share]
    held_out: Share | None
    metrics: TextMetrics | None
    note: str

    def to_json(self) -> dict[str, Any]:
        """The keys that a score of a text task has beside those of all tasks."""
        found: dict[str, Any] = {
            "exact": self.total.exact,
            "sources": {name: share.to_json() for name, share in self.sources.items()},
            "held_out": None if self.held_out is None else self.held_out.to_json(),
            "text_metrics": None if self.metrics is None else self.metrics.to_json(),
        }
        return found | ({"note": self.note} if self.note else {})


def language_score(replies: Sequence[Reply]) -> LanguageScore:
    """The score of at least one reply."""
    sources = sorted({one.source for one in replies if one.source})
    held_out = [one for one in replies if one.held_out]
    metrics, note = text_metrics([one.reply for one in replies], [one.reference for one in replies])
    return LanguageScore(
        total=share(replies),
        sources={name: share([one for one in replies if one.source == name]) for name in sources},
        held_out=share(held_out) if held_out else None,
        metrics=metrics,
        note=note,
    )


def share(replies: Iterable[Reply]) -> Share:
    """How right replies are, with an interval over the episodes that they are from."""
    episodes: dict[int, list[float]] = {}
    for one in replies:
        episodes.setdefault(one.seed, []).append(one.reward)
    rewards = np.array([reward for episode in episodes.values() for reward in episode])
    sums = [sum(episode) for episode in episodes.values()]
    return Share(
        accuracy=float(rewards.mean()),
        accuracy_ci95=ratio_interval(sums, [len(episode) for episode in episodes.values()]),
        exact=float((rewards == 1).mean()),
        replies=len(rewards),
    )
