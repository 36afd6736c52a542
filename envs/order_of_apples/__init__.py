"""gato_gym/OrderOfApples-v0: a first-person walk that collects green apples before gold ones.

Registration imports no renderer: Gymnasium loads the environment on first use.
"""

import gymnasium

ENV_ID = "gato_gym/OrderOfApples-v0"
CONTROL_HZ = 15
HORIZON = 900  # control steps: one minute


def register_order_of_apples() -> None:
    """Registers the environment with Gymnasium; a second call changes nothing."""
    if ENV_ID not in gymnasium.registry:
        gymnasium.register(
            id=ENV_ID,
            entry_point="gato_gym.envs.order_of_apples.env:OrderOfApplesEnv",
            max_episode_steps=HORIZON,
        )
