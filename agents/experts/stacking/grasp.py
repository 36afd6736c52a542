"""Where to take hold of a body with a vertical two-finger gripper.

A candidate is a yaw, a place along the body and a height. The body is cut by lines along the
closing direction: where they leave it is what the pads meet. Vertical lines through the open
fingers and the palm tell what stands in their way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gato_gym.agents.experts.stacking.geometry import Body
from gato_gym.envs.block_stacking import arm

# The gripper, relative to the pinch point [m].
INSIDE = arm.APERTURE / 2  # the open pads' faces
OUTSIDE = INSIDE + arm.FINGER_DEPTH  # the open fingers' backs
WIDEST = arm.APERTURE - 0.006  # a body that the open fingers can still enclose
PAD_HALF_WIDTH, PAD_HALF_HEIGHT = arm.PAD_HALF[0], arm.PAD_HALF[2]
TIP_BELOW = PAD_HALF_HEIGHT
PALM_ABOVE = arm.PALM_CLEARANCE
PALM_HALF = (0.028, 0.070)
MARGIN = 0.003
CHECKED = 40  # candidates whose surroundings are looked at
# Points (along a pad, up) at which it may meet a body.
PAD_GRID = np.array([(a, b) for a in (-0.9, 0.0, 0.9) for b in (-0.95, -0.5, 0.0, 0.5, 0.95)])
PAD_GRID = PAD_GRID * (PAD_HALF_WIDTH, PAD_HALF_HEIGHT)
# Points (along the pads, along the closing direction) that stand for the open fingers and the palm.
FINGER_GRID = np.array(
    [
        (a, b)
        for a in (-PAD_HALF_WIDTH - MARGIN, 0.0, PAD_HALF_WIDTH + MARGIN)
        for c in (INSIDE + 0.0005, (INSIDE + OUTSIDE) / 2, OUTSIDE + MARGIN)
        for b in (c, -c)
    ]
)
BETWEEN_GRID = np.array([(a, b) for a in (-1, 0, 1) for b in (-0.9, -0.6, -0.3, 0, 0.3, 0.6, 0.9)])
BETWEEN_GRID = BETWEEN_GRID * (PAD_HALF_WIDTH, INSIDE)
PALM_GRID = np.array([(a, b) for a in (-1, 0, 1) for b in (-1, -0.5, 0, 0.5, 1)]) * PALM_HALF
# Costs are in radians of misalignment between pad and surface, or as good as that.
PER_METRE_OFF_CENTRE = 6.0
PER_METRE_OFF_HEIGHT = 3.0
PER_RADIAN_OF_TURNING = 0.05
UNGRIPPED = 0.6  # a pad that meets an edge instead of a face
PER_METRE_IN_THE_WAY = 60.0


@dataclass(frozen=True)
class Grasp:
    """A pose of the open gripper, in the frame of the body that it is for.

    Args:
        point: (3,), the pinch point.
        axis: (3,), the closing direction.
        cost: less is better; above 1 hardly any hope.
    """

    point: np.ndarray
    axis: np.ndarray
    cost: float

    def in_world(self, body: Body, yaw: float) -> tuple[np.ndarray, float]:
        """Pinch position (3,) and the yaw of the two that is nearer to `yaw` and reachable."""
        axis = body.rotation @ self.axis
        wanted = np.arctan2(-axis[0], axis[1])
        choices = [a for a in (wanted - np.pi, wanted, wanted + np.pi) if abs(a) <= np.pi / 2]
        best = min(choices, key=lambda a: abs(a - yaw), default=wanted)
        return body.rotation @ self.point + body.position, float(best)


@dataclass(frozen=True)
class Reach:
    """Where the pinch point may be [m], world."""

    low: np.ndarray
    high: np.ndarray


def plan_grasps(
    body: Body,
    others: Sequence[Body],
    yaw: float,
    reach: Reach,
    highest: float = np.inf,
    count: int = 12,
) -> list[Grasp]:
    """Grasps of a body, best first.

    Args:
        body: to take hold of.
        others: bodies to keep clear of.
        yaw: of the gripper now [rad].
        reach: of the pinch point.
        highest: how far above the body's lowest point it may be held [m].
        count: how many to return.
    """
    yaws = _yaws(body)
    closing = np.stack([-np.sin(yaws), np.cos(yaws), np.zeros_like(yaws)], axis=1)
    along = np.stack([np.cos(yaws), np.sin(yaws), np.zeros_like(yaws)], axis=1)
    heights = _heights(body, reach, highest)
    spread = (body.vertices - body.centre) @ along.T  # (n, yaws)
    shares = np.array([0.0, 0.35, -0.35, 0.7, -0.7])
    shifts = np.where(shares > 0, spread.max(axis=0)[:, None], -spread.min(axis=0)[:, None])
    shifts = shares * np.maximum(shifts - 0.004, 0.0)  # (yaws, 5)

    # Middle of each candidate, still without its place along the closing direction.
    y, s, h = (i.ravel() for i in np.indices((len(yaws), len(shares), len(heights))))
    along, closing = along[y], closing[y]
    lever = shifts[y, s]
    middle = body.centre + lever[:, None] * along
    middle[:, 2] = heights[h]
    exits, leans = body.across(middle, closing, along, PAD_GRID)
    hit = np.isfinite(exits[0])
    some = hit.any(axis=1)
    near = np.where(some, np.where(hit, exits[0], -np.inf).max(axis=1), 1.0)
    far = np.where(some, np.where(hit, exits[1], np.inf).min(axis=1), -1.0)
    some &= near - far < WIDEST
    touch = np.stack([near[:, None] - exits[0] < 0.001, exits[1] - far[:, None] < 0.001]) & hit
    number = np.maximum(touch.sum(axis=2), 1)  # (2, candidates)
    lean = (touch * leans).sum(axis=2) / number
    # The pads press past each other if they touch at different places.
    couple = np.diff(touch @ PAD_GRID / number[..., None], axis=0)[0]
    share = number.min(axis=0) / len(PAD_GRID)
    turning = np.abs(yaws - yaw)
    turning = np.minimum(turning, np.abs(turning - np.pi))[y]
    points = middle + ((near + far) / 2)[:, None] * closing
    out = np.maximum(reach.low - points, points - reach.high).max(axis=1)
    cost = (
        (lean.max(axis=0) + 0.5 * lean.sum(axis=0))
        + 30.0 * np.hypot(couple[:, 0], couple[:, 1])
        + UNGRIPPED * np.maximum(0.0, 1.0 - share / 0.4)
        + PER_METRE_OFF_CENTRE * np.maximum(np.abs(lever) - 0.008, 0.0)
        + PER_METRE_OFF_HEIGHT * np.maximum(np.abs(middle[:, 2] - body.z) - 0.008, 0.0)
        + PER_RADIAN_OF_TURNING * turning
        + 8.0 * np.maximum(near - far - 0.070, 0.0)
        + np.where(out > 0.002, 1.0 + 50.0 * np.maximum(out, 0.0), 0.0)
    )
    cost[~some] = np.inf

    order = np.argsort(cost, kind="stable")[:CHECKED]
    order = order[np.isfinite(cost[order])]
    if len(order):
        places = points[order], along[order], closing[order]
        cost[order] += in_the_way(*places, others)
        cost[order] += _above(*places, FINGER_GRID, [body], TIP_BELOW + 0.002)
        cost[order] += _above(*places, BETWEEN_GRID, others, TIP_BELOW)
    order = order[np.argsort(cost[order], kind="stable")][:count]
    back = body.rotation.T
    return [
        Grasp(back @ (points[i] - body.position), back @ closing[i], float(cost[i])) for i in order
    ]


def _yaws(body: Body) -> np.ndarray:
    """Closing directions worth trying, as yaws in [-pi/2, pi/2)."""
    normals = body.normals
    flat = np.hypot(normals[:, 0], normals[:, 1]) > 0.6
    faces = np.arctan2(-normals[flat, 0], normals[flat, 1]) % np.pi
    # Between two faces that lean towards each other.
    pairs = (faces[:, None] - faces[None, :] + np.pi / 2) % np.pi - np.pi / 2
    bisectors = (faces[None, :] + pairs / 2)[(np.abs(pairs) > 0.05) & (np.abs(pairs) < 1.0)]
    angles = np.sort(np.concatenate([faces, bisectors % np.pi]))
    angles = angles[np.append(True, np.diff(angles) > 0.02)]
    return (angles + np.pi / 2) % np.pi - np.pi / 2


def _heights(body: Body, reach: Reach, highest: float) -> np.ndarray:
    """Heights of the pinch point, lowest first."""
    low = max(reach.low[2], body.low + TIP_BELOW + 0.001)
    low = max(low, body.high - PALM_ABOVE + 0.004)
    high = min(body.high - 0.005, reach.high[2], body.low + highest)
    if high <= low:
        return np.array([low])
    middle = np.clip(body.centre[2], low, high)
    return np.unique(np.round([low, (low + middle) / 2, middle, (middle + high) / 2, high], 4))


def in_the_way(
    points: np.ndarray, along: np.ndarray, closing: np.ndarray, bodies: Sequence[Body]
) -> np.ndarray:
    """The cost (k,) of bodies that stand where the open fingers or the palm would be.

    Args:
        points: (k, 3), pinch points.
        along: (k, 3), horizontal directions along the pads.
        closing: (k, 3), horizontal directions in which the fingers close.
        bodies: what might be in the way.
    """
    fingers = _above(points, along, closing, FINGER_GRID, bodies, TIP_BELOW + 0.002)
    return fingers + _above(points, along, closing, PALM_GRID, bodies, -PALM_ABOVE)


def _above(
    points: np.ndarray,
    along: np.ndarray,
    closing: np.ndarray,
    grid: np.ndarray,
    bodies: Sequence[Body],
    below: float,
) -> np.ndarray:
    cost = np.zeros(len(points))
    middle = points[:, :2].mean(axis=0)
    spread = 0.09 + float(np.ptp(points[:, :2], axis=0).max())
    bodies = [b for b in bodies if math.dist(middle, (b.x, b.y)) < b.radius + spread]
    if not bodies:
        return cost
    shifts = grid[:, :1] * along[:, None, :2] + grid[:, 1:] * closing[:, None, :2]
    places = points[:, None, :2] + shifts
    for body in bodies:
        rise = body.tops(places) - (points[:, 2] - below)[:, None]
        inside = (rise > 0).mean(axis=1)
        worst = np.minimum(np.maximum(rise.max(axis=1), 0.0), 0.03)
        cost += np.where(inside > 0, 0.3 + PER_METRE_IN_THE_WAY * worst * np.sqrt(inside), 0.0)
    return cost
