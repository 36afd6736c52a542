"""The scripted expert of gato_gym/BlockStacking-v0.

Its action is a function of the current observation alone: the phase is read off the scene (is red
on blue, is red held, are the open fingers around it). So it recovers from drops, pushes and noise
at any point, and a network can clone it. Heights follow funnels: how low the tool may go is a
continuous function of how well it is aligned. The five outputs are multiples of 0.1, the gripper's
-1 or 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gato_gym.agents.experts.unsuitable import unsuitable
from gato_gym.envs.block_stacking import scene

TASK = "gato_gym/BlockStacking-v0"
SIDE = scene.CUBE_SIDE
OPEN, CLOSE = -1.0, 1.0
# An error of this size is answered by full speed.
FULL_SPEED_AT = 0.0125  # m
FULL_YAW_RATE_AT = 0.2  # rad
TRAVEL_CLEARANCE = 0.065  # pinch above the cubes' centres while moving over them
LIFT_CLEARANCE = 0.022  # held red's lower face above blue's upper face while moving over it
# Open fingers reach this far from the pinch; a cube nearer than FINGER_ROOM to one is in its way.
FINGER_REACH = 0.054
FINGER_ROOM = 0.050
LEAVE_HEIGHT = 0.10


class ScriptedStacker:
    """Stacks red on blue, opens, retreats upwards and stays."""

    def __init__(self) -> None:
        self._env: Any = None

    def reset(self, env: Any) -> None:
        """Keeps the environment, whose state is read if it does not observe it itself.

        Raises:
            UnknownTaskError: it has no cubes to see.
        """
        cubes = getattr(env.observation_space, "spaces", {})
        if not hasattr(env.unwrapped, "state_observation") and not {"red", "blue"} <= set(cubes):
            raise unsuitable("the scripted stacker", TASK, env)
        self._env = env

    def act(self, obs: Any, deterministic: bool = True) -> np.ndarray:
        """The next action, float32 (5,), multiples of 0.1."""
        if "red" not in obs:
            if self._env is None:
                raise ValueError('without "red" in the observation, call reset(env) first')
            obs = self._env.unwrapped.state_observation()
        view = _View(obs)
        if view.stacked:
            velocity, yaw_rate, gripper = self._leave(view)
        elif view.holding:
            velocity, yaw_rate, gripper = self._carry(view)
        else:
            velocity, yaw_rate, gripper = self._fetch(view)
        action = np.array(
            [*np.divide(velocity, FULL_SPEED_AT), yaw_rate / FULL_YAW_RATE_AT, gripper]
        )
        levels = np.round(np.clip(action, -1.0, 1.0) * 10.0)
        return (levels / 10.0).astype(np.float32)

    def _leave(self, view: _View) -> tuple[np.ndarray, float, float]:
        velocity = np.zeros(3)
        if view.opening > 0.85:
            velocity[2] = max(0.0, view.red[2] + LEAVE_HEIGHT)
        return velocity, 0.0, OPEN

    def _carry(self, view: _View) -> tuple[np.ndarray, float, float]:
        to_blue = view.blue - view.red
        distance = float(np.linalg.norm(to_blue[:2]))
        height = -to_blue[2] - SIDE  # of red's lower face above blue's upper face
        if distance < 0.008 and height < 0.003:
            return np.zeros(3), 0.0, OPEN
        # Down to the contact only once aligned; far from blue a low flight is high enough.
        wanted = np.clip((distance - 0.006) * 3.0, 0.0, LIFT_CLEARANCE) - 0.001
        velocity = np.array([to_blue[0], to_blue[1], wanted - height])
        must_rise = wanted - height > 0.010 and distance < 0.10
        if must_rise or (wanted - height > 0.10):
            velocity[:2] = 0.0
        return velocity, 0.0, CLOSE

    def _fetch(self, view: _View) -> tuple[np.ndarray, float, float]:
        yaw_error = _grasp_yaw_error(view)
        offset = float(np.linalg.norm(view.red[:2]))
        error = max(offset, 0.06 * abs(yaw_error))
        if abs(view.red[2]) < 0.010 and error < 0.010:
            return np.array([*view.red[:2], view.red[2]]) * 0.5, 0.0, CLOSE
        # The funnel: at grasp height once aligned with open fingers, above the cubes when far.
        above = np.clip((error - 0.005) * 6.0, 0.0, TRAVEL_CLEARANCE)
        if view.opening < 0.85:
            above = TRAVEL_CLEARANCE
        ground = view.red[2]
        if offset > 0.03 and view.blue[2] > ground:
            ground = view.blue[2]
        rise = ground + above
        velocity = np.array([*view.red[:2], rise])
        if rise > 0.012:
            velocity[:2] = 0.0
        return velocity, yaw_error, OPEN


class _View:
    """The observation in named quantities; `red` and `blue` are relative to the pinch point."""

    def __init__(self, obs: Any) -> None:
        proprioception = np.asarray(obs["proprioception"], np.float64)
        self.yaw = float(np.arctan2(proprioception[3], proprioception[4]))
        self.opening = float(proprioception[5])
        self.grasping = proprioception[6] > 0.5
        red, blue = np.asarray(obs["red"], np.float64), np.asarray(obs["blue"], np.float64)
        self.red, self.red_quaternion = red[:3], red[3:]
        self.blue = blue[:3]

    @property
    def holding(self) -> bool:
        """Red is what the fingers press on."""
        return bool(self.grasping and np.abs(self.red).max() < 0.03)

    @property
    def stacked(self) -> bool:
        """Red lies on blue; while held, only if it is where it may be let go."""
        gap = self.red - self.blue
        offset = np.linalg.norm(gap[:2])
        rests = offset < 0.03 and abs(gap[2] - SIDE) < 0.006
        return bool(rests and (not self.holding or (offset < 0.008 and gap[2] < SIDE + 0.003)))


def _grasp_yaw_error(view: _View) -> float:
    """How far to turn so that the fingers face two sides of red and miss blue [rad]."""
    w, x, y, z = view.red_quaternion
    axes = np.array(  # columns: red's own axes in the world
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    flat = axes[:, int(np.argmin(np.abs(axes[2])))]  # the axis nearest to horizontal
    base = np.arctan2(flat[1], flat[0])
    best, best_cost = 0.0, np.inf
    for turns in range(4):
        yaw = np.arctan2(np.sin(base + turns * np.pi / 2), np.cos(base + turns * np.pi / 2))
        if abs(yaw) > np.pi / 2:  # the wrist's limit
            continue
        cost = abs(yaw - view.yaw) + 10.0 * _crowding(view, yaw)
        if cost < best_cost:
            best, best_cost = yaw - view.yaw, cost
    return float(best)


def _crowding(view: _View, yaw: float) -> float:
    """How much blue is in the way of fingers at that yaw: 0 is free, at most 1."""
    if view.red[2] - view.blue[2] > 0.03:  # red is on top of something: blue is below the fingers
        return 0.0
    reach = FINGER_REACH * np.array([-np.sin(yaw), np.cos(yaw)])
    to_blue = (view.blue - view.red)[:2]
    nearest = min(np.linalg.norm(to_blue - reach), np.linalg.norm(to_blue + reach))
    return float(np.clip(1.0 - nearest / FINGER_ROOM, 0.0, 1.0))
