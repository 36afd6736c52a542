"""What it takes to beat: the reply that experts give most often to the same words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from gato_gym import envs
from gato_gym.agents.experts import load_expert
from gato_gym.evaluation.observers import EpisodeRecorder
from gato_gym.evaluation.rollout import rollout
from gato_gym.types import Episode, flatten_observation

TRAINING_SEED = 10_000
"""Seeds from here on are for training; those below are for evaluation, and nobody learns them."""


def expert_episodes(task: str, episodes: int, seed: int = TRAINING_SEED) -> list[Episode]:
    """What the expert of a task says from the seeds `seed`, `seed` + 1, ...

    Raises:
        UnknownTaskError: no such task, or it has no expert.
    """
    found: list[Episode] = []
    env = envs.make(task)
    try:
        expert = load_expert(task)
        recorder = EpisodeRecorder(task, expert, task, found.append)
        rollout(env, expert, episodes=episodes, seed=seed, observers=[recorder])
    finally:
        env.close()
    return found


class FrequentReply:
    """Says what experts most often said to the same words, and if nobody heard them, at all.

    It sees the texts of an observation and nothing else, so it shows how far guessing gets.

    Args:
        episodes: of experts, at least one. Among equally frequent replies the first one counts.
    """

    id = "most frequent reply"

    def __init__(self, episodes: Iterable[Episode]) -> None:
        by_words: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        every: Counter[str] = Counter()
        for episode in episodes:
            texts = [values for values in episode.observations.values() if values.dtype.kind == "U"]
            for step, reply in enumerate(episode.actions.tolist()):
                by_words[tuple(str(values[step]) for values in texts)][reply] += 1
                every[reply] += 1
        if not every:
            raise ValueError("the most frequent reply of no episode is not defined")
        self._by_words = {words: _first(counts) for words, counts in by_words.items()}
        self._usual = _first(every)

    def reset(self, env: Any) -> None:
        """Nothing to learn about the environment."""

    def act(self, obs: Any, deterministic: bool = True) -> str:
        """The reply to the texts of an observation."""
        leaves = flatten_observation(obs).values()
        words = tuple(value for value in leaves if isinstance(value, str))
        return self._by_words.get(words, self._usual)


class Recital:
    """Says prepared replies, to be judged by an environment.

    Args:
        replies: of each episode and step, in the order in which they are played.
    """

    id = "recital"

    def __init__(self, replies: Iterable[Iterable[str]]) -> None:
        self._episodes = iter(replies)
        self._replies: Iterator[str] = iter(())

    def reset(self, env: Any) -> None:
        """Turn to the next episode."""
        self._replies = iter(next(self._episodes))

    def act(self, obs: Any, deterministic: bool = True) -> str:
        """Its next reply."""
        return next(self._replies)


def dialogue_of(episode: Episode) -> list[tuple[str, str]]:
    """What is said and what is replied in each step of an episode of one text."""
    (texts,) = episode.observations.values()
    return list(zip(texts[:-1].tolist(), episode.actions.tolist(), strict=True))


def _first(counts: Counter[str]) -> str:
    return counts.most_common(1)[0][0]
