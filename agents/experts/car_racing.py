"""The scripted driver of CarRacing: it knows the course of the track."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gato_gym.agents.experts.unsuitable import unsuitable

EXPERT = "analytic/car_racing"

# Lengths in metres of the simulation, speeds in metres per second.
TILE = 3.5  # between two points of the track
AHEAD, AHEAD_PER_SPEED = 8.0, 0.25  # the point to steer for, and how much further it is per speed
STEER = 1.2  # steering per radian between the nose and that point
BEND = 3  # tiles to both sides over which a bend is measured
TOP_SPEED = 100.0
GRIP = 100.0  # the sideways acceleration that the tyres bear
BRAKING = 40.0  # deceleration
SEEN = 30  # tiles ahead whose bends are braked for
SHARP, SHARP_GAS = 0.6, 0.3  # in a sharp turn the rear wheels would slip at full throttle
GAS, BRAKE, MOST_BRAKE = 0.1, 0.05, 0.8  # per metre per second off the right speed


class ScriptedDriver:
    """Steers for a point of the track ahead, as fast as the bends up to there allow."""

    def __init__(self) -> None:
        self._world: Any = None
        self._track: np.ndarray | None = None

    def reset(self, env: Any) -> None:
        """Keep the environment, whose track and car it reads.

        Raises:
            UnknownTaskError: the environment is no CarRacing.
        """
        world = env.unwrapped
        if type(world).__name__ != "CarRacing" or not world.continuous:
            raise unsuitable(EXPERT, "CarRacing-v3", env)
        self._world, self._track = world, None

    def act(self, obs: Any, deterministic: bool = True) -> np.ndarray:
        """(3,) steering, gas and brake, each in [-1, 1]; the picture is not looked at."""
        if self._world is None:
            raise RuntimeError("call reset(env) before act(obs)")
        if self._track is None:  # there is one only after the reset of the environment
            self._track = self._survey()
        hull = self._world.car.hull
        place, angle = np.array(hull.position), hull.angle
        nose = np.array([-math.sin(angle), math.cos(angle)])
        right = np.array([nose[1], -nose[0]])
        speed = float(np.array(hull.linearVelocity) @ nose)
        here = int(((self._track - place) ** 2).sum(1).argmin())
        tiles = max(2, int((AHEAD + AHEAD_PER_SPEED * speed) / TILE))
        goal = self._track[(here + tiles) % len(self._track)] - place
        steering = float(np.clip(STEER * math.atan2(goal @ right, goal @ nose), -1, 1))
        excess = speed - self._allowed(here)
        gas = np.clip(-GAS * excess, 0, SHARP_GAS if abs(steering) > SHARP else 1)
        brake = np.clip(BRAKE * excess, 0, MOST_BRAKE)
        return np.array([steering, 2 * gas - 1, 2 * brake - 1], np.float32)

    def _survey(self) -> np.ndarray:
        """The (N, 2) points of the track; measures how fast each of them can be passed."""
        track = np.array([point[2:4] for point in self._world.track])
        before, after = np.roll(track, BEND, axis=0), np.roll(track, -BEND, axis=0)
        come, go = track - before, after - track
        turns = np.arctan2(go[:, 1], go[:, 0]) - np.arctan2(come[:, 1], come[:, 0])
        turns = np.abs((turns + math.pi) % (2 * math.pi) - math.pi)
        bends = turns / (np.hypot(*(after - before).T) / 2)
        self._limits = np.sqrt(GRIP / np.maximum(bends, 1e-4))
        return track

    def _allowed(self, here: int) -> float:
        """The highest speed from which one can still brake for every bend ahead."""
        ahead = np.arange(1, SEEN)
        limits = self._limits[(here + ahead) % len(self._limits)]
        room = np.maximum(TILE * ahead - 5.0, 0.0)
        return min(TOP_SPEED, float(np.sqrt(limits**2 + 2 * BRAKING * room).min()))
