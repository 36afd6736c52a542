"""Where to put a held body down: on another body's upper face, or on free ground.

The tool stays vertical, so the body keeps its tilt and may only be turned about the vertical.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gato_gym.agents.experts.stacking.geometry import Body, about_z, inside
from gato_gym.agents.experts.stacking.grasp import Reach, in_the_way

ENOUGH = 0.010  # m inside the supporting faces; more is hardly safer
SLOPE = 0.08  # rad; less is level
FARTHEST = 0.042  # m between the centres of a stack (facts sheet 9.5 allows 0.05)
GRID = np.stack(np.meshgrid(*[np.linspace(-0.042, 0.042, 17)] * 2), axis=-1).reshape(-1, 2)
TURNS = np.radians([0, 15, -15, 30, -30, 45, -45, 60, -60, 90, -90, 120, -120, 150, -150])


@dataclass(frozen=True)
class Placement:
    """Where a held body goes.

    Args:
        centre: (2,), of its centre of mass, world [m].
        yaw: of the gripper [rad].
        height: of the surface below it [m].
    """

    centre: np.ndarray
    yaw: float
    height: float


def best_spot(support: Body, held: Body) -> np.ndarray:
    """Where over a body to let another one go.

    On a slope the held body first meets the upper edge and then turns about it onto the face, which
    moves its centre downhill.

    Returns:
        (2,) for its centre of mass.
    """
    top, slope = support.upper_face()
    base, lean = support.lower_face()
    corners = top[:, :2]
    spots = support.centre[:2] + GRID  # where the centre comes to rest
    margin = inside(corners, spots)
    if lean < 0.15:
        # Two equal masses: their common centre moves half as far as the upper one.
        common = (spots + support.centre[:2]) / 2
        margin = np.minimum(margin, 2.0 * inside(base[:, :2], common))
    start = spots
    if slope > SLOPE:
        downhill = _downhill(support)
        start = spots - (held.centre[2] - held.low) * np.sin(slope) * downhill
        margin = np.minimum(margin, inside(corners, start) + 0.003)
    distance = np.hypot(GRID[:, 0], GRID[:, 1])
    margin = np.where(distance > FARTHEST, -1.0, margin)
    best = int(np.argmax(np.minimum(margin, ENOUGH) - 0.15 * distance + 0.05 * margin))
    return start[best]


def _downhill(support: Body) -> np.ndarray:
    normal = support.normals[np.argmax(support.normals[:, 2])][:2]
    return normal / np.linalg.norm(normal)


def turns_for(support: Body, held: Body) -> tuple[np.ndarray, np.ndarray]:
    """Turns [rad] of a held body that are worth trying, and what each costs.

    Any on a level face. On a slope one of its edges must meet the upper edge, and once it leans it
    must still have its centre of mass above its own lower face.
    """
    _, slope = support.upper_face()
    if slope <= SLOPE:
        return TURNS, np.zeros(len(TURNS))
    downhill = _downhill(support)
    corners, _ = held.lower_face()
    corners = corners[:, :2] - held.centre[:2]
    edges = np.roll(corners, -1, axis=0) - corners
    edges = edges[np.hypot(edges[:, 0], edges[:, 1]) > 0.01]
    turns = np.arctan2(downhill[0], -downhill[1]) - np.arctan2(edges[:, 1], edges[:, 0])
    turns = np.concatenate([turns + half for half in (-2 * np.pi, -np.pi, 0.0, np.pi)])
    turns = turns[np.abs(turns) < np.pi]
    shift = (held.centre[2] - held.low) * np.tan(slope) * downhill
    turned = [corners @ about_z(turn)[:2, :2].T for turn in turns]
    uphill = np.array([-(corners @ downhill).min() for corners in turned])
    then = np.array([inside(corners, shift) for corners in turned])
    costs = 30.0 * (np.maximum(0.0, 0.018 - uphill) + np.maximum(0.0, 0.016 - then))
    return turns, costs


def plan_placement(
    held: Body,
    spot: np.ndarray,
    height: float,
    pinch: np.ndarray,
    yaw: float,
    obstacles: Sequence[Body],
    reach: Reach,
    turns: np.ndarray = TURNS,
    costs: np.ndarray | float = 0.0,
) -> Placement:
    """Chooses the turn of a held body over a spot.

    Args:
        held: the body in the gripper.
        spot: (2,), where its centre of mass goes.
        height: of the surface there.
        pinch, yaw: of the gripper now.
        obstacles: what the body and the opening fingers must not meet.
        reach: of the pinch point.
        turns: angles to try [rad].
        costs: of each of them.
    """
    costs = np.broadcast_to(costs, turns.shape)
    possible = np.abs(yaw + turns) <= np.pi / 2 + 1e-6
    turns, costs = turns[possible], costs[possible]
    if not len(turns):
        return Placement(spot, yaw, height)
    yaws = yaw + turns
    c, s, none = np.cos(yaws), np.sin(yaws), np.zeros_like(yaws)
    along, closing = np.stack([c, s, none], axis=1), np.stack([-s, c, none], axis=1)
    spins = np.array([about_z(turn) for turn in turns])
    centre = np.array([*spot, held.centre[2] + height - held.low])
    pinches = centre + spins @ (pinch - held.centre)
    corners = centre[:2] + ((held.vertices - held.centre) @ spins.transpose(0, 2, 1))[..., :2]
    cost = costs + 0.05 * np.abs(turns) + in_the_way(pinches, along, closing, obstacles)
    cost += 3.0 * _overlap(corners, centre[:2], height, obstacles)
    out = np.maximum(reach.low - pinches, pinches - reach.high).max(axis=1)
    cost += 20.0 * np.maximum(0.0, out)
    return Placement(spot, float(yaws[np.argmin(cost)]), height)


def _overlap(
    corners: np.ndarray, middle: np.ndarray, low: float, obstacles: Sequence[Body]
) -> np.ndarray:
    """The share (k,) of bodies' outlines (k, n, 2) that would lie inside the obstacles."""
    arms = corners - middle
    points = np.concatenate([corners, middle + 0.5 * arms, middle + 1.1 * arms], axis=1)
    share = np.zeros(len(corners))
    for body in obstacles:
        if np.hypot(*(body.centre[:2] - middle)) < body.radius + 1.1 * np.abs(arms).max() * 1.5:
            share += (body.tops(points) > low - 0.004).mean(axis=1)
    return share


def free_spot(held: Body, bodies: Sequence[Body], reach: Reach, near: np.ndarray) -> np.ndarray:
    """(2,): where on the ground a body is farthest from the others, not far from `near`."""
    xs = np.linspace(reach.low[0] + 0.03, reach.high[0] - 0.03, 9)
    ys = np.linspace(reach.low[1] + 0.03, reach.high[1] - 0.03, 9)
    spots = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    room = np.full(len(spots), np.inf)
    for body in bodies:
        gap = np.linalg.norm(body.vertices[:, None, :2] - spots, axis=-1).min(axis=0)
        middle = np.linalg.norm(body.centre[:2] - spots, axis=-1)
        room = np.minimum(room, np.minimum(gap, middle))
    radius = float(np.linalg.norm(held.vertices[:, :2] - held.centre[:2], axis=1).max())
    score = np.minimum(room, radius + 0.07) - 0.15 * np.linalg.norm(spots - near, axis=1)
    return spots[int(np.argmax(score))]
