"""The primitives that the scene is built of, and its colours. Drawn-only geoms weigh nothing."""

from __future__ import annotations

from typing import Any

from gato_gym.envs.rendering.physics import mujoco

WHITE = (0.93, 0.94, 0.95, 1.0)
DARK = (0.20, 0.22, 0.26, 1.0)
ORANGE = (0.96, 0.55, 0.16, 1.0)
STEEL = (0.55, 0.58, 0.62, 1.0)
# (contype, conaffinity). Furniture meets grippers and objects, a gripper meets objects, objects
# meet each other; no other pair is ever examined, the gripper's own parts included.
NOTHING, FURNITURE, GRIPPER, OBJECT = (0, 0), (1, 0), (4, 1), (2, 7)


def add_box(
    body: Any, pos: Any, half: Any, colour: Any, *, name: str = "", meets: tuple[int, int] = NOTHING
) -> Any:
    """A box; what `meets` nothing is drawn only."""
    geom = body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, pos=pos, size=half, rgba=colour)
    if name:
        geom.name = name
    set_contacts(geom, meets)
    return geom


def add_round(body: Any, kind: str, start: Any, end: Any, radius: float, colour: Any) -> None:
    """A drawn-only "capsule" or "cylinder" between two points."""
    shape = {"capsule": mujoco.mjtGeom.mjGEOM_CAPSULE, "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER}
    geom = body.add_geom(type=shape[kind], fromto=[*start, *end], size=[radius, 0, 0], rgba=colour)
    set_contacts(geom, NOTHING)


def set_contacts(geom: Any, meets: tuple[int, int]) -> None:
    """Gives a geom its contact group."""
    geom.contype, geom.conaffinity = meets
    if meets == NOTHING:
        geom.mass = 0
