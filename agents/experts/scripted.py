"""Which experts need no training, and which tasks each of them plays.

Three tables: where an expert's class is, whose data it makes, and where it is better than a learned
expert of the same task. Nothing is imported before an expert is loaded.
"""

from __future__ import annotations

import importlib

from gato_gym.agents import Agent
from gato_gym.envs.block_stacking.tasks import LOCATE_ID
from gato_gym.envs.families import family_of

# Expert id -> (module of this package, class).
SCRIPTED = {
    "analytic/car_racing": ("car_racing", "ScriptedDriver"),
    "analytic/classic": ("classic.expert", "AnalyticController"),
    "analytic/pendulum": ("swingup", "SwingUp"),
    "bot/babyai": ("babyai", "ScriptedBabyAI"),
    "planner/minigrid": ("grid.expert", "GridPlanner"),
    "planner/toy_text": ("tabular", "ToyTextPlanner"),
    "scripted/apples": ("apples", "ScriptedForager"),
    "scripted/fetch": ("fetch", "ScriptedFetch"),
    "scripted/language": ("language", "ScriptedLanguage"),
    "scripted/locator": ("locator", "ScriptedLocator"),
    "scripted/meta_world": ("meta_world", "ScriptedMetaWorld"),
    "scripted/point_maze": ("point_maze", "ScriptedPointMaze"),
    "scripted/popgym": ("memory_games.expert", "ScriptedPOPGym"),
    "scripted/pong": ("pong", "ScriptedPong"),
    "scripted/skier": ("skiing", "ScriptedSkier"),
    "scripted/stacker": ("stacker", "ScriptedStacker"),
    "scripted/stacker_anywhere": ("stacker", "StackerAnywhere"),
}

# Family of tasks -> the expert that plays all of them.
FAMILY_EXPERTS = {
    "babyai": "bot/babyai",
    "babyai_pixels": "bot/babyai",
    "block_stacking": "scripted/stacker",
    "classic_control": "analytic/classic",
    "dialogue": "scripted/language",
    "meta_world": "scripted/meta_world",
    "minigrid": "planner/minigrid",
    "order_of_apples": "scripted/apples",
    "pictures": "scripted/language",
    "popgym": "scripted/popgym",
    "toy_text": "planner/toy_text",
}

_SWING_UPS = tuple(
    f"dm_control/pendulum-swingup{variant}-v0"
    for variant in ("", "-pixels", "-random-small", "-random-large")
)

# Task -> its expert, before that of its family and where no single expert plays a family.
TASK_EXPERTS = {
    "ALE/Pong-v5": "scripted/pong",
    "ALE/Skiing-v5": "scripted/skier",
    "CarRacing-v3": "analytic/car_racing",
    **{f"Fetch{task}-v4": "scripted/fetch" for task in ("PickAndPlace", "Push", "Reach", "Slide")},
    "LunarLander-v3": "analytic/classic",
    "LunarLanderContinuous-v3": "analytic/classic",
    **dict.fromkeys(_SWING_UPS, "analytic/pendulum"),
    LOCATE_ID: "scripted/locator",
    "PointMaze_UMaze-v3": "scripted/point_maze",
    "PointMaze_Open-v3": "scripted/point_maze",
    "PointMaze_Open_Diverse_G-v3": "scripted/point_maze",
    **{
        f"PointMaze_{size}{kind}-v3": "scripted/point_maze"
        for size in ("Medium", "Large")
        for kind in ("", "_Diverse_G", "_Diverse_GR")
    },
}

# Tasks whose scripted expert is better than a learned one would be or is.
SCRIPTED_FIRST = frozenset(
    {
        "ALE/Pong-v5",
        "Acrobot-v1",
        "CarRacing-v3",
        "LunarLander-v3",
        "LunarLanderContinuous-v3",
        "MountainCar-v0",
        "MountainCarContinuous-v0",
        "Pendulum-v1",
        *_SWING_UPS,
    }
)


def scripted_for(task: str) -> str | None:
    """The id of the expert that plays a task and needs no training, None where there is none."""
    if task in TASK_EXPERTS:
        return TASK_EXPERTS[task]
    family = family_of(task)
    return FAMILY_EXPERTS.get(family.name) if family is not None else None


def load_scripted(name: str) -> Agent:
    """A new one of the experts of `SCRIPTED`."""
    module, cls = SCRIPTED[name]
    return getattr(importlib.import_module(f"gato_gym.agents.experts.{module}"), cls)()
