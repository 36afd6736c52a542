"""What the stacker remembers: where to take hold of a body, and where to put it down.

Every choice is made again when what it was made from has changed.
"""

from __future__ import annotations

import math

import numpy as np

from gato_gym.agents.experts.stacking.geometry import Body
from gato_gym.agents.experts.stacking.grasp import Grasp, Reach, plan_grasps
from gato_gym.agents.experts.stacking.place import (
    Placement,
    best_spot,
    free_spot,
    plan_placement,
    turns_for,
)
from gato_gym.agents.experts.stacking.script import BESIDE, Job, sides, square_turns
from gato_gym.agents.experts.stacking.view import View

PLAN_EVERY = 6  # steps; a body in motion is not worth more plans than that
MOVED = 0.006  # m by which a body may move before its grasp is planned again
TURNED = 0.10  # of its rotation matrix, likewise
HAND_TURNED = 0.2  # rad; then another side may be nearer, and nobody sees which one was meant
SUPPORT_MOVED = 0.004  # m by which what will carry may move before the place is planned again
BLOCKED = 0.8  # cost of a grasp that is better avoided
MOST_FAILURES = 8  # after which nothing more is cleared away
CLEARED = 0.03  # m
ROOM_ABOVE = 0.015  # m between the hand and the ceiling over a stack


class GraspChoice:
    """The chosen grasp, those that failed, and the body that is in the way of all good ones."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self._job: Job | None = None
        self._grasp: Grasp | None = None
        self._body: Body | None = None
        self._planned, self._yaw = 0, 0.0
        self._failed: list[tuple[str, Grasp]] = []
        self._blocker: tuple[str, Body] | None = None
        self._posed: tuple[Grasp | None, Body | None] = None, None  # what `_pose` is of
        self._pose = (0.0, 0.0, 0.0), 0.0

    def pose(
        self, view: View, job: Job, step: int, *, keep: bool
    ) -> tuple[tuple[float, float, float], float]:
        """Where the open hand is to be for a job's body: pinch point [m] and yaw [rad], world.

        Args:
            view: the present moment.
            job: whose mover is to be taken hold of.
            step: of the episode.
            keep: do not change the grasp now, as the fingers are closing.
        """
        grasp = self.grasp(view, job, step, keep=keep)
        body = view.bodies[job.mover]
        if grasp is not self._posed[0] or body is not self._posed[1]:
            point, yaw = grasp.in_world(body, view.yaw)
            x, y, z = np.minimum(np.maximum(point, self.reach.low), self.reach.high).tolist()
            self._posed = grasp, body
            self._pose = (x, y, z), yaw
        return self._pose

    def grasp(self, view: View, job: Job, step: int, *, keep: bool) -> Grasp:
        """The grasp for a job's body, in its frame.

        Args:
            view: the present moment.
            job: whose mover is to be taken hold of.
            step: of the episode.
            keep: do not change it now, as the fingers are closing.
        """
        body = view.bodies[job.mover]
        if self._grasp is not None and self._body is not None and self._job == job:
            if keep or step - self._planned < PLAN_EVERY:
                return self._grasp
            if abs(view.yaw - self._yaw) < HAND_TURNED and not self._has_moved(body):
                return self._grasp
        highest = math.inf
        if job.supports:
            top = max(view.bodies[colour].high for colour in job.supports)
            highest = float(self.reach.high[2]) - ROOM_ABOVE - top
        grasps = plan_grasps(body, view.others(job.mover), view.yaw, self.reach, highest)
        if not grasps:  # nothing fits between the fingers: try its middle
            grasps = [Grasp(np.zeros(3), body.rotation.T @ [0.0, 1.0, 0.0], 9.0)]
        if job.place != "aside" and grasps[0].cost > BLOCKED:
            self._find_blocker(view, job, grasps[0].cost, highest)
        self._grasp = min(grasps, key=lambda grasp: grasp.cost + self._regret(job, grasp))
        self._job, self._body, self._planned, self._yaw = job, body, step, view.yaw
        return self._grasp

    def _has_moved(self, body: Body) -> bool:
        """Whether it is elsewhere than when its grasp was planned."""
        before = self._body
        if before is None or body is before:
            return False
        moved = np.abs(body.position - before.position).max() >= MOVED
        return bool(moved or np.abs(body.rotation - before.rotation).max() >= TURNED)

    def give_up(self, job: Job) -> None:
        """Remembers that the grasp of a job's body did not work."""
        if self._grasp is not None and self._job is not None and self._job.mover == job.mover:
            self._failed.append((job.mover, self._grasp))
        self._grasp = None

    def clearing(self, view: View) -> Job | None:
        """The job of putting a blocker aside, until it has been moved and let go."""
        if self._blocker is None:
            return None
        colour, before = self._blocker
        body = view.bodies[colour]
        moved = math.hypot(body.x - before.x, body.y - before.y) > CLEARED
        if moved and view.held != colour:
            self._blocker = None
            return None
        return Job(colour, "aside")

    def _find_blocker(self, view: View, job: Job, cost: float, highest: float) -> None:
        if len(self._failed) >= MOST_FAILURES:
            return
        body = view.bodies[job.mover]
        for colour, other in view.bodies.items():
            if colour == job.mover:
                continue
            rest = view.others(job.mover, colour)
            without = plan_grasps(body, rest, view.yaw, self.reach, highest, 1)
            own = plan_grasps(other, view.others(colour), view.yaw, self.reach, count=1)
            if without and own and without[0].cost < cost - 0.4 and own[0].cost < BLOCKED:
                self._blocker = colour, other
                return

    def _regret(self, job: Job, grasp: Grasp) -> float:
        """What is added to the cost of a grasp that resembles one that failed."""
        cost = 0.0
        for colour, failed in self._failed:
            if colour == job.mover:
                near = float(np.linalg.norm(failed.point - grasp.point)) < 0.010
                alike = abs(float(failed.axis @ grasp.axis)) > 0.97
                cost += 0.5 * (near + alike)
        return cost


