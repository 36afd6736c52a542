"""Which experts need no training, and which tasks each of them plays.

Three tables: where an expert's class is, whose data it makes, and where it is better than a learned
expert of the same task. Nothing is imported before an expert is loaded.
"""

from __future__ import annotations

import importlib

from gato_gym.agents import Agent
from gato_gym.envs.families import family_of

# Expert id -> (module of this package, class).
SCRIPTED = {
    "bot/babyai": ("babyai", "ScriptedBabyAI"),
    "planner/minigrid": ("grid.expert", "GridPlanner"),
    "scripted/apples": ("apples", "ScriptedForager"),
    "scripted/meta_world": ("meta_world", "ScriptedMetaWorld"),
    "scripted/stacker": ("stacker", "ScriptedStacker"),
}

# Family of tasks -> the expert that plays all of them.
FAMILY_EXPERTS = {
    "babyai": "bot/babyai",
    "block_stacking": "scripted/stacker",
    "meta_world": "scripted/meta_world",
    "minigrid": "planner/minigrid",
    "order_of_apples": "scripted/apples",
}

# Task -> its expert, in families that no single expert plays.
TASK_EXPERTS: dict[str, str] = {}

# Tasks whose scripted expert is better than a learned one would be or is.
SCRIPTED_FIRST: frozenset[str] = frozenset()


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
