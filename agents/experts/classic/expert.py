"""The scripted expert of classic control and of the lunar landers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gato_gym.agents.experts.classic import control
from gato_gym.agents.experts.classic.acrobot import Acrobot
from gato_gym.agents.experts.classic.lander import continuous_lander, lander
from gato_gym.agents.experts.unsuitable import unsuitable
from gato_gym.envs.families import base_name

EXPERT = "analytic/classic"

Controller = Callable[[np.ndarray], Any]

# Task -> a controller for an episode.
CONTROLLERS: dict[str, Callable[[], Controller]] = {
    "Acrobot": Acrobot,
    "CartPole": lambda: control.cartpole,
    "LunarLander": lambda: lander,
    "LunarLanderContinuous": lambda: continuous_lander,
    "MountainCar": lambda: control.mountain_car,
    "MountainCarContinuous": lambda: control.continuous_car,
    "Pendulum": lambda: _small_torque,
}


class AnalyticController:
    """Plays a task by its physics: what to do is worked out of the observation alone."""

    def __init__(self) -> None:
        self._controller: Controller | None = None

    def reset(self, env: Any) -> None:
        """Begin an episode.

        Raises:
            UnknownTaskError: there is no controller for the environment.
        """
        name = base_name(env.spec.id) if getattr(env, "spec", None) is not None else ""
        if name not in CONTROLLERS:
            raise unsuitable(EXPERT, "Pendulum-v1", env)
        self._controller = CONTROLLERS[name]()

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """An action of the standardised environment; there is no chance in it."""
        if self._controller is None:
            raise RuntimeError("call reset(env) before act(obs)")
        action = self._controller(obs)
        return np.int64(action) if isinstance(action, int) else action


def _small_torque(obs: np.ndarray) -> np.ndarray:
    """The pendulum's torque as a part of the largest."""
    return control.pendulum(obs) / np.float32(control.PENDULUM_TORQUE)
