"""The families of tasks: a module has one FAMILY, or several FAMILIES that share a package.

A module imports its package only when it is needed.
"""

from __future__ import annotations

import importlib
from functools import cache, partial
from typing import Any

from gymnasium.envs.registration import EnvSpec

from gato_gym.envs.families.base import Family, base_name, observation_kind, state_twin

__all__ = [
    "Family",
    "base_name",
    "families",
    "family_of",
    "family_of_spec",
    "observation_kind",
    "state_twin",
]

# Besides a family's own package, whose environments its ids may name.
_MAKERS = ("gato_gym", "gymnasium", "shimmy")

_MODULES = (
    "ale",
    "block_stacking",
    "dm_control",
    "farama",
    "language",
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


def family_of_spec(spec: EnvSpec) -> Family | None:
    """The family of a registered id; None if somebody else's environment only has such a name."""
    family = family_of(spec.id)
    entry: Any = spec.entry_point
    if family is None or entry is None:
        return family
    while isinstance(entry, partial):
        entry = entry.func
    module = entry if isinstance(entry, str) else getattr(entry, "__module__", "")
    root = module.partition(":")[0].partition(".")[0]
    return family if root in (*_MAKERS, *family.modules) else None


@cache
def family_of(task: str) -> Family | None:
    """The family whose name pattern an id fits; None for an id of somebody else's package."""
    return next((family for family in families() if family.owns(task)), None)
