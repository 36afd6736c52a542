"""Block stacking with a simulated arm."""

from __future__ import annotations

from gato_gym.envs.block_stacking import HORIZON, register_block_stacking, task_ids
from gato_gym.envs.families.base import Family

FAMILY = Family(
    name="block_stacking",
    distribution="gato-gym",
    extra="mujoco",
    modules=("mujoco",),
    owns=lambda task: task.startswith("gato_gym/BlockStacking-"),
    register=register_block_stacking,
    ids=task_ids,
    domain=lambda task: "manipulation",
    any_size=True,
    facts=lambda env: {"has_success": True, "control_hz": 20.0, "horizon": HORIZON},
)
