"""How the hand moves: funnels that turn a goal pose and the present view into one action.

How low the tool may go is a continuous function of how well it is aligned, so that noise at any
moment only lifts it again. Outputs are velocities [m/s], a yaw rate [rad/s] and the gripper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gato_gym.agents.experts.stacking.geometry import Body
from gato_gym.agents.experts.stacking.grasp import PALM_ABOVE, TIP_BELOW
from gato_gym.agents.experts.stacking.place import Placement
from gato_gym.agents.experts.stacking.view import View
from gato_gym.envs.block_stacking import scene

OPEN, CLOSE = -1.0, 1.0
OPENED = 0.85  # opening from which the fingers are out of the way
GAP = 0.010  # m kept between what moves and what it flies over
CEILING = scene.WORKSPACE_HIGH[2]
LEVER = 0.05  # m; turns count as motion of this radius
CORRIDOR = 0.075  # m, half the width of what the open gripper sweeps


@dataclass(frozen=True)
class Tolerance:
    """How well the hand must stand before it goes down and closes or opens.

    Args:
        aside: of the place [m].
        turn: of the angle [rad]; it turns all the way, but does not wait for the rest.
    """

    aside: float = 0.004
    turn: float = 0.0


STRICT = Tolerance()


@dataclass(frozen=True)
class Motion:
    """One step: how far to go [m], how far to turn [rad] and the gripper's command."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    turn: float = 0.0
    grip: float = OPEN


def approach(
    view: View,
    target: Body,
    point: tuple[float, float, float],
    yaw: float,
    obstacles: list[Body],
    tolerance: Tolerance = STRICT,
) -> tuple[Motion, float]:
    """Towards a grasp pose with open fingers; also returns how far off it is [m]."""
    x, y, z = (goal - here for goal, here in zip(point, view.pinch.tolist(), strict=True))
    turn = yaw - view.yaw
    aside = math.hypot(x, y)
    error = max(aside, LEVER * max(0.0, abs(turn) - tolerance.turn))
    if view.opening < OPENED:
        # Near a body the fingers first open where they are.
        near = min(math.dist((b.x, b.y, b.z), view.pinch) for b in view.bodies.values())
        return Motion(z=0.05 if near > 0.10 else 0.0), 1.0
    hover = target.high + TIP_BELOW + GAP
    if aside > 0.02:
        tops = _tops_on_the_way(view, point[0], point[1], obstacles, CORRIDOR)
        hover = max(hover, tops + TIP_BELOW + GAP)
    hover = min(hover, CEILING)
    rise = z + min(max((error - tolerance.aside) * 6.0, 0.0), max(0.0, hover - point[2]))
    error = max(error, 1.5 * abs(z))
    if rise > 0.012:
        return Motion(0.0, 0.0, rise, turn if rise < 0.03 else 0.0), error
    return Motion(x, y, rise, turn), error


def carry(
    view: View,
    held: Body,
    place: Placement,
    obstacles: list[Body],
    tolerance: Tolerance = STRICT,
) -> tuple[Motion, float, float]:
    """Brings a held body over its place and down on it.

    Returns:
        The motion, the horizontal error [m] and the height of the body above the place [m].
    """
    goal_x, goal_y = place.centre.tolist()
    x, y = goal_x - held.x, goal_y - held.y
    turn = place.yaw - view.yaw
    aside = math.hypot(x, y)
    error = max(aside, LEVER * max(0.0, abs(turn) - tolerance.turn))
    height = held.low - place.height
    pinch = float(view.pinch[2])
    below = max(0.0, held.low - pinch + TIP_BELOW)  # how far the fingers reach below the body
    if aside < tolerance.aside + 0.008:
        clearance = GAP + 0.012
    else:
        margin = max(held.solid.radius, CORRIDOR)
        tops = _tops_on_the_way(view, goal_x, goal_y, obstacles, margin)
        clearance = max(0.0, tops - place.height) + GAP + below
    wanted = min(max((error - tolerance.aside) * 4.0, 0.0), clearance) - 0.001
    rise = min(wanted - height, CEILING - pinch)
    if rise > 0.010:
        return Motion(0.0, 0.0, rise, 0.0 if height < 0.010 else turn, CLOSE), error, height
    return Motion(x, y, rise, turn, CLOSE), error, height


def retreat(view: View, top: float) -> Motion:
    """Opens, then rises straight up until the fingers are well above `top`."""
    if view.opening < OPENED:
        return Motion()
    rise = min(top + PALM_ABOVE, CEILING) - float(view.pinch[2])
    return Motion(z=max(0.0, rise))


def _tops_on_the_way(
    view: View, goal_x: float, goal_y: float, obstacles: list[Body], margin: float
) -> float:
    """The highest point of the bodies that are less than `margin` from the straight way."""
    x, y, _ = view.pinch.tolist()
    way_x, way_y = goal_x - x, goal_y - y
    length = way_x * way_x + way_y * way_y
    top = 0.0
    for body in obstacles:
        off_x, off_y = body.x - x, body.y - y
        share = min(max((off_x * way_x + off_y * way_y) / max(length, 1e-9), 0.0), 1.0)
        gap = math.hypot(off_x - share * way_x, off_y - share * way_y)
        if gap < body.radius + margin:
            top = max(top, body.high)
    return top
