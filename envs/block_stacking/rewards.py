"""Success and shaped reward of every goal, as pure functions of a `Situation`.

Stacking follows facts sheet 9.5. There a stacked object is 4 cm above the other's centre, one
number for all objects; here it is where the two touch as they are turned now (5 cm for cubes), and
heights of the lifted object are those of its lowest point, so that tall ones are not lifted by
standing. The other goals are ours and are built of the same stages.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gato_gym.envs.block_stacking.situation import ROBOT, TABLE, Situation

REACHED = 0.02  # m between the pinch point and red's centre
LIFTED = 0.05  # m of red's lowest point above the table
BESIDE = 0.065  # m between the centres of the two lower cubes of a pyramid
# tanh(w * margin)^2 = 0.95: the loss at the margin.
_LOSS_AT_MARGIN = math.atanh(math.sqrt(0.95))


def closeness(distance: float, tolerance: float, margin: float) -> float:
    """1 within `tolerance`, then a tanh^2 fall-off that has lost 95 % at `margin`."""
    if distance <= tolerance:
        return 1.0
    return 1.0 - math.tanh(_LOSS_AT_MARGIN * distance / margin) ** 2


def above(s: Situation, upper: str, lower: str) -> bool:
    """`upper` is placed as if on `lower`: less than 5 cm aside, more than 2 cm higher."""
    x, y, z = (s.positions[upper] - s.positions[lower]).tolist()
    return math.hypot(x, y) < 0.05 and z > 0.02


def stacked(s: Situation, upper: str, lower: str) -> bool:
    """`upper` rests on `lower`, on nothing else, and the robot has let go of it (facts 9.5)."""
    free = not s.touches(upper, TABLE) and not s.touches(upper, ROBOT)
    return above(s, upper, lower) and s.touches(upper, lower) and free


def _reached(s: Situation) -> bool:
    return bool(np.linalg.norm(s.positions["red"] - s.pinch) < REACHED)


def _lifted(s: Situation) -> bool:
    others = (colour for colour in s.positions if colour != "red")
    held = s.touches("red", ROBOT) and not any(s.touches("red", other) for other in others)
    return held and s.bottoms["red"] >= LIFTED


def _stacked(s: Situation, upper: str = "red", lower: str = "blue") -> bool:
    return stacked(s, upper, lower)


def _stacked_three(s: Situation) -> bool:
    return stacked(s, "red", "blue") and stacked(s, "blue", "green") and s.free


def _pyramid(s: Situation) -> bool:
    height = s.positions["red"][2] - 0.02
    for lower in ("blue", "green"):
        stands = s.touches(lower, TABLE) and s.positions[lower][2] < height
        if not (stands and s.touches("red", lower)):
            return False
    return not s.touches("red", TABLE) and s.free


def out_of_question(goal: str, pinch: float, upper: float, lower: float) -> bool:
    """Whether the heights alone rule success out: nearly always, and contacts need no reading.

    Args:
        goal: key of `SUCCESS`.
        pinch, upper, lower: height [m] of the pinch point, of the centre of what is to be moved
            (red where no instruction says otherwise) and of what is to carry it (blue).
    """
    if goal == "reach":
        return abs(upper - pinch) > REACHED
    if goal == "lift":
        return upper < LIFTED
    return upper - lower <= 0.02


def stages(
    s: Situation, upper: str, target: np.ndarray
) -> tuple[float, float, float, float, float]:
    """The five stages of putting `upper` at `target`, each in [0, 1].

    Reach and grasp, lift, hover, stack, stack and leave. "Blended" in the first is read as:
    reaching is worth one half, grasping the other, and grasping counts only once reaching is
    above 0.9.
    """
    here, bottom = s.positions[upper], s.bottoms[upper]
    grasping = s.grasped == upper
    reach = closeness(float(np.linalg.norm(here - s.pinch)), REACHED, 0.15)
    reach_and_grasp = 0.5 * reach
    if reach > 0.9:
        reach_and_grasp += 0.5 * max(0.5 * s.closing, float(grasping))

    lift = 0.0
    if grasping and s.in_workspace(upper) and reach > 0.9:
        lift = min(max((bottom - 0.03) / 0.045, 0.0), 1.0)

    gap = here - target
    hover = 0.0
    if bottom >= 0.075:
        hover = closeness(float(np.linalg.norm(gap)), 0.01, 0.20)

    placed = math.hypot(gap[0], gap[1]) <= 0.03 and abs(gap[2]) <= 0.01
    stack = float(placed and not grasping)

    leave = stack * closeness(abs(float(s.pinch[2] - here[2]) - 0.10), 0.03, 0.05)
    return reach_and_grasp, lift, hover, stack, leave


def progress(values: tuple[float, ...]) -> float:
    """(Stages before the last one above 0.01, plus that one's value) / their number."""
    for index in range(len(values) - 1, -1, -1):
        if values[index] > 0.01:
            return (index + values[index]) / len(values)
    return 0.0


def on_top(s: Situation, upper: str, lower: str) -> np.ndarray:
    """Where the centre of `upper`, turned as it is now, would be if it stood on `lower`."""
    height = s.tops[lower] + s.positions[upper][2] - s.bottoms[upper]
    return np.array([*s.positions[lower][:2], height])


def _shaped_reach(s: Situation) -> float:
    return closeness(float(np.linalg.norm(s.positions["red"] - s.pinch)), REACHED, 0.15)


def _shaped_lift(s: Situation) -> float:
    return progress(stages(s, "red", s.positions["red"])[:2])


def _shaped_stack(s: Situation, upper: str = "red", lower: str = "blue") -> float:
    return progress(stages(s, upper, on_top(s, upper, lower)))


def _shaped_three(s: Situation) -> float:
    if not stacked(s, "blue", "green"):
        return 0.5 * progress(stages(s, "blue", on_top(s, "blue", "green")))
    return 0.5 + 0.5 * _shaped_stack(s)


def _shaped_pyramid(s: Situation) -> float:
    blue, green = s.positions["blue"], s.positions["green"]
    apart = float(np.linalg.norm(blue - green))
    if apart > BESIDE:
        reach = closeness(float(np.linalg.norm(blue - s.pinch)), REACHED, 0.15)
        return 0.4 * (0.4 * reach + 0.5 * closeness(apart - BESIDE, 0.0, 0.2))
    target = on_top(s, "red", "blue")
    target[:2] = (blue + green)[:2] / 2
    return 0.4 + 0.6 * progress(stages(s, "red", target))


# "stack" also takes the pair that an instruction names: (situation, upper, lower).
SUCCESS: dict[str, Callable[..., bool]] = {
    "reach": _reached,
    "lift": _lifted,
    "stack": _stacked,
    "stack_three": _stacked_three,
    "pyramid": _pyramid,
}
SHAPED: dict[str, Callable[..., float]] = {
    "reach": _shaped_reach,
    "lift": _shaped_lift,
    "stack": _shaped_stack,
    "stack_three": _shaped_three,
    "pyramid": _shaped_pyramid,
}
