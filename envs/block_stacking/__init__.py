"""gato_gym/BlockStacking-*: a robot arm reaches for, lifts and stacks coloured objects.

Registration imports neither MuJoCo nor the environment: Gymnasium loads them on first use.
"""

import gymnasium

from gato_gym.envs.block_stacking.tasks import (
    HORIZON,
    LOCATE_ID,
    SCENES,
    TASKS,
    StackingTask,
    task_ids,
)

__all__ = ["ENV_ID", "HORIZON", "TASKS", "StackingTask", "register_block_stacking", "task_ids"]

ENV_ID = TASKS[""].id


def register_block_stacking() -> None:
    """Registers the environments with Gymnasium; a second call changes nothing."""
    for task in TASKS.values():
        for env_id, observation in ((task.id, "state"), (task.pixel_id, "pixels")):
            if env_id not in gymnasium.registry:
                gymnasium.register(
                    id=env_id,
                    entry_point="gato_gym.envs.block_stacking.env:BlockStackingEnv",
                    max_episode_steps=HORIZON,
                    kwargs={"task": task.name, "observation": observation},
                )
    if LOCATE_ID not in gymnasium.registry:
        gymnasium.register(
            id=LOCATE_ID,
            entry_point="gato_gym.envs.block_stacking.locating:BlockLocatingEnv",
            max_episode_steps=SCENES,
        )
