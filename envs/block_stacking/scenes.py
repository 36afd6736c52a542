"""Any moment of stacking, at once: where the blocks and the hand may be while the work is done."""

from __future__ import annotations

import math

import numpy as np

from gato_gym.envs.block_stacking import arm, placement, scene
from gato_gym.envs.block_stacking.control import CartesianController
from gato_gym.envs.block_stacking.situation import Sensors
from gato_gym.envs.rendering.physics import mujoco

# Shares: the hand where an episode starts, near a block, ready to grasp one, with the red one
# between its fingers; else above a finished stack.
START, NEAR, READY, HELD = 0.20, 0.25, 0.20, 0.25
DRAWS = 20
SQUEEZE = 4  # control steps after which a grip is firm
OFF_CENTRE = 0.006  # m, how well a stack is centred
PRESSED = 0.0005  # m that a block sinks into the one below: less is no contact


def arrange(
    sensors: Sensors,
    controller: CartesianController,
    rng: np.random.Generator,
    upper: str = "red",
    lower: str = "blue",
) -> None:
    """Upright cubes and the hand, at rest, at any moment of stacking one on another.

    `upper` and `lower` are their colours; what else there is stands on the table.
    """
    mujoco.mj_resetData(sensors.model, sensors.data)
    placement.stand_upright(sensors, rng)
    mover, base = sensors.poses[upper], sensors.poses[lower]
    kind = rng.random()
    if kind < START:
        placement.lower_arm(sensors, controller, rng)
    elif kind < START + NEAR:
        _hover(sensors, controller, rng, [mover, base])
    elif kind < START + NEAR + READY:
        _about_to_grasp(sensors, controller, rng, mover)
    elif kind < START + NEAR + READY + HELD:
        _hold(sensors, controller, rng, upper, lower)
    else:
        mover[:2] = base[:2] + rng.normal(0.0, OFF_CENTRE, 2)
        mover[2] = base[2] + scene.CUBE_SIDE - PRESSED
        placement.lower_arm(sensors, controller, rng)
    mujoco.mj_forward(sensors.model, sensors.data)


def yaw_of(pose: np.ndarray) -> float:
    """Of an upright block [rad]."""
    return 2.0 * math.atan2(float(pose[6]), float(pose[3]))


def quarter(angle: float) -> float:
    """The angle moved by quarter turns into [-45, 45) degrees: a cube looks the same."""
    return (angle + math.pi / 4) % (math.pi / 2) - math.pi / 4


def _hover(
    sensors: Sensors,
    controller: CartesianController,
    rng: np.random.Generator,
    poses: list[np.ndarray],
) -> None:
    """Open fingers anywhere near a block, touching nothing."""
    for _ in range(DRAWS):
        block = poses[rng.integers(len(poses))]
        place = [*(block[:2] + rng.normal(0.0, 0.03, 2)), rng.uniform(0.03, 0.20)]
        yaw = rng.uniform(-math.pi / 3, math.pi / 3)
        if rng.random() < 0.5:
            yaw = yaw_of(block) + rng.normal(0.0, 0.1)
        if _touches_nothing(sensors, controller, place, yaw):
            return
    placement.lower_arm(sensors, controller, rng)


def _about_to_grasp(
    sensors: Sensors, controller: CartesianController, rng: np.random.Generator, block: np.ndarray
) -> None:
    """Open fingers about a block, a little off."""
    spread = rng.choice([0.003, 0.012])
    for _ in range(DRAWS):
        place = block[:3] + rng.normal(0.0, spread, 3)
        place[2] = max(place[2], scene.WORKSPACE_LOW[2]) + abs(rng.normal(0.0, 2.0 * spread))
        along = rng.random() < 0.5
        turn = rng.normal(0.0, 0.1) if along else rng.uniform(-math.pi / 4, math.pi / 4)
        if _touches_nothing(sensors, controller, place, yaw_of(block) + turn):
            return
    placement.lower_arm(sensors, controller, rng)


def _hold(
    sensors: Sensors,
    controller: CartesianController,
    rng: np.random.Generator,
    upper: str,
    lower: str,
) -> None:
    """A firm grip on the upper block, anywhere that does not touch another one."""
    mover, base = sensors.poses[upper], sensors.poses[lower]
    allowed = {frozenset((upper, "robot"))} | {frozenset((c, "table")) for c in sensors.poses}
    low, high = np.array(scene.WORKSPACE_LOW), np.array(scene.WORKSPACE_HIGH)
    for _ in range(DRAWS):
        place = rng.uniform(low, high)
        if rng.random() < 0.7:
            place[:2] = base[:2] + rng.normal(0.0, rng.choice([0.006, 0.03]), 2)
            place[2] = rng.uniform(0.07, 0.14)
        place = np.clip(place, low, high)
        yaw = rng.uniform(-math.pi / 3, math.pi / 3)
        if rng.random() < 0.5:
            yaw = yaw_of(base) + rng.normal(0.0, 0.1)
        mover[:3] = place + rng.normal(0.0, 0.003, 3)
        mover[2] = max(mover[2], scene.CUBE_SIDE / 2)
        mover[3:] = math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)
        _place(sensors, controller, place, yaw, opening=scene.CUBE_SIDE / 2 + 0.001)
        if {frozenset(pair) for pair in sensors.touching()} <= allowed:
            for _ in range(SQUEEZE):
                controller.apply((0.0, 0.0, 0.0), 0.0, close=True)
            return
    placement.lower_arm(sensors, controller, rng)


def _touches_nothing(
    sensors: Sensors, controller: CartesianController, place: object, yaw: float
) -> bool:
    _place(sensors, controller, place, yaw, opening=arm.APERTURE / 2)
    return not any("robot" in pair for pair in sensors.touching())


def _place(
    sensors: Sensors, controller: CartesianController, place: object, yaw: float, opening: float
) -> None:
    """The hand at a pose; `opening` is how far each finger is from the middle [m]."""
    controller.place(np.clip(place, scene.WORKSPACE_LOW, scene.WORKSPACE_HIGH), yaw)
    for side in ("left", "right"):
        sensors.data.joint(f"finger_{side}").qpos[0] = opening
    mujoco.mj_forward(sensors.model, sensors.data)
