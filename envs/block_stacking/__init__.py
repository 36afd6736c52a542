"""gato_gym/BlockStacking-v0: a robot arm puts a red cube onto a blue one.

Registration imports neither MuJoCo nor the environment: Gymnasium loads them on first use.
"""

import gymnasium

ENV_ID = "gato_gym/BlockStacking-v0"
HORIZON = 400  # control steps: 20 s at 20 Hz


def register_block_stacking() -> None:
    """Registers the environment with Gymnasium; a second call changes nothing."""
    if ENV_ID not in gymnasium.registry:
        gymnasium.register(
            id=ENV_ID,
            entry_point="gato_gym.envs.block_stacking.env:BlockStackingEnv",
            max_episode_steps=HORIZON,
        )
