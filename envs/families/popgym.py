"""POPGym: small games that need memory (package popgym), each in three difficulties."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from gato_gym.envs.families.base import Family

PREFIX = "popgym-"


class CopiedInfo(gym.Wrapper, RecordConstructorArgs):
    """Returns infos that stay as they were: POPGym's share arrays that later steps change."""

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """As the environment's."""
        observation, info = self.env.reset(**kwargs)
        return observation, copy.deepcopy(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, copy.deepcopy(info)


def _register() -> None:
    import popgym.envs  # noqa: F401  # importing it registers its ids


def _ids() -> list[str]:
    # The labyrinths are registered only where mazelib is installed, which the extra leaves out.
    return sorted(
        task for task in gym.registry if task.startswith(PREFIX) and "Labyrinth" not in task
    )


def _horizon(env: gym.Env) -> int:
    """The games of cards and boards end by themselves, after as many steps at most."""
    game: Any = env.unwrapped
    name = type(game).__name__
    if name.startswith("HigherLower"):
        return game.deck_size - 1
    if name.startswith("Concentration"):
        return game.episode_length
    return game.max_episode_length


FAMILY = Family(
    name="popgym",
    distribution="popgym",
    extra="popgym",
    modules=("popgym",),
    owns=lambda task: task.startswith(PREFIX),
    register=_register,
    ids=_ids,
    domain=lambda task: "popgym",
    adapt=CopiedInfo,
    facts=lambda env: {"horizon": _horizon(env)},
)