class PlaceChoice:
    """The chosen place of the body that is held."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self._job: Job | None = None
        self._place: Placement | None = None
        self._supports: list[Body] = []

    @property
    def made(self) -> bool:
        """A body is on its way to a place."""
        return self._place is not None

    def forget(self) -> None:
        """Nothing is held any more."""
        self._place = None

    def place(self, view: View, job: Job, base: str = "blue") -> Placement:
        """The place for a job's body; what is put aside stays near `base`, which will carry."""
        supports = [view.bodies[colour] for colour in job.supports]
        if self._place is None or self._job != job or self._moved(supports):
            self._place = self._choose(view, job, supports, base)
            self._job, self._supports = job, supports
        return self._place

    def _moved(self, supports: list[Body]) -> bool:
        return any(
            now is not before
            and math.dist((now.x, now.y, now.z), (before.x, before.y, before.z)) > SUPPORT_MOVED
            for now, before in zip(supports, self._supports, strict=True)
        )

    def _choose(self, view: View, job: Job, supports: list[Body], base: str) -> Placement:
        held = view.bodies[job.mover]
        others = view.others(job.mover, *job.supports)
        hand = (view.pinch, view.yaw)
        if job.place == "on":
            spot, top = best_spot(supports[0], held), supports[0].high
            turns, costs = turns_for(supports[0], held)
            return plan_placement(held, spot, top, *hand, others, self.reach, turns, costs)
        if job.place == "between":
            first, second = supports
            spot = (first.centre + second.centre)[:2] / 2
            turns = square_turns(math.atan2(first.y - second.y, first.x - second.x), view.yaw)
            top = max(first.high, second.high)
            return plan_placement(held, spot, top, *hand, others, self.reach, turns)
        if job.place == "beside":
            return self._beside(view, held, job.supports[0], others)
        near = held.centre if job.mover == base else view.bodies[base].centre
        spot = free_spot(held, others, self.reach, near[:2])
        return plan_placement(held, spot, 0.0, *hand, others, self.reach)

    def _beside(self, view: View, held: Body, colour: str, others: list[Body]) -> Placement:
        """Next to a cube, faces along its faces, the fingers not between the two."""
        support = view.bodies[colour]
        low, high = self.reach.low[:2] + 0.01, self.reach.high[:2] - 0.01

        def cost(spot: np.ndarray) -> float:
            out = float(np.maximum(low - spot, spot - high).max())
            room = min(math.dist(spot, (body.x, body.y)) for body in others)
            far = math.dist(spot, (held.x, held.y))
            return 50.0 * max(0.0, out) + 20.0 * max(0.0, 0.10 - room) + far

        spots = [support.centre[:2] + BESIDE * side for side in sides(view, colour)]
        spot = min(spots, key=cost)
        angle = math.atan2(spot[1] - support.y, spot[0] - support.x)
        turn = (angle - view.yaw + math.pi / 2) % math.pi - math.pi / 2
        if abs(view.yaw + turn) > math.pi / 2:
            turn -= math.copysign(math.pi, turn)
        return Placement(spot, view.yaw + turn, 0.0)
