"""Small wrappers that mend what packages leave open: leftovers of old episodes, missing infos."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs


class ReportSuccess(gym.Wrapper, RecordConstructorArgs):
    """Reports `info["success"]` as a bool, from what the package calls it.

    Args:
        env: its `info` holds a number or bool under `key` after every step.
        key: the package's name for it; "success" only turns the value into a bool.
    """

    def __init__(self, env: gym.Env, key: str = "success") -> None:
        RecordConstructorArgs.__init__(self, key=key)
        gym.Wrapper.__init__(self, env)
        self._key = key

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's, with `info["success"]`."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        success = bool(info[self._key])
        return observation, reward, terminated, truncated, {**info, "success": success}


class FreshSimulation(gym.Wrapper, RecordConstructorArgs):
    """Clears MuJoCo's state before every reset.

    For environments that set only positions and velocities: the solver's warm start, controls and
    applied forces of the episode before would stay, so that the same seed gives another episode.

    Args:
        env: its `unwrapped` has MuJoCo's `model` and `data`.
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """As the environment's, from a cleared simulation."""
        import mujoco

        simulation: Any = self.unwrapped
        mujoco.mj_resetData(simulation.model, simulation.data)
        return self.env.reset(**kwargs)


class FreshWorld(gym.Wrapper, RecordConstructorArgs):
    """Gives a Box2D environment a new world before every reset.

    Bodies that are destroyed leave their marks in the world's lists, and the order in which Box2D
    solves contacts follows from them: the same seed would give another episode.

    Args:
        env: its `unwrapped` keeps its world under `world` and fills it in `reset`.
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """As the environment's, in a new world."""
        base: Any = self.unwrapped
        # The environment lets go of its old bodies, which must not be looked for in the new world.
        base._destroy()
        base.world = type(base.world)(gravity=base.world.gravity)
        return self.env.reset(**kwargs)
