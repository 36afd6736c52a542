"""Sparse and shaped reward of RGB stacking (facts sheet 9.5), as pure functions of a `Situation`.

Two numbers are adapted to cubes of 50 mm: the original hovers and stacks 4 cm above the blue
object's centre, because its objects differ in height; here it is the cubes' side of 5 cm. Heights
are those of red's centre above the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STACK_HEIGHT = 0.05
# tanh(w * margin)^2 = 0.95: the loss at the margin.
_LOSS_AT_MARGIN = np.arctanh(np.sqrt(0.95))


@dataclass(frozen=True)
class Situation:
    """What the rewards look at; positions in metres, z above the table."""

    pinch: np.ndarray
    red: np.ndarray
    blue: np.ndarray
    closing: float  # how far the fingers are closed: 0 open, 1 closed
    grasping: bool  # both pads press on a cube
    in_workspace: bool  # the red cube is inside the workspace box
    red_touches_blue: bool
    red_touches_table: bool
    red_touches_robot: bool


def closeness(distance: float, tolerance: float, margin: float) -> float:
    """1 within `tolerance`, then a tanh^2 fall-off that has lost 95 % at `margin`."""
    if distance <= tolerance:
        return 1.0
    return float(1.0 - np.tanh(_LOSS_AT_MARGIN * distance / margin) ** 2)


def sparse_reward(s: Situation) -> float:
    """1 while red rests on blue and on nothing else, and the robot has let go; else 0."""
    on_top = np.linalg.norm((s.red - s.blue)[:2]) < 0.05 and s.red[2] - s.blue[2] > 0.02
    free = not s.red_touches_table and not s.red_touches_robot
    return float(on_top and s.red_touches_blue and free)


def stages(s: Situation) -> tuple[float, float, float, float, float]:
    """The five stage values, each in [0, 1]: reach and grasp, lift, hover, stack, stack and leave.

    "Blended" in stage 1 is read as: reaching is worth one half, grasping the other, and grasping
    counts only once reaching is above 0.9.
    """
    grasp = float(s.grasping)
    reach = closeness(float(np.linalg.norm(s.red - s.pinch)), 0.02, 0.15)
    reach_and_grasp = 0.5 * reach
    if reach > 0.9:
        reach_and_grasp += 0.5 * max(0.5 * s.closing, grasp)

    lift = 0.0
    if s.in_workspace and reach > 0.9:
        lift = grasp * float(np.clip((s.red[2] - 0.055) / (0.10 - 0.055), 0.0, 1.0))

    above_blue = s.blue + np.array([0.0, 0.0, STACK_HEIGHT])
    hover = 0.0
    if s.red[2] >= 0.1:
        hover = closeness(float(np.linalg.norm(s.red - above_blue)), 0.01, 0.20)

    gap = s.red - above_blue
    placed = np.linalg.norm(gap[:2]) <= 0.03 and abs(gap[2]) <= 0.01
    stack = float(placed and not s.grasping)

    leave = stack * closeness(abs(float(s.pinch[2] - s.red[2]) - 0.10), 0.03, 0.05)
    return reach_and_grasp, lift, hover, stack, leave


def shaped_reward(s: Situation) -> float:
    """(Stages before the last one above 0.01, plus that one's value) / 5, in [0, 1]."""
    values = stages(s)
    for index in range(len(values) - 1, -1, -1):
        if values[index] > 0.01:
            return (index + values[index]) / len(values)
    return 0.0
