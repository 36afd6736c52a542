"""What is to be done next, from the scene alone: the first undone job of a task.

A job moves one body to one place. Whatever lies on a body that must move, or on one that must
carry, is put aside first. So drops, pushes and noise only change which job comes first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gato_gym.agents.experts.stacking.geometry import wrapped
from gato_gym.agents.experts.stacking.view import TABLE, View

# Centres of a pyramid's two lower cubes: side by side with room for no finger between them.
NEAREST, BESIDE, FARTHEST = 0.055, 0.062, 0.070


@dataclass(frozen=True)
class Job:
    """Bring a body somewhere.

    Args:
        mover: its colour.
        place: "on" (another body), "between" (on two of them), "beside" (one of them), "aside"
            (free ground), "up" (hold it there) or "touch" (only go there).
        supports: the colours that `place` refers to.
    """

    mover: str
    place: str
    supports: tuple[str, ...] = ()


def next_job(goal: str, view: View, *pair: str) -> Job | None:
    """The first undone job; None when all that is left is to let go and retreat.

    Args:
        goal: of `gato_gym.envs.block_stacking.tasks.GOALS`.
        view: the present moment.
        pair: upper and lower that an instruction names; only "stack" takes them.
    """
    return JOBS[goal](view, *pair)


def _unload(view: View, *colours: str) -> Job | None:
    """Puts aside what lies on one of these bodies, topmost first."""
    for colour in colours:
        load = view.load(colour)
        if load:
            return _unload(view, load) or Job(load, "aside")
    return None


def _reach(view: View) -> Job | None:
    return Job("red", "touch")


def _lift(view: View) -> Job | None:
    return _unload(view, "red") or Job("red", "up")


def _stack(view: View, upper: str = "red", lower: str = "blue") -> Job | None:
    if view.stands_on(upper, lower):
        return None
    if view.held == upper:
        return _on(view, upper, lower)
    clear = _unload(view, upper)
    return clear or _on(view, upper, lower)


def _on(view: View, upper: str, lower: str) -> Job:
    load = view.load(lower)
    if load and load != upper:
        if view.held == upper:
            return Job(upper, "aside")
        return _unload(view, load) or Job(load, "aside")
    return Job(upper, "on", (lower,))


def _stack_three(view: View) -> Job | None:
    if view.stands_on("blue", "green") and view.held != "blue":
        return _stack(view, "red", "blue")
    return _stack(view, "blue", "green")


def _pyramid(view: View) -> Job | None:
    red, blue, green = (view.bodies[colour] for colour in ("red", "blue", "green"))
    above = red.z > max(blue.z, green.z) + 0.02
    on_both = view.touches("red", "blue") and view.touches("red", "green") and above
    if on_both and not view.touches("red", TABLE):
        return None
    if beside(view) and view.held != "blue":
        if view.held == "red":
            return Job("red", "between", ("blue", "green"))
        return _unload(view, "red", "blue", "green") or Job("red", "between", ("blue", "green"))
    if view.held == "red":
        return Job("red", "aside")
    return _unload(view, "blue", "green") or Job("blue", "beside", ("green",))


def beside(view: View) -> bool:
    """Blue and green stand side by side, near but apart, faces along each other."""
    blue, green = view.bodies["blue"], view.bodies["green"]
    if abs(blue.low) > 0.004 or abs(green.low) > 0.004:
        return False
    distance = math.hypot(blue.x - green.x, blue.y - green.y)
    return NEAREST < distance < FARTHEST and not view.touches("blue", "green")


def sides(view: View, colour: str) -> list[np.ndarray]:
    """The four horizontal directions (2,) of an upright cube's faces."""
    rotation = view.bodies[colour].rotation
    flat = rotation[:, int(np.argmin(np.abs(rotation[2])))][:2]
    flat = flat / np.linalg.norm(flat)
    across = np.array([-flat[1], flat[0]])
    return [flat, across, -flat, -across]


def square_turns(angle: float, yaw: float) -> np.ndarray:
    """Turns from `yaw` that bring it to `angle` or a quarter turn away from it."""
    first = wrapped(angle - yaw, np.pi / 2)
    return first + np.pi / 2 * np.arange(-2, 3)


JOBS: dict[str, Callable[..., Job | None]] = {
    "reach": _reach,
    "lift": _lift,
    "stack": _stack,
    "stack_three": _stack_three,
    "pyramid": _pyramid,
}
