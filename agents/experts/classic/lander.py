"""The lunar lander: lean towards the pad, and brake in proportion to the height above it."""

from __future__ import annotations

import numpy as np

# Found by a random search over the returns of some thousand landings.
LEAN_X, LEAN_SPEED, MOST_LEAN = 0.47, 0.93, 0.45
TURN, TURN_SPEED = 0.59, 0.99
LIFT, CONE, FALL = 0.47, 0.60, 0.44
GAIN, IDLE = 17.0, 0.97  # of the continuous one: from wishes to throttle
LEAST_LIFT, LEAST_TURN = 0.05, 0.05  # of the discrete one: smaller wishes are not worth the fuel

NOTHING, LEFT_ENGINE, MAIN_ENGINE, RIGHT_ENGINE = range(4)


def _wishes(obs: np.ndarray) -> tuple[float, float]:
    """How much to lift and how much to turn (positive is clockwise)."""
    x, y, speed_x, speed_y, angle, spin, left, right = map(float, obs)
    if left or right:  # a leg stands on the ground: only soften the fall
        return -FALL * speed_y, 0.0
    lean = float(np.clip(LEAN_X * x + LEAN_SPEED * speed_x, -MOST_LEAN, MOST_LEAN))
    lift = LIFT * (CONE * abs(x) - y) - FALL * speed_y
    return lift, TURN * (angle - lean) + TURN_SPEED * spin


def lander(obs: np.ndarray) -> int:
    """Which engine to fire."""
    lift, turn = _wishes(obs)
    if lift > max(abs(turn), LEAST_LIFT):
        return MAIN_ENGINE
    if abs(turn) > LEAST_TURN:
        return RIGHT_ENGINE if turn > 0 else LEFT_ENGINE
    return NOTHING


def continuous_lander(obs: np.ndarray) -> np.ndarray:
    """(2,) main and side throttle."""
    lift, turn = _wishes(obs)
    return np.clip(np.array([GAIN * lift - IDLE, GAIN * turn]), -1, 1).astype(np.float32)
