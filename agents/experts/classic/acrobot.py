"""The acrobot: swing rules, of which the exact model chooses the one that is up first."""

from __future__ import annotations

import itertools
import math

import numpy as np

STEP = 0.2  # seconds
GRAVITY = 9.8
MOST_SPEED = (4 * math.pi, 9 * math.pi)
LOOKAHEAD = 120  # steps
HOLD = 4  # steps between two choices

# A rule gives the sign of the torque as a weighted sum of what `_signs` sees. All of them pump
# energy along the swing of the lower link; which one is quickest depends on the state.
RULES = np.array(
    [
        (1.0, *others)
        for others in itertools.product(
            (-1.0, -0.4, 0.2), (-0.6, 0.0, 0.6), (-0.5, 0.0, 0.5), (-1.0, 0.0, 0.6)
        )
    ]
)


class Acrobot:
    """Plays the rule that brings the tip up first, and looks again every few steps."""

    def __init__(self) -> None:
        self._step = 0

    def __call__(self, obs: np.ndarray) -> int:
        """0, 1 or 2: the torque plus one, for the six numbers of an observation."""
        upper, lower = math.atan2(obs[1], obs[0]), math.atan2(obs[3], obs[2])
        state = np.array([[upper, lower, obs[4], obs[5]]])
        if self._step % HOLD == 0:
            self._rule = _quickest(state)
        self._step += 1
        return 1 + int(np.sign(_signs(state)[0] @ self._rule))


def _quickest(state: np.ndarray) -> np.ndarray:
    states = np.repeat(state, len(RULES), axis=0)
    for _ in range(LOOKAHEAD):
        states = _stepped(states, np.sign((_signs(states) * RULES).sum(axis=1)))
        up = -np.cos(states[:, 0]) - np.cos(states[:, 0] + states[:, 1]) > 1.0
        if up.any():
            return RULES[up.argmax()]
    return RULES[0]


def _signs(states: np.ndarray) -> np.ndarray:
    """(N, 4) states -> (N, 5): both speeds, lower one first, and sines of the angles."""
    upper, lower, upper_speed, lower_speed = states.T
    sines = np.sin(upper), np.sin(lower), np.sin(upper + lower)
    return np.stack([lower_speed, upper_speed, *sines], axis=1)


def _stepped(states: np.ndarray, torques: np.ndarray) -> np.ndarray:
    """(N, 4) states after one step of the task, by the same Runge-Kutta rule."""
    first = _slope(states, torques)
    second = _slope(states + STEP / 2 * first, torques)
    third = _slope(states + STEP / 2 * second, torques)
    fourth = _slope(states + STEP * third, torques)
    states = states + STEP / 6 * (first + 2 * second + 2 * third + fourth)
    states[:, :2] = (states[:, :2] + math.pi) % (2 * math.pi) - math.pi
    return np.clip(states, [-math.pi, -math.pi, *(-s for s in MOST_SPEED)], [4, 4, *MOST_SPEED])


def _slope(states: np.ndarray, torques: np.ndarray) -> np.ndarray:
    """Speeds and accelerations of two links of length, mass and inertia 1."""
    upper, lower, v, w = states.T
    cosine, sine = np.cos(lower), np.sin(lower)
    both = 3.5 + cosine
    second = 1.25 + 0.5 * cosine
    lower_pull = 0.5 * GRAVITY * np.sin(upper + lower)
    upper_pull = -0.5 * w**2 * sine - w * v * sine + 1.5 * GRAVITY * np.sin(upper) + lower_pull
    b = (torques + second / both * upper_pull - 0.5 * v**2 * sine - lower_pull) / (
        1.25 - second**2 / both
    )
    a = -(second * b + upper_pull) / both
    return np.stack([v, w, a, b], axis=1)
