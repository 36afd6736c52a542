"""Controls: tasks with one source of information exchanged, to measure what an agent owes to it.

An agent that does what its instruction says loses most of its success when the instruction is that
of another episode. One that only repeats habits loses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from gato_gym import envs
from gato_gym.envs.spaces import observation_specs
from gato_gym.types import flatten_observation, map_observation

MOST_DRAWS = 200
"""Other episodes that are looked at for another text."""

# `info` of block stacking: what its sentences are about, however they are put.
_PAIR = ("upper", "lower")
# How BabyAI's missions describe a thing; each part may be left open.
_THING = re.compile(
    r"\b(?:the|a) (?:(red|green|blue|purple|yellow|grey) )?(?:(ball|box|key|door)|object)\b"
    r"( in front of you| behind you| on your left| on your right)?"
)
_SALT = 0x7E47


class SameWordsError(ValueError):
    """All episodes of a task ask for the same: there is no control with other words."""


class ShuffledText(gym.Wrapper):
    """Shows the words of another episode of the same task; all else is that of the real one.

    The words are those that `twin` begins with from another seed, the first drawn ones that ask for
    something else, and stay for the whole episode. They are a function of the seed of `reset`.
    Rewards, success and the truth in `info` are those of the real episode. Spaces and `spec` are
    those of `env`.

    "Something else" is another pair of blocks for block stacking, however it is put. For BabyAI it
    is a mission that the same things could not fulfil: "pick up the red object" would give half of
    "pick up the red ball" away. Elsewhere it is another text.

    Args:
        env: the real episodes; its observation holds text.
        twin: another environment of the same task; closed together with `env`.

    Raises:
        ValueError: no text is observed.
        SameWordsError: in `reset`, where `MOST_DRAWS` other episodes asked for the same.
    """

    def __init__(self, env: gym.Env, twin: gym.Env) -> None:
        super().__init__(env)
        leaves = observation_specs(env.observation_space)
        self._keys = tuple(leaf.key for leaf in leaves if leaf.kind == "text")
        if not self._keys:
            keys = ", ".join(leaf.key for leaf in leaves)
            raise ValueError(
                f"{_name(env)} observes no text to be shuffled, only {keys}: choose a task with an "
                "instruction, e.g. gato_gym/BlockStacking-Instructed-v0"
            )
        self.twin = twin
        self._draws = np.random.default_rng()
        self._words: dict[str, str] = {}

    @property
    def spec(self) -> Any:  # type: ignore[override]  # gymnasium.Wrapper's is a property, too
        """As the environment's own: it is the same task, whose scores are compared."""
        return self.env.spec

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; without a seed the words go on from those of the last one."""
        observation, info = self.env.reset(seed=seed, options=options)
        if seed is not None:
            self._draws = np.random.default_rng((_SALT, seed))
        self._words = self._draw(self._texts(observation), info)
        return self._replaced(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's, with the other episode's words."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._replaced(observation), reward, terminated, truncated, info

    def close(self) -> None:
        """Close both environments."""
        self.twin.close()
        super().close()

    def _draw(self, true: dict[str, str], info: dict[str, Any]) -> dict[str, str]:
        for _ in range(MOST_DRAWS):
            observation, other_info = self.twin.reset(seed=int(self._draws.integers(2**31)))
            other = self._texts(observation)
            if _asks_for_something_else(other, other_info, true, info):
                return other
        said = "; ".join(map(repr, true.values()))
        raise SameWordsError(
            f"{_name(self.env)}: {MOST_DRAWS} other episodes ask for what {said} asks for: a task "
            "that always says the same has no other text to show"
        )

    def _texts(self, observation: Any) -> dict[str, str]:
        flat = flatten_observation(observation)
        return {key: str(flat[key]) for key in self._keys}

    def _replaced(self, observation: Any) -> Any:
        return map_observation(observation, self._words.get)


def make_shuffled(task: str, **kwargs: Any) -> gym.Env:
    """A task of the suite with the words of other episodes, see `ShuffledText`.

    Args:
        task: its id.
        kwargs: passed to `gato_gym.envs.make`.

    Raises:
        UnknownTaskError, MissingExtraError: see `gato_gym.envs.make`.
        ValueError: the task observes no text.
    """
    env = envs.make(task, **kwargs)
    twin = envs.make(task, **{**kwargs, "render_mode": None})
    try:
        return ShuffledText(env, twin)
    except ValueError:
        env.close()
        twin.close()
        raise


def _asks_for_something_else(
    other: Mapping[str, str],
    other_info: Mapping[str, Any],
    true: Mapping[str, str],
    info: Mapping[str, Any],
) -> bool:
    if all(name in info for name in _PAIR):
        return any(other_info[name] != info[name] for name in _PAIR)
    return not all(_could_be_one(other[key], true[key]) for key in true)


def _could_be_one(one: str, other: str) -> bool:
    """Whether the same things may fulfil two orders: no colour, kind or place disagrees."""
    if _THING.sub("*", one) != _THING.sub("*", other):
        return False
    pairs = zip(_THING.findall(one), _THING.findall(other), strict=True)
    return all(
        not a or not b or a == b
        for said, said_too in pairs
        for a, b in zip(said, said_too, strict=True)
    )


def _name(env: gym.Env) -> str:
    return env.spec.id if env.spec is not None else str(env)
