"""What a policy is given of the state: the bounds, and the arrays (env.py describes the keys)."""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces

from gato_gym.envs.block_stacking import instructions, scene
from gato_gym.envs.block_stacking.control import MAX_SPEED
from gato_gym.envs.block_stacking.situation import Sensors
from gato_gym.envs.block_stacking.tasks import StackingTask

CAMERAS = ("front_left", "front_right")
PROPRIOCEPTION_LOW = np.array([-1, -1, -1, -1, -1, 0, 0, -5], np.float32)
PROPRIOCEPTION_HIGH = np.array([1, 1, 1, 1, 1, 1, 1, 5], np.float32)
POSE_BOUND = np.array([2, 2, 2, 1, 1, 1, 1], np.float32)
SHAPE_BOUND = 2.5  # sizes of mixed objects go a little beyond those of the test objects


def observation_space(task: StackingTask, kind: str, image_size: tuple[int, int]) -> spaces.Dict:
    """The space of "state" or "pixels" observations of a task; `image_size` is (height, width)."""
    parts: dict[str, spaces.Space] = {
        "proprioception": spaces.Box(PROPRIOCEPTION_LOW, PROPRIOCEPTION_HIGH)
    }
    if task.instructed:
        parts["instruction"] = instructions.space()
    if kind == "pixels":
        image = spaces.Box(0, 255, (*image_size, 3), np.uint8)
        return spaces.Dict({**parts, **dict.fromkeys(CAMERAS, image)})
    for colour in task.colours:
        parts[colour] = spaces.Box(-POSE_BOUND, POSE_BOUND)
    if task.dropped:
        shape = (len(task.colours), 6)
        parts["shapes"] = spaces.Box(-SHAPE_BOUND, SHAPE_BOUND, shape, np.float32)
    return spaces.Dict(parts)


def proprioception(sensors: Sensors, pinch: list[float], yaw: float, rise: float) -> np.ndarray:
    """The (8,) float32 of the arm itself; `rise` is the pinch point's vertical speed [m/s]."""
    x, y, z = pinch
    centre = scene.WORKSPACE_CENTRE
    values = np.array(
        (
            x - centre[0],
            y - centre[1],
            z - centre[2],
            math.sin(yaw),
            math.cos(yaw),
            sensors.opening(),
            float(bool(sensors.grasped())),
            rise / MAX_SPEED,
        ),
        np.float32,
    )
    return _within(values, PROPRIOCEPTION_LOW, PROPRIOCEPTION_HIGH)


def relative_pose(pose: list[float], pinch: list[float], yaw: float) -> np.ndarray:
    """Position relative to the pinch point, along the axes of the world, and the quaternion of the
    orientation as seen from the fingers, whose w is not negative, (7,).

    An action moves along the axes of the world and turns the fingers: so each part is what an
    action changes.
    """
    x, y, z = pinch
    w, i, j, k = pose[3:]
    cosine, sine = math.cos(yaw / 2), math.sin(yaw / 2)
    w, k = cosine * w + sine * k, cosine * k - sine * w
    i, j = cosine * i + sine * j, cosine * j - sine * i
    norm = math.sqrt(w * w + i * i + j * j + k * k)
    # The first component that is not zero is positive: one of the two equal quaternions.
    leading = w if abs(w) > 1e-9 else i if abs(i) > 1e-9 else j if abs(j) > 1e-9 else k
    scale = 1.0 / (norm if leading > 0 else -norm)
    values = np.array(
        (pose[0] - x, pose[1] - y, pose[2] - z, w * scale, i * scale, j * scale, k * scale),
        np.float32,
    )
    return _within(values, -POSE_BOUND, POSE_BOUND)


def _within(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    # In place of np.clip, which takes several times as long for so few numbers.
    np.maximum(values, low, out=values)
    return np.minimum(values, high, out=values)
