"""Gato (arXiv 2205.06175) as software: one network, one set of weights, any Gymnasium environment.

Importing this package imports neither torch nor an environment package: public names load on first
use (PEP 562), so that environment workers stay light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "make": "gato_gym.tokenizers.wrapper",
    "make_vec": "gato_gym.tokenizers.wrapper",
    "tasks": "gato_gym.envs",
    "GatoAgent": "gato_gym.agents.gato",
    "RandomAgent": "gato_gym.agents",
    "Agent": "gato_gym.agents",
    "Episode": "gato_gym.types",
    "TaskSpec": "gato_gym.types",
    "ActionSpec": "gato_gym.types",
}

__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from gato_gym.agents import Agent, RandomAgent
    from gato_gym.agents.gato import GatoAgent
    from gato_gym.envs import tasks
    from gato_gym.tokenizers.wrapper import make, make_vec
    from gato_gym.types import ActionSpec, Episode, TaskSpec


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gato_gym' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


# Registers our own ids with Gymnasium, so that make("gato_gym:gato_gym/BlockStacking-v0") works.
importlib.import_module("gato_gym.envs")
