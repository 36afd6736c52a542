"""The Arcade Learning Environment: every game of ale-py, and its modes and difficulties mixed.

`ALE/<Game>-v5` keeps ale-py's own defaults: 4 frames per step and sticky actions with probability
0.25. `ALE/<Game>Extended-v5` draws the game's mode and difficulty anew in each episode.
"""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym

from gato_gym.envs.families.base import Family

IMAGE_SIZE = (64, 80)
"""(height, width): the paper's worked example, and half the width of the screen."""

# Of the console that ale-py emulates.
FRAMES_PER_SECOND = 60

_PREFIX, _EXTENDED, _VERSION = "ALE/", "Extended", "-v5"
_PACKAGE_ENTRY = "ale_py.env:AtariEnv"
_ENTRY = "gato_gym.envs.families.ale_env:ScreenAtari"
_EXTENDED_ENTRY = "gato_gym.envs.families.ale_env:ExtendedAtari"


def is_extended(task: str) -> bool:
    """Whether an id is of a game with its modes and difficulties mixed."""
    return task.startswith(_PREFIX) and task.endswith(_EXTENDED + _VERSION)


def register() -> None:
    """Import ale-py and register its games, silently; `ImportError` where it is not installed."""
    import ale_py

    # Otherwise every new emulator prints a banner to stderr, from C++.
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    gym.register_envs(ale_py)
    for game in _games():
        task = game.removesuffix(_VERSION) + _EXTENDED + _VERSION
        if task not in gym.registry:
            gym.register(task, _EXTENDED_ENTRY, kwargs=dict(gym.spec(game).kwargs))


def build(id: str, **kwargs: Any) -> gym.Env:
    """`gymnasium.make`, with screens drawn at the task's size.

    Args:
        id: of this family.
        kwargs: as ale-py's environment takes them, and image_size=(height, width).
    """
    spec = copy.deepcopy(gym.spec(id))
    if spec.entry_point == _PACKAGE_ENTRY:
        spec.entry_point = _ENTRY
    return gym.make(spec, **{"image_size": IMAGE_SIZE} | kwargs)


def _games() -> list[str]:
    return sorted(
        spec.id
        for spec in gym.registry.values()
        if spec.entry_point == _PACKAGE_ENTRY
        and spec.id.startswith(_PREFIX)
        and spec.id.endswith(_VERSION)
    )


def _extended_games() -> list[str]:
    from gato_gym.envs.families.ale_env import variants

    return [
        game.removesuffix(_VERSION) + _EXTENDED + _VERSION
        for game in _games()
        if len(variants(gym.spec(game).kwargs["game"])) > 1
    ]


def _facts(env: gym.Env) -> dict[str, object]:
    assert env.spec is not None
    skipped = env.spec.kwargs["frameskip"]
    if not isinstance(skipped, int):
        # A range, from which each step draws: neither steps per second nor per episode are fixed.
        return {"horizon": env.spec.max_episode_steps, "control_hz": None}
    limits = [env.spec.max_episode_steps]
    frames = env.spec.kwargs["max_num_frames_per_episode"]
    if frames is not None:
        limits.append(frames // skipped)
    return {
        "horizon": min((limit for limit in limits if limit is not None), default=None),
        "control_hz": FRAMES_PER_SECOND / skipped,
    }


def _family(name: str, domain: str, extended: bool) -> Family:
    return Family(
        name=name,
        distribution="ale-py",
        extra="atari",
        modules=("ale_py",),
        owns=lambda task: task.startswith(_PREFIX) and is_extended(task) == extended,
        register=register,
        ids=_extended_games if extended else _games,
        domain=lambda task: domain,
        build=build,
        facts=_facts,
        image_size=IMAGE_SIZE,
        any_size=True,
    )


FAMILIES = (
    _family("ale", "atari", extended=False),
    _family("ale_extended", "atari_extended", extended=True),
)
