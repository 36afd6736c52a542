"""Block stacking with a simulated arm."""

from __future__ import annotations

from typing import Any

import gymnasium

from gato_gym.envs.block_stacking import HORIZON, register_block_stacking, task_ids
from gato_gym.envs.block_stacking.tasks import LOCATE_ID, SCENES
from gato_gym.envs.families.base import Family


def _facts(env: gymnasium.Env) -> dict[str, Any]:
    if env.spec is not None and env.spec.id == LOCATE_ID:
        return {"has_success": False, "control_hz": 20.0, "horizon": SCENES}
    return {"has_success": True, "control_hz": 20.0, "horizon": HORIZON}


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
    facts=_facts,
)
