"""The families of tasks: a module has one FAMILY, or several FAMILIES that share a package.

A module imports its package only when it is needed.
"""

from __future__ import annotations

import importlib
from functools import cache

from gato_gym.envs.families.base import Family, base_name, observation_kind, state_twin

__all__ = ["Family", "base_name", "families", "family_of", "observation_kind", "state_twin"]

_MODULES = (
    "ale",
    "block_stacking",
    "dm_control",
    "farama",
    "meta_world",
    "minigrid",
    "order_of_apples",
    "popgym",
    "robotics",
)


@cache
def families() -> tuple[Family, ...]:
    """All families, in a fixed order."""
    modules = [importlib.import_module(f"gato_gym.envs.families.{name}") for name in _MODULES]
    return tuple(
        family
        for module in modules
        for family in getattr(module, "FAMILIES", None) or (module.FAMILY,)
    )


@cache
def family_of(task: str) -> Family | None:
    """The family whose name pattern an id fits; None for an id of somebody else's package."""
    return next((family for family in families() if family.owns(task)), None)
