"""Builds the scene: the arm, a table with a tray or a basket, the objects, lights and cameras.

Cuboids, and everything that is not an object, are MuJoCo's primitives; the other objects are convex
meshes made from their corners. The origin is the centre of the robot's base, at table height.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gato_gym.envs.block_stacking.arm import add_arm
from gato_gym.envs.block_stacking.palettes import COLOURS, Colour
from gato_gym.envs.block_stacking.primitives import (
    FURNITURE,
    NOTHING,
    OBJECT,
    ORANGE,
    STEEL,
    add_box,
    set_contacts,
)
from gato_gym.envs.block_stacking.shapes import MASS, SIDE, Shape
from gato_gym.envs.rendering.physics import mujoco

CUBE_SIDE = SIDE * 1e-3  # m
# The box the pinch point may move in (facts sheet 9.1, here 0.30 x 0.30 x 0.21 m).
WORKSPACE_LOW = (0.40, -0.15, 0.025)
WORKSPACE_HIGH = (0.70, 0.15, 0.235)
WORKSPACE_CENTRE = tuple(
    (lo + hi) / 2 for lo, hi in zip(WORKSPACE_LOW, WORKSPACE_HIGH, strict=True)
)
FRICTION = (0.6, 0.005, 0.0001)  # of table and objects; the pads' own wins over it
# The basket's floor ends here (from the middle of the tray), then its sides rise.
BASKET_HALF, BASKET_SIDE, BASKET_SLOPE = 0.185, 0.11, np.radians(30.0)

TIMESTEP = 0.005


def build_model(
    shapes: Mapping[str, Shape],
    *,
    basket: bool,
    offscreen: tuple[int, int] = (640, 480),
    colours: Mapping[str, Colour] = COLOURS,
) -> Any:
    """The compiled MjModel.

    Args:
        shapes: colour -> the object of that colour; geoms, bodies and free joints have its name.
        basket: tilted sides keep the objects in; otherwise a low rim.
        offscreen: the largest (width, height) that GL will render.
        colours: what the objects' colours look like, see `palettes`.
    """
    spec = mujoco.MjSpec()
    spec.modelname = "block_stacking"
    spec.compiler.degree = False
    option = spec.option
    option.timestep = TIMESTEP
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 6  # firmer friction, so that a held object does not creep
    option.iterations, option.tolerance = 30, 1e-6
    # So few geoms collide that a tree over them costs more than it saves.
    option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_MIDPHASE)
    option.ls_iterations = 50  # with 20 the solver can stop short, and a held object rattles loose
    if not all(shape.is_box for shape in shapes.values()):
        # MuJoCo's own collision of meshes finds one contact where two faces are not exactly
        # parallel, and stacks rattle; the other implementation finds several.
        option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_NATIVECCD)
    spec.visual.global_.offwidth, spec.visual.global_.offheight = offscreen
    spec.visual.headlight.ambient = [0.38, 0.38, 0.40]
    spec.visual.headlight.diffuse = [0.25, 0.25, 0.25]
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    spec.visual.map.znear = 0.02
    spec.stat.center, spec.stat.extent = (0.4, 0.0, 0.2), 1.0  # the region that shadows must cover
    _add_room(spec)
    _add_table(spec.worldbody, mat=BASKET_HALF if basket else 0.175)
    if basket:
        _add_basket(spec)
    else:
        _add_rim(spec.worldbody)
    _add_cameras(spec.worldbody)
    add_arm(spec)
    for colour, shape in shapes.items():
        _add_object(spec, colour, shape, colours[colour])
    return spec.compile()


def _add_room(spec: Any) -> None:
    world = spec.worldbody
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.90, 0.93, 0.96],
        rgb2=[0.62, 0.70, 0.78],
        width=64,
        height=384,
    )
    world.add_light(
        name="key",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[1.1, -1.1, 2.2],
        dir=[-0.6, 1.1, -2.2],
        diffuse=[0.62, 0.61, 0.58],
        specular=[0.15, 0.15, 0.15],
        castshadow=True,
    )
    floor = world.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, pos=[0, 0, -0.75], size=[4, 4, 0.1]
    )
    floor.rgba = (0.66, 0.69, 0.72, 1)
    set_contacts(floor, NOTHING)


def _add_table(world: Any, mat: float) -> None:
    # Contacts of a plane are the corners below it, exact for every tilt and quick to find; those of
    # a slab come and go as an object rocks. It is not drawn.
    ground = world.add_geom(
        name="ground", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1], rgba=(0, 0, 0, 0)
    )
    ground.friction = FRICTION
    set_contacts(ground, FURNITURE)
    add_box(
        world,
        (0.42, 0, -0.03),
        (0.52, 0.60, 0.03),
        (0.80, 0.70, 0.56, 1),
        name="table",
    )
    add_box(world, (0.55, 0, 0.0002), (mat, mat, 0.0003), (0.36, 0.40, 0.44, 1), name="mat")
    for x in (-0.02, 0.86):
        for y in (-0.52, 0.52):
            add_box(world, (x, y, -0.405), (0.03, 0.03, 0.345), (0.62, 0.52, 0.40, 1))


def _add_rim(world: Any) -> None:
    """10 mm high, which keeps pushed cubes within reach; the fingertips pass above it."""
    rims = (
        (0.18, 0, 0.005, 0.185),
        (-0.18, 0, 0.005, 0.185),
        (0, 0.18, 0.175, 0.005),
        (0, -0.18, 0.175, 0.005),
    )
    for i, (x, y, half_x, half_y) in enumerate(rims):
        add_box(
            world,
            (0.55 + x, y, 0.005),
            (half_x, half_y, 0.005),
            STEEL,
            name=f"table_rim{i}",
            meets=FURNITURE,
        )


def _add_basket(spec: Any) -> None:
    """Four sides that rise outwards (facts sheet 9.1), smooth, so that objects slide back.

    What is touched is a slab that runs on under its neighbours, what is drawn is mitred.
    """
    world = spec.worldbody
    sine, cosine = np.sin(BASKET_SLOPE), np.cos(BASKET_SLOPE)
    thickness = 0.004
    top, height = BASKET_HALF + cosine * BASKET_SIDE, sine * BASKET_SIDE
    middle = np.array([BASKET_HALF + cosine * BASKET_SIDE / 2 + sine * thickness, 0.0])
    mitred = [  # of the side towards +x: along x, half along y, z
        *((BASKET_HALF, BASKET_HALF, 0.0), (BASKET_HALF + 2 * thickness, BASKET_HALF, 0.0)),
        *((top, top, height), (top + 2 * thickness, top + 2 * thickness, height)),
    ]
    corners = np.array([(x, sign * y, z) for x, y, z in mitred for sign in (-1, 1)])
    spec.add_mesh(name="side").uservert = corners.ravel()
    for i in range(4):
        turn = i * np.pi / 2
        yaw = np.array([np.cos(turn / 2), 0.0, 0.0, np.sin(turn / 2)])
        tilt = np.array([np.cos(BASKET_SLOPE / 2), 0.0, -np.sin(BASKET_SLOPE / 2), 0.0])
        quaternion = np.zeros(4)
        mujoco.mju_mulQuat(quaternion, yaw, tilt)
        x, y = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ middle
        slab = add_box(
            world,
            (0.55 + x, y, height / 2 - cosine * thickness),
            (BASKET_SIDE / 2, top, thickness),
            (0, 0, 0, 0),
            name=f"table_side{i}",
            meets=FURNITURE,
        )
        slab.quat, slab.friction, slab.priority = quaternion, (0.1, 0.005, 0.0001), 1
        drawn = world.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH, meshname="side", pos=(0.55, 0, 0), quat=yaw, rgba=STEEL
        )
        set_contacts(drawn, NOTHING)
        along = np.round(np.abs([np.sin(turn), np.cos(turn)]))
        x, y = np.array([np.cos(turn), np.sin(turn)]) * top
        add_box(
            world, (0.55 + x, y, height), (*(0.004 + along * top), 0.004), ORANGE, meets=NOTHING
        )


def _add_cameras(world: Any) -> None:
    cameras = {
        "front_left": ((1.30, -0.46, 0.42), (0.52, 0.0, 0.09), 34.0),
        "front_right": ((1.30, 0.46, 0.42), (0.52, 0.0, 0.09), 34.0),
        "studio": ((1.62, -1.02, 0.74), (0.32, 0.0, 0.22), 34.0),
    }
    for name, (pos, target, fovy) in cameras.items():
        world.add_camera(name=name, pos=pos, fovy=fovy, xyaxes=_look_at(pos, target))


def _look_at(pos: Any, target: Any) -> list[float]:
    """The x and y axes of a camera at `pos` that looks at `target` with the horizon level."""
    forward = np.subtract(target, pos)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    return [*right, *np.cross(right, forward)]


def _add_object(spec: Any, colour: str, shape: Shape, rgba: Colour) -> None:
    body = spec.worldbody.add_body(name=colour, pos=(0.55, 0, CUBE_SIDE / 2))
    body.add_freejoint(name=colour)
    if shape.is_box:
        geom = add_box(body, (0, 0, 0), shape.half_size, rgba, name=colour, meets=OBJECT)
    else:
        mesh = spec.add_mesh(name=colour)
        mesh.uservert = shape.vertices.ravel()
        mesh.userface = np.concatenate([_triangles(face) for face in shape.faces()]).ravel()
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_EXACT
        geom = body.add_geom(
            name=colour,
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=colour,
            rgba=rgba,
        )
        set_contacts(geom, OBJECT)
    geom.mass = MASS
    geom.friction = FRICTION
    geom.condim = 3
    geom.solref = (0.01, 1.0)


def _triangles(face: np.ndarray) -> np.ndarray:
    """A fan that covers a convex face, (corners - 2, 3)."""
    return np.array([(face[0], face[i], face[i + 1]) for i in range(1, len(face) - 1)])
