"""Chooses what draws the frames: GL where it works, else the ray caster.

A GL library that is present can still fail (no driver, no device) or end the process. A candidate
is therefore tried in a throw-away process: once, and only when a frame is wanted.
"""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
import weakref
from typing import Any, Protocol

import numpy as np

from gato_gym.envs.block_stacking.physics import mujoco
from gato_gym.envs.block_stacking.raycast import RayCaster

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
    """Something that draws a camera's view."""

    def render(
        self, data: Any, camera: str, width: int, height: int, *, shadows: bool = True
    ) -> np.ndarray:
        """A (height, width, 3) uint8 frame."""


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
    """The renderer of that back end for frames of at most width x height."""
    return RayCaster(model) if backend == "raycast" else GlRenderer(model, backend, width, height)


class GlRenderer:
    """MuJoCo's own renderer on an explicitly chosen GL platform.

    `mujoco.Renderer` is bound to the platform that MUJOCO_GL named when mujoco was imported; here
    the platform is known only later.
    """

    def __init__(self, model: Any, backend: str, width: int, height: int) -> None:
        self._model = model
        self._gl = importlib.import_module(f"mujoco.{backend}").GLContext(width, height)
        self._gl.make_current()
        self._scene = mujoco.MjvScene(model, maxgeom=500)
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        # Also runs at interpreter exit, before the GL bindings are torn down.
        self._release = weakref.finalize(self, _free, self._gl, self._context)

    def render(
        self, data: Any, camera: str, width: int, height: int, *, shadows: bool = True
    ) -> np.ndarray:
        """A (height, width, 3) uint8 frame; shadows are slow on software GL."""
        self._gl.make_current()
        self._camera.fixedcamid = self._model.camera(camera).id
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._option,
            None,
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL.value,
            self._scene,
        )
        view = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(view, self._scene, self._context)
        frame = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_readPixels(frame, None, view, self._context)
        return np.ascontiguousarray(frame[::-1])

    def close(self) -> None:
        """Frees the GL context."""
        self._release()


def _free(gl: Any, context: Any) -> None:
    gl.make_current()
    context.free()
    gl.free()
