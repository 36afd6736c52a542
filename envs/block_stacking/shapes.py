"""The primitives that the scene is built of, and its colours. Drawn-only geoms weigh nothing."""

from __future__ import annotations

from typing import Any

from gato_gym.envs.block_stacking.physics import mujoco

WHITE = (0.93, 0.94, 0.95, 1.0)
DARK = (0.20, 0.22, 0.26, 1.0)
ORANGE = (0.96, 0.55, 0.16, 1.0)
STEEL = (0.55, 0.58, 0.62, 1.0)


def add_box(
    body: Any, pos: Any, half: Any, colour: Any, *, name: str = "", solid: bool = True
) -> Any:
    """A box; with `solid=False` it is drawn only."""
    geom = body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, pos=pos, size=half, rgba=colour)
    if name:
        geom.name = name
    if not solid:
        _draw_only(geom)
    return geom


def add_round(body: Any, kind: str, start: Any, end: Any, radius: float, colour: Any) -> None:
    """A drawn-only "capsule" or "cylinder" between two points."""
    shape = {"capsule": mujoco.mjtGeom.mjGEOM_CAPSULE, "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER}
    _draw_only(
        body.add_geom(type=shape[kind], fromto=[*start, *end], size=[radius, 0, 0], rgba=colour)
    )


def _draw_only(geom: Any) -> None:
    geom.contype = geom.conaffinity = 0
    geom.mass = 0
