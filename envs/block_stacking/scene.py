"""Builds the scene: the arm, a table with a tray, two cubes, lights and cameras.

Everything is made of MuJoCo's primitives, no meshes. The origin is the centre of the robot's base,
at table height.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gato_gym.envs.block_stacking.arm import add_arm
from gato_gym.envs.block_stacking.physics import mujoco
from gato_gym.envs.block_stacking.shapes import STEEL, add_box

CUBE_SIDE = 0.05
CUBE_MASS = 0.2
# The box the pinch point may move in (facts sheet 9.1, here 0.30 x 0.30 x 0.21 m).
WORKSPACE_LOW = (0.40, -0.15, 0.025)
WORKSPACE_HIGH = (0.70, 0.15, 0.235)
WORKSPACE_CENTRE = tuple(
    (lo + hi) / 2 for lo, hi in zip(WORKSPACE_LOW, WORKSPACE_HIGH, strict=True)
)

TIMESTEP = 0.0025


def build_model(offscreen: tuple[int, int] = (640, 480)) -> Any:
    """The compiled MjModel; `offscreen` is the largest (width, height) that GL will render."""
    spec = mujoco.MjSpec()
    spec.modelname = "block_stacking"
    spec.compiler.degree = False
    option = spec.option
    option.timestep = TIMESTEP
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10  # firmer friction, so that a held cube does not creep
    option.iterations = 30
    option.ls_iterations = 20
    spec.visual.global_.offwidth, spec.visual.global_.offheight = offscreen
    spec.visual.headlight.ambient = [0.38, 0.38, 0.40]
    spec.visual.headlight.diffuse = [0.25, 0.25, 0.25]
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    spec.visual.map.znear = 0.02
    spec.stat.center, spec.stat.extent = (0.4, 0.0, 0.2), 1.0  # the region that shadows must cover
    _add_room(spec)
    add_arm(spec)
    for name, colour in (("red", (0.86, 0.10, 0.12, 1)), ("blue", (0.10, 0.28, 0.86, 1))):
        _add_cube(spec, name, colour)
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
    # One slab carries all table contacts; the mat and the tray on it are drawn or low.
    table = add_box(
        world, (0.42, 0, -0.03), (0.52, 0.60, 0.03), (0.80, 0.70, 0.56, 1), name="table"
    )
    table.friction = (0.6, 0.005, 0.0001)
    mat = add_box(
        world, (0.55, 0, 0.0002), (0.175, 0.175, 0.0003), (0.36, 0.40, 0.44, 1), solid=False
    )
    mat.name = "mat"
    for x in (-0.02, 0.86):
        for y in (-0.52, 0.52):
            add_box(world, (x, y, -0.405), (0.03, 0.03, 0.345), (0.62, 0.52, 0.40, 1), solid=False)
    # A rim of 10 mm keeps pushed cubes within reach; the fingertips pass above it.
    rims = (
        (0.18, 0, 0.005, 0.185),
        (-0.18, 0, 0.005, 0.185),
        (0, 0.18, 0.175, 0.005),
        (0, -0.18, 0.175, 0.005),
    )
    for i, (x, y, half_x, half_y) in enumerate(rims):
        add_box(world, (0.55 + x, y, 0.005), (half_x, half_y, 0.005), STEEL, name=f"table_rim{i}")
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


def _add_cube(spec: Any, name: str, colour: Any) -> None:
    cube = spec.worldbody.add_body(name=name, pos=(0.55, 0, CUBE_SIDE / 2))
    cube.add_freejoint(name=name)
    geom = add_box(cube, (0, 0, 0), [CUBE_SIDE / 2] * 3, colour, name=name)
    geom.mass = CUBE_MASS
    geom.friction = (0.6, 0.005, 0.0001)
    geom.condim = 4
    geom.solref = (0.005, 1.0)
