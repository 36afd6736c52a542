"""What the stacking script knows at one step: the gripper, the bodies and who touches whom."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gato_gym.agents.experts.stacking.geometry import Body, Solid

TABLE, ROBOT = "table", "robot"
LIFTED = 0.006  # m; a body whose lowest point is higher does not stand on the ground
POSE = 7  # numbers in the state of a free body
STILL = 2e-4  # a pose that changed less than this did not change


class View:
    """One moment.

    Args:
        pinch: (3,), the point between the pads [m], world.
        yaw: of the gripper [rad].
        opening: of the fingers, 0 closed .. 1 open.
        held: the colour that both pads press on, or "".
        bodies: colour -> body.
        touching: pairs of names in alphabetical order: colours, "table", "robot".
    """

    def __init__(
        self,
        pinch: np.ndarray,
        yaw: float,
        opening: float,
        held: str,
        bodies: dict[str, Body],
        touching: frozenset[tuple[str, str]],
    ) -> None:
        self.pinch, self.yaw, self.opening, self.held = pinch, yaw, opening, held
        self.bodies, self.touching = bodies, touching

    def touches(self, one: str, other: str) -> bool:
        """Whether the two are in contact."""
        return (min(one, other), max(one, other)) in self.touching

    def others(self, *colours: str) -> list[Body]:
        """All bodies but these."""
        return [body for colour, body in self.bodies.items() if colour not in colours]

    def load(self, colour: str) -> str:
        """The colour of what lies on a body, "" if nothing does; what is held is no load."""
        carrier = self.bodies[colour]
        for other, body in self.bodies.items():
            if other in (colour, self.held) or body.z < carrier.z + 0.01:
                continue
            if body.low > LIFTED:
                if (
                    math.hypot(body.x - carrier.x, body.y - carrier.y)
                    > carrier.radius + body.radius
                ):
                    continue
                # It lies on something, which need not be this body if there is a third.
                if self.touches(other, colour) or not self._carried_by_another(other, colour):
                    return other
            elif self.touches(other, colour) and carrier.tops(body.centre[:2]) > 0.0:
                return other
        return ""

    def _carried_by_another(self, colour: str, carrier: str) -> bool:
        return any(self.touches(colour, other) for other in self.bodies if other != carrier)

    def stands_on(self, upper: str, lower: str) -> bool:
        """`upper` lies on `lower` as far as geometry tells, whether or not it is still held."""
        if not self.touches(upper, lower) or self.touches(upper, TABLE):
            return False
        one, two = self.bodies[upper], self.bodies[lower]
        return math.hypot(one.x - two.x, one.y - two.y) < 0.049 and one.z - two.z > 0.021


class Eyes:
    """Makes views of one environment; remembers bodies that lie still."""

    def __init__(self, env: Any) -> None:
        self._env = env.unwrapped
        self._model: Any = None
        self._bodies: dict[str, Body] = {}

    def look(self) -> View:
        """The present moment."""
        env, sensors = self._env, self._env.sensors
        if env.model is not self._model:
            self._meet()
        change = np.abs(self._poses - self._seen).reshape(-1, POSE).max(axis=1).tolist()
        for index, (colour, solid) in enumerate(self._solids.items()):
            if change[index] > STILL:
                pose = slice(POSE * index, POSE * (index + 1))
                self._seen[pose] = self._poses[pose]
                rotation = self._rotations[index].reshape(3, 3).copy()
                self._bodies[colour] = Body(solid, rotation, self._positions[index].copy())
        pinch, yaw = env.controller.pose()
        gripper = sensors.opening(), sensors.grasped()
        return View(pinch, yaw, *gripper, dict(self._bodies), sensors.touching())

    def _meet(self) -> None:
        """Tasks that draw shapes build a new model for an episode: finds its bodies."""
        env, model = self._env, self._env.model
        self._model = model
        self._solids = {
            c: Solid.of(shape.vertices, shape.faces()) for c, shape in env.shapes.items()
        }
        # The objects were added one after the other, so their rows are neighbours.
        count, first = len(self._solids), next(iter(self._solids))
        rows = slice(model.body(first).id, model.body(first).id + count)
        self._positions, self._rotations = env.data.xpos[rows], env.data.xmat[rows]
        start = int(model.joint(first).qposadr[0])
        self._poses = env.data.qpos[start : start + POSE * count]
        self._seen = np.full(POSE * count, np.inf)
