"""Where an episode starts: objects within reach, the arm above them (facts sheet 9.1)."""

from __future__ import annotations

import numpy as np

from gato_gym.envs.block_stacking import arm, scene
from gato_gym.envs.block_stacking.control import CartesianController
from gato_gym.envs.block_stacking.situation import Sensors
from gato_gym.envs.rendering.physics import mujoco

SPAWN_HALF = 0.10  # m; objects appear within this of the workspace's centre
MIN_SEPARATION = 0.09  # m between the centres of upright cubes: no overlap at any yaw
PINCH_LOW, PINCH_HIGH = (0.45, -0.14, 0.11), (0.65, 0.14, 0.23)
DROP_GAP = 0.02  # m between the bounding spheres of two objects that are dropped
OUT_OF_THE_WAY = np.array([0.40, 0.0, 0.50])  # m, the pinch point while objects fall
# What moves less than this in a tenth of a second is at rest (a face that meets the table in three
# corners keeps trembling by micrometres).
REST_MOVE, REST_TURN = 2e-4, 4e-3  # m, difference of unit quaternions
MAX_DRAWS = 50


def stand_upright(sensors: Sensors, rng: np.random.Generator) -> None:
    """Cubes on the table, turned about the vertical, apart from each other."""
    count = len(sensors.poses)
    while True:
        offsets = rng.uniform(-SPAWN_HALF, SPAWN_HALF, (count, 2))
        if _least_distance(offsets) >= MIN_SEPARATION:
            break
    for pose, offset in zip(sensors.poses.values(), offsets, strict=True):
        yaw = rng.uniform(-np.pi / 4, np.pi / 4)
        pose[:2] = scene.WORKSPACE_CENTRE[:2] + offset
        pose[2] = scene.CUBE_SIDE / 2
        pose[3:] = np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)


def drop(sensors: Sensors, controller: CartesianController, rng: np.random.Generator) -> None:
    """Objects turned at random fall into the basket and come to rest; drawn again if one is not
    within reach then."""
    for _ in range(MAX_DRAWS):
        mujoco.mj_resetData(sensors.model, sensors.data)
        controller.place(OUT_OF_THE_WAY, 0.0)
        _scatter(sensors, rng)
        if _settle(sensors) and _within_reach(sensors):
            return
    raise RuntimeError(f"the objects did not come to rest within reach in {MAX_DRAWS} draws")


def lower_arm(sensors: Sensors, controller: CartesianController, rng: np.random.Generator) -> None:
    """The arm at a random pose with open fingers that touch nothing, at rest."""
    _open(sensors)
    for attempt in range(MAX_DRAWS):
        pinch, yaw = rng.uniform(PINCH_LOW, PINCH_HIGH), rng.uniform(-np.pi / 4, np.pi / 4)
        if attempt == MAX_DRAWS - 1:
            pinch[2] = scene.WORKSPACE_HIGH[2]
        controller.place(pinch, yaw)
        mujoco.mj_forward(sensors.model, sensors.data)
        if not any("robot" in pair for pair in sensors.touching()):
            return


def _open(sensors: Sensors) -> None:
    for side in ("left", "right"):
        sensors.data.joint(f"finger_{side}").qpos[0] = arm.APERTURE / 2


def _scatter(sensors: Sensors, rng: np.random.Generator) -> None:
    """Random places and orientations in the air, clear of each other by height where need be."""
    placed: list[tuple[np.ndarray, float]] = []
    for colour, pose in sensors.poses.items():
        radius = sensors.shapes[colour].radius
        place = np.array([*rng.uniform(-SPAWN_HALF, SPAWN_HALF, 2), max(0.12, radius + 0.01)])
        place[:2] += scene.WORKSPACE_CENTRE[:2]
        while any(np.linalg.norm(place - p) < radius + r + DROP_GAP for p, r in placed):
            place[2] += 0.02
        placed.append((place, radius))
        pose[:3] = place
        quaternion = rng.normal(size=4)
        pose[3:] = quaternion / np.linalg.norm(quaternion)


def _settle(sensors: Sensors) -> bool:
    """Lets the objects fall; whether all of them lie still within three seconds."""
    model, data = sensors.model, sensors.data
    poses = np.array(list(sensors.poses.values()))
    for _ in range(30):
        mujoco.mj_step(model, data, nstep=round(0.1 / model.opt.timestep))
        before, poses = poses, np.array(list(sensors.poses.values()))
        moved = np.abs(poses - before).max(axis=0)
        if moved[:3].max() < REST_MOVE and moved[3:].max() < REST_TURN:
            return True
    return False


def _within_reach(sensors: Sensors) -> bool:
    """Every centre is inside the box that the pinch point moves in, and low."""
    (x_low, y_low, _), (x_high, y_high, _) = scene.WORKSPACE_LOW, scene.WORKSPACE_HIGH
    return all(
        x_low <= pose[0] <= x_high and y_low <= pose[1] <= y_high and pose[2] < 0.09
        for pose in sensors.poses.values()
    )


def _least_distance(points: np.ndarray) -> float:
    first, second = np.triu_indices(len(points), 1)
    return float(np.linalg.norm(points[first] - points[second], axis=1).min())
