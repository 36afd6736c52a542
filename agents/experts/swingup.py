"""The analytic expert of dm_control's pendulum: it swings up by energy and balances by feedback.

It reads the state, so it also plays the variants with pixels and with random dynamics; the energy
is that of the dynamics that the task is published with.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gato_gym.agents.experts.unsuitable import unsuitable
from gato_gym.envs.families.dm_control import state_task

TASK = "dm_control/pendulum-swingup-v0"
GRAVITY, LENGTH, INERTIA = 9.81, 0.5, 0.251  # m/s2, m, kg m2 about the hinge, for 1 kg at the tip
CATCH = 0.3  # rad off the top within which the torque, 1 N m, can hold it
STIFFNESS, DAMPING = 8.0, 2.0  # N m/rad, N m s/rad
ENERGY_GAIN = 4.0


class SwingUp:
    """Adds energy with the velocity's sign until the pole can reach the top, and holds it there."""

    id = "analytic/pendulum"

    def __init__(self) -> None:
        self._env: Any = None

    def reset(self, env: Any) -> None:
        """Begin an episode.

        Raises:
            UnknownTaskError: it is no variant of the pendulum's swing-up.
        """
        if env.spec is None or state_task(env.spec.id) != TASK:
            raise unsuitable("the swing-up controller", TASK, env)
        self._env = env.unwrapped

    def act(self, obs: Any, deterministic: bool = True) -> np.ndarray:
        """The torque; the observation is not looked at."""
        if self._env is None:
            raise RuntimeError("call agent.reset(env) before agent.act(obs)")
        state = self._env.state_observation()
        cosine, sine = state["orientation"]
        angle, velocity = math.atan2(sine, cosine), float(state["velocity"][0])
        if abs(angle) < CATCH and abs(velocity) < 2.0:
            torque = -STIFFNESS * angle - DAMPING * velocity
        else:
            energy = 0.5 * INERTIA * velocity**2 + GRAVITY * LENGTH * (cosine - 1)
            push = velocity if velocity else 1.0
            torque = math.copysign(1.0, push) if energy < 0 else -ENERGY_GAIN * energy * push
        return np.array([np.clip(torque, -1.0, 1.0)], np.float32)
