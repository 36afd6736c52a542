"""The lunar lander: lean towards the pad, and brake in proportion to the height above it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Gains(NamedTuple):
    """What weighs how much: of leaning, turning, lifting."""

    lean_x: float
    lean_speed: float
    most_lean: float
    turn: float
    turn_speed: float
    lift: float
    cone: float  # the height to be at, per distance from the pad
    fall: float


# Found by a random search over the returns of some thousand landings.
DISCRETE = Gains(0.485, 1.125, 0.449, 0.615, 1.026, 0.367, 0.505, 0.469)
CONTINUOUS = Gains(0.47, 0.93, 0.45, 0.59, 0.99, 0.47, 0.60, 0.44)
THROTTLE, IDLE = 17.0, 0.97  # of the continuous one: from wishes to throttle
LEAST_LIFT, LEAST_TURN = 0.049, 0.039  # of the discrete one: less is not worth the fuel

NOTHING, LEFT_ENGINE, MAIN_ENGINE, RIGHT_ENGINE = range(4)


def _wishes(obs: np.ndarray, gains: Gains) -> tuple[float, float]:
    """How much to lift and how much to turn (positive is clockwise)."""
    x, y, speed_x, speed_y, angle, spin, left, right = map(float, obs)
    if left or right:  # a leg stands on the ground: only soften the fall
        return -gains.fall * speed_y, 0.0
    lean = gains.lean_x * x + gains.lean_speed * speed_x
    lean = min(max(lean, -gains.most_lean), gains.most_lean)
    lift = gains.lift * (gains.cone * abs(x) - y) - gains.fall * speed_y
    return lift, gains.turn * (angle - lean) + gains.turn_speed * spin


def lander(obs: np.ndarray) -> int:
    """Which engine to fire."""
    lift, turn = _wishes(obs, DISCRETE)
    if lift > max(abs(turn), LEAST_LIFT):
        return MAIN_ENGINE
    if abs(turn) > LEAST_TURN:
        return RIGHT_ENGINE if turn > 0 else LEFT_ENGINE
    return NOTHING


def continuous_lander(obs: np.ndarray) -> np.ndarray:
    """(2,) main and side throttle."""
    lift, turn = _wishes(obs, CONTINUOUS)
    return np.clip(np.array([THROTTLE * lift - IDLE, THROTTLE * turn]), -1, 1).astype(np.float32)
