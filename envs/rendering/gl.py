"""Frames from MuJoCo's own renderer, on a GL platform chosen at run time.

`mujoco.Renderer` is bound to the platform that MUJOCO_GL named when mujoco was imported; here the
platform is known only later.
"""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gato_gym.envs.rendering.physics import camera_id, free_camera, mujoco

_SHADOWLESS = {"offsamples": 0, "shadowsize": 1, "numslices": 12, "numstacks": 6}
# Cells per side of a plane: enough for a spot of light on a small one (GL lights their corners);
# some models ask for 200, which take longer to draw than all the rest.
_PLANE_CELLS = 32
_PLANE = mujoco.mjtGeom.mjGEOM_PLANE.value
_SCENE_ROOM = 1000  # drawn things beside the geoms: sites, tendons


class GlRenderer:
    """MuJoCo's own renderer on an explicitly chosen GL platform.

    Each renderer holds one GL context, with up to two sets of buffers that are made on first use:
    a plain one for frames without shadows, and one of the model's own quality. `close` frees all;
    so does the end of the interpreter. A renderer belongs to the thread that made it.

    Args:
        model: the MjModel; its geometry and textures are copied to GL when a set is made.
        backend: "egl", "osmesa" or "glfw".
        width: the largest frame, in pixels.
        height: the largest frame, in pixels.

    Raises:
        Exception: of the platform's own kind, where it gives no context.
    """

    def __init__(self, model: Any, backend: str, width: int, height: int) -> None:
        self._model = model
        self._size = (width, height)
        self._gl = _current_context(backend, width, height)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + _SCENE_ROOM)
        self._option = mujoco.MjvOption()
        self.free = free_camera(model)
        self._fixed = mujoco.MjvCamera()
        self._fixed.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._contexts: dict[bool, Any] = {}
        # Also runs at interpreter exit, before the GL bindings are torn down.
        self._release = weakref.finalize(self, _free, self._gl, self._contexts)

    def render(
        self,
        data: Any,
        camera: str | int | None,
        width: int,
        height: int,
        *,
        shadows: bool = True,
    ) -> np.ndarray:
        """A (height, width, 3) uint8 frame; shadows are slow on software GL."""
        index = camera_id(self._model, camera)
        self._fixed.fixedcamid = index
        viewpoint = self._fixed if index >= 0 else self.free
        self._gl.make_current()
        context = self._context(shadows)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, viewpoint, everything, self._scene
        )
        view = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(view, self._scene, context)
        frame = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_readPixels(frame, None, view, context)
        return np.ascontiguousarray(frame[::-1])

    def close(self) -> None:
        """Frees the GL context."""
        self._release()

    def _context(self, shadows: bool) -> Any:
        if shadows not in self._contexts:
            with _visual(self._model, self._size, coarse=not shadows):
                scale = mujoco.mjtFontScale.mjFONTSCALE_50.value
                self._contexts[shadows] = mujoco.MjrContext(self._model, scale)
        context = self._contexts[shadows]
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, context)
        return context


def _current_context(backend: str, width: int, height: int) -> Any:
    """A GL context of that platform, made current."""
    platform: Any = importlib.import_module(f"mujoco.{backend}").GLContext

    class Context(platform):
        # A constructor that fails leaves this unset, and the destructor then complains to stderr.
        _context = None

        def __del__(self) -> None:
            if self._context is not None:
                super().__del__()

    context = Context(width, height)
    context.make_current()
    return context


@contextmanager
def _visual(model: Any, size: tuple[int, int], *, coarse: bool) -> Iterator[None]:
    """For its duration, the model asks for buffers of that size, and for few triangles."""
    visual, quality = model.vis.global_, model.vis.quality
    own_size = visual.offwidth, visual.offheight
    own_quality = {name: getattr(quality, name) for name in _SHADOWLESS}
    own_geoms = model.geom_size.copy()
    visual.offwidth, visual.offheight = size
    if coarse:
        for name, value in _SHADOWLESS.items():
            setattr(quality, name, value)
        planes = model.geom_type == _PLANE
        extent = model.geom_size[planes, :2]
        extent = np.where(extent > 0, extent, model.vis.map.zfar * model.stat.extent).max(axis=1)
        model.geom_size[planes, 2] = 2 * extent / _PLANE_CELLS
    try:
        yield
    finally:
        visual.offwidth, visual.offheight = own_size
        for name, value in own_quality.items():
            setattr(quality, name, value)
        model.geom_size[:] = own_geoms


def _free(gl: Any, contexts: dict[bool, Any]) -> None:
    gl.make_current()
    for context in contexts.values():
        context.free()
    contexts.clear()
    gl.free()
