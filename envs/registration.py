"""Registers our own environments with Gymnasium by name: nothing heavy is imported.

`gato_gym/__init__.py` runs it, so that `gymnasium.make("gato_gym:gato_gym/...")` works.
"""

from __future__ import annotations

from gato_gym.envs.block_stacking import register_block_stacking
from gato_gym.envs.families.minigrid import register_pictured
from gato_gym.envs.language import register_language
from gato_gym.envs.order_of_apples import register_order_of_apples


def register_all() -> None:
    """Register every `gato_gym/...` and `text/...` id; calling it again changes nothing."""
    register_block_stacking()
    register_order_of_apples()
    register_language()
    register_pictured()
