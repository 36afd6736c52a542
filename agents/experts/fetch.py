"""The scripted expert of Gymnasium-Robotics' Fetch arm: reach, push, slide, pick and place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gato_gym.agents.experts.unsuitable import unsuitable
from gato_gym.envs.families import base_name

EXPERT = "scripted/fetch"

# Metres. A full action moves the hand by about 0.03 m in a step.
GAIN = 20.0  # action per metre: full speed from 5 cm on
OPEN, CLOSE = 1.0, -1.0
HOVER = 0.06  # above a block, before it is grasped
OVER = 0.02  # this near to the vertical through a block the hand goes down
HELD = 0.055  # the fingers are no further apart around a block
GRASPED = 0.02  # between the middle of the hand and that of a block in it
BEHIND = 0.075  # between the hand and a block that is about to be pushed
LINED_UP = 0.02  # off the line of a push
AT_GOAL = 0.03  # of the 5 cm that count; a block slides on a little
NEARBY = 0.09  # where the hand may touch a block
CLEARANCE = 0.09  # above the table, where the hand passes over a block

# Of the puck. Found by trying: at which speed it leaves the hand depends on the contact.
STEP = 0.04  # seconds
FRICTION = 0.9  # metres per second and second that it loses
KICK = 1.05  # metres per second that a full action gives it
KICK_FROM, AIMED = 0.09, 0.006  # metres behind it, and off the line
CONTACT, MOVING = 0.075, 0.06  # metres between them; metres per second


class ScriptedFetch:
    """Plays the `Fetch*` tasks from the observation alone."""

    def __init__(self) -> None:
        self._script: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    def reset(self, env: Any) -> None:
        """Choose the script of the task.

        Raises:
            UnknownTaskError: the environment is no Fetch task.
        """
        name = base_name(env.spec.id) if getattr(env, "spec", None) is not None else ""
        if name not in SCRIPTS:
            raise unsuitable(EXPERT, "FetchPush-v4", env)
        self._script = SCRIPTS[name]

    def act(self, obs: Any, deterministic: bool = True) -> np.ndarray:
        """(4,) float32 in [-1, 1]: the hand's motion along x, y and z, and the fingers'."""
        if self._script is None:
            raise RuntimeError("call reset(env) before act(obs)")
        action = self._script(obs["observation"], obs["desired_goal"])
        return np.clip(action, -1, 1).astype(np.float32)


def _move(way: np.ndarray, fingers: float = CLOSE) -> np.ndarray:
    return np.append(GAIN * way, fingers)


def reach(state: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Straight to the goal."""
    return _move(goal - state[:3])


def pick_and_place(state: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Over the block with open fingers, down, close, and to the goal with what is held."""
    hand, block, fingers = state[:3], state[3:6], state[9:11].sum()
    away = block - hand
    if np.linalg.norm(away) < GRASPED:
        return _move(goal - block if fingers < HELD else np.zeros(3), CLOSE)
    if np.linalg.norm(away[:2]) < OVER:
        return _move(away, OPEN)
    return _move(away + np.array([0, 0, HOVER]), OPEN)


def push(state: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Over to the far side of the block, down, and along the line to the goal."""
    shot = _Shot(state, goal)
    if shot.far < AT_GOAL:
        return _move(np.zeros(3))
    if shot.is_behind(LINED_UP):
        ahead = min(shot.far, 0.05) * shot.line - 0.5 * shot.aside
        return _move(np.append(ahead, shot.down))
    return _move(shot.get_behind(BEHIND, LINED_UP))


def slide(state: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Behind the puck, and against it as fast as friction will undo by the goal."""
    shot = _Shot(state, goal)
    needed = math.sqrt(2 * FRICTION * shot.far)
    motion = (state[14:16] + state[20:22]) / STEP  # of the puck, in metres per second
    touching = -CONTACT <= shot.along <= 0
    if np.linalg.norm(motion) > MOVING and (motion @ shot.line >= needed or not touching):
        return _move(np.zeros(3))  # it is on its way
    if shot.is_behind(AIMED):
        speed = np.clip(needed / KICK, 0.1, 1.0)
        ahead = speed * (shot.line / GAIN - 0.5 * shot.aside)
        return _move(np.append(ahead, shot.down))
    if shot.far < AT_GOAL:
        return _move(np.zeros(3))
    return _move(shot.get_behind(KICK_FROM, AIMED))


class _Shot:
    """How the hand stands to a thing on the table and to the line from there to the goal.

    `far` is the way to go, `line` its direction, `along` and `aside` the hand's place on and off
    the line, seen from the thing; `down` how far the hand must go up to be as high as the thing.
    """

    def __init__(self, state: np.ndarray, goal: np.ndarray) -> None:
        self.hand, self.thing = state[:3], state[3:6]
        line = goal[:2] - self.thing[:2]
        self.far = float(np.linalg.norm(line))
        self.line = line / max(self.far, 1e-6)
        away = self.hand[:2] - self.thing[:2]
        self.along = float(away @ self.line)
        self.aside = away - self.along * self.line
        self.down = self.thing[2] - self.hand[2]

    def is_behind(self, width: float) -> bool:
        """Whether the hand is low, behind the thing and at most `width` off the line."""
        return self.along < 0 and bool(np.linalg.norm(self.aside) < width) and self.down > -0.02

    def get_behind(self, distance: float, width: float) -> np.ndarray:
        """(3,) the way to the place `distance` behind the thing, not through it."""
        start = np.append(self.thing[:2] - distance * self.line, self.thing[2])
        gap = start - self.hand
        off = np.linalg.norm(gap[:2])
        if off < width or (off < LINED_UP and self.hand[2] < self.thing[2] + 0.1):
            return gap
        near = np.linalg.norm(self.hand[:2] - self.thing[:2]) < NEARBY
        if near and -self.down < CLEARANCE / 2:
            return np.array([0.0, 0.0, CLEARANCE])
        return np.append(gap[:2], self.down + CLEARANCE)


SCRIPTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "FetchPickAndPlace": pick_and_place,
    "FetchPush": push,
    "FetchReach": reach,
    "FetchSlide": slide,
}
