"""Draws environments of Gymnasium's MuJoCo base class without a display and without GL."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class SharedRenderer:
    """Stands in for Gymnasium's `MujocoRenderer`: its frames come from `gato_gym.envs.rendering`.

    Windows and depth images are left to the one that it replaces.

    Args:
        original: the environment's `mujoco_renderer`; its camera and frame size are kept.
        config: of the free camera; `trackbodyid` is a body that it follows.
    """

    def __init__(self, original: Any, config: dict[str, Any]) -> None:
        self._original = original
        self._config = config
        self._frames: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_original"], name)

    def render(self, render_mode: str | None, *others: Any, **more: Any) -> Any:
        """A (height, width, 3) uint8 frame for "rgb_array"; else as the original."""
        if render_mode != "rgb_array":
            return self._original.render(render_mode, *others, **more)
        original = self._original
        size = original.width, original.height
        if self._frames is None:
            from gato_gym.envs.rendering import choose_backend, frame_source

            self._frames = frame_source(original.model, choose_backend(), *size)
            _aim(self._frames.free, self._config)
        body = self._config.get("trackbodyid", -1)
        if body >= 0:
            # MuJoCo's own tracking lags behind, by as much as there were frames before.
            self._frames.free.lookat[:] = original.data.xpos[body]
        return self._frames.render(original.data, original.camera_id, *size)

    def close(self) -> None:
        """Frees both renderers."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None
        self._original.close()


def _aim(camera: Any, config: dict[str, Any]) -> None:
    """Puts the free camera where the environment wants it."""
    for name in ("distance", "azimuth", "elevation"):
        if name in config:
            setattr(camera, name, config[name])
    if "lookat" in config:
        camera.lookat[:] = np.asarray(config["lookat"])


def draw_ourselves(env: gym.Env, *, follow: bool = False) -> gym.Env:
    """Gives an environment, and the simulated body inside of it, our renderer.

    Args:
        env: built on Gymnasium's or Gymnasium-Robotics' MuJoCo base class.
        follow: where the environment names no point to look at, keep its first body in view.
    """
    base: Any = env.unwrapped
    # Kitchen and mazes hold the simulated body in an environment of its own.
    parts = {name: getattr(base, name, None) for name in ("robot_env", "point_env", "ant_env")}
    for name, part in {"": base, **parts}.items():
        original = getattr(part, "mujoco_renderer", None)
        if original is None or isinstance(original, SharedRenderer):
            continue
        config = dict(original.default_cam_config or {})
        if name == "ant_env":
            config = {}  # the ant's own view of itself ends at the wall of its maze
        elif follow and "lookat" not in config:
            config.setdefault("trackbodyid", 1)
        part.mujoco_renderer = SharedRenderer(original, config)
    return env
