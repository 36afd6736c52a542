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
    """

    def __init__(self, original: Any) -> None:
        self._original = original
        self._frames: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_original"], name)

    def render(self, render_mode: str | None, *others: Any, **more: Any) -> Any:
        """A (height, width, 3) uint8 frame for "rgb_array"; else as the original."""
        if render_mode != "rgb_array":
            return self._original.render(render_mode, *others, **more)
        original = self._original
        size = original.width, original.height
        if original.camera_id == -1:
            _aim(original.model, original.data, original.default_cam_config or {})
        if self._frames is None:
            from gato_gym.envs.rendering import choose_backend, frame_source

            self._frames = frame_source(original.model, choose_backend(), *size)
        return self._frames.render(original.data, original.camera_id, *size)

    def close(self) -> None:
        """Frees both renderers."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None
        self._original.close()


def _aim(model: Any, data: Any, config: dict[str, Any]) -> None:
    """Points the free camera, which looks at the model's centre from 1.5 of its extents away."""
    body = config.get("trackbodyid", -1)
    if body >= 0:
        model.stat.center[:] = data.xpos[body]
    elif "lookat" in config:
        model.stat.center[:] = np.asarray(config["lookat"])
    if "distance" in config:
        model.stat.extent = config["distance"] / 1.5
    for angle in ("azimuth", "elevation"):
        if angle in config:
            setattr(model.vis.global_, angle, config[angle])


def draw_ourselves(env: gym.Env) -> gym.Env:
    """Gives an environment, and the simulated body inside of it, our renderer."""
    base: Any = env.unwrapped
    # Kitchen and mazes hold the simulated body in an environment of its own.
    inner = (getattr(base, name, None) for name in ("robot_env", "point_env", "ant_env"))
    for part in (base, *inner):
        original = getattr(part, "mujoco_renderer", None)
        if original is not None and not isinstance(original, SharedRenderer):
            part.mujoco_renderer = SharedRenderer(original)
    return env
