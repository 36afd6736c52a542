"""Chooses what draws the frames: GL where it works, else the ray caster.

A GL library that is present can still fail (no driver, no device) or end the process. A candidate
is therefore tried in a throw-away process: once, and only when a frame is wanted.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from gato_gym.envs.rendering.gl import GlRenderer
from gato_gym.envs.rendering.raycast import RayCaster

RENDERER_VARIABLE = "GATO_GYM_RENDERER"
GL_BACKENDS = ("egl", "osmesa", "glfw")
BACKENDS = (*GL_BACKENDS, "raycast")

_PROBE = """
import importlib, sys, mujoco
context = importlib.import_module("mujoco." + sys.argv[1]).GLContext(64, 64)
context.make_current()
model = mujoco.MjModel.from_xml_string("<mujoco/>")
if not mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value).offFBO:
    sys.exit(1)
"""


class FrameSource(Protocol):
    """Something that draws a camera's view of one model.

    free: the viewpoint of camera -1, an `MjvCamera`: at first MuJoCo's own, and it may be moved.
    """

    free: Any

    def render(
        self,
        data: Any,
        camera: str | int | None,
        width: int,
        height: int,
        *,
        shadows: bool = True,
    ) -> np.ndarray:
        """A (height, width, 3) uint8 frame.

        Args:
            data: the MjData to draw, its kinematics up to date.
            camera: a camera's name or id; -1 or None looks at the whole model from its default
                viewpoint.
            width: pixels, at most the source's.
            height: pixels, at most the source's.
            shadows: False draws faster, for observations: no shadows, and edges are not smoothed.
        """

    def close(self) -> None:
        """Frees what the source holds; it draws no more."""


def choose_backend(wanted: str | None = None) -> str:
    """The back end to use: `wanted`, else $GATO_GYM_RENDERER, else the first that works here.

    Raises:
        ValueError: the name is none of `BACKENDS`.
    """
    wanted = wanted or os.environ.get(RENDERER_VARIABLE) or None
    if wanted is not None:
        if wanted not in BACKENDS:
            raise ValueError(f"unknown renderer {wanted!r}; expected one of {', '.join(BACKENDS)}")
        return wanted
    return _first_that_works(os.environ.get("MUJOCO_GL", "").lower())


@functools.cache
def _first_that_works(requested: str) -> str:
    if requested in ("disable", "disabled", "off", "false", "0"):
        return "raycast"
    if requested in GL_BACKENDS:
        candidates: tuple[str, ...] = (requested,)
    else:
        # A window system's GL needs a window: offscreen frames use it only where it is native.
        candidates = ("egl", "osmesa") if sys.platform.startswith("linux") else ("glfw",)
    return next((name for name in candidates if _works(name)), "raycast")


def _works(backend: str) -> bool:
    environment = {**os.environ, "MUJOCO_GL": backend}
    environment.pop("PYOPENGL_PLATFORM", None)
    try:
        trial = subprocess.run(
            [sys.executable, "-c", _PROBE, backend],
            env=environment,
            capture_output=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return trial.returncode == 0


def frame_source(model: Any, backend: str, width: int, height: int) -> FrameSource:
    """The renderer of that back end for frames of at most width x height.

    GL that worked at first can be lost, e.g. when another library ends the process's display. The
    ray caster then takes over, with a warning, unless the user has asked for that back end.
    """
    if backend == "raycast":
        return RayCaster(model)
    try:
        return GlRenderer(model, backend, width, height)
    except Exception as error:  # each platform has exceptions of its own
        if os.environ.get(RENDERER_VARIABLE) or backend != choose_backend():
            raise
        gym.logger.warn(f"{backend} gives no GL context any more ({error!r}): frames are ray cast")
        return RayCaster(model)
