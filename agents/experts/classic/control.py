"""Controllers of classic control: observation -> action of the bare environment."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from gato_gym.agents.experts.classic.lattice import Outcome, Problem, Solution

# Gymnasium's constants of these tasks.
HILL = (-1.2, 0.6)  # the positions of the mountain car
HILL_SPEED, FLAG = 0.07, 0.5
PENDULUM_SPEED, PENDULUM_TORQUE, PENDULUM_STEP, GRAVITY = 8.0, 2.0, 0.05, 10.0


def cartpole(obs: np.ndarray) -> int:
    """Push towards the side to which the pole falls, and a little towards the middle."""
    x, speed, angle, turn = obs
    return int(angle + 0.3 * turn + 0.03 * x + 0.06 * speed > 0)


@cache
def _mountain_car() -> Solution:
    def model(states: np.ndarray, actions: np.ndarray) -> Outcome:
        x, speed = np.moveaxis(states, -1, 0)
        pull = 0.001 * (actions - 1) - 0.0025 * np.cos(3 * x)
        speed = np.clip(speed + pull, -HILL_SPEED, HILL_SPEED)
        x = np.clip(x + speed, *HILL)
        speed = np.where((x == HILL[0]) & (speed < 0), 0.0, speed)
        return np.stack([x, speed], -1), np.full(x.shape, -1.0), (x >= FLAG) & (speed >= 0)

    low, high = (HILL[0], -HILL_SPEED), (HILL[1], HILL_SPEED)
    return Solution(Problem(low, high, (181, 141), np.arange(3.0), model, 200))


def mountain_car(obs: np.ndarray) -> int:
    """The action of the shortest way up."""
    return int(_mountain_car().best(obs.astype(float)))


def continuous_car(obs: np.ndarray) -> np.ndarray:
    """Swing up in resonance: force along the speed, and no more than needed, since it costs."""
    speed = float(obs[1])
    return np.array([np.clip(12.0 * speed + (-0.15 if speed < 0 else 0.15), -1, 1)], np.float32)


@cache
def _pendulum() -> Solution:
    def model(states: np.ndarray, actions: np.ndarray) -> Outcome:
        angle, speed = np.moveaxis(states, -1, 0)
        wrapped = (angle + math.pi) % (2 * math.pi) - math.pi
        rewards = -(wrapped**2 + 0.1 * speed**2 + 0.001 * actions**2)
        push = 1.5 * GRAVITY * np.sin(angle) + 3.0 * actions
        speed = np.clip(speed + push * PENDULUM_STEP, -PENDULUM_SPEED, PENDULUM_SPEED)
        after = np.stack([angle + speed * PENDULUM_STEP, speed], -1)
        return after, rewards, np.zeros(rewards.shape, bool)

    low, high = (-math.pi, -PENDULUM_SPEED), (math.pi, PENDULUM_SPEED)
    torques = np.linspace(-PENDULUM_TORQUE, PENDULUM_TORQUE, 21)
    return Solution(Problem(low, high, (121, 121), torques, model, 120, wraps=True))


def pendulum(obs: np.ndarray) -> np.ndarray:
    """The torque that swings up soonest and costs least; near the top a linear rule holds it."""
    x, y, speed = map(float, obs)
    angle = math.atan2(y, x)
    torque = -(9.0 * angle + 2.5 * speed)
    if abs(angle) > 0.3 or abs(torque) > PENDULUM_TORQUE:
        torque = _pendulum().best(np.array([angle, speed]))
    return np.array([torque], np.float32)
