"""What rewards and success look at, read from the simulation.

Positions are in metres in the world, z above the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gato_gym.envs.block_stacking import arm, scene
from gato_gym.envs.block_stacking.shapes import Shape
from gato_gym.envs.rendering.physics import mujoco

MIN_PRESS = 0.2  # N on each pad that counts as a grasp
TABLE, ROBOT = "table", "robot"


@dataclass(frozen=True)
class Situation:
    """One moment.

    Args:
        pinch: the point between the pads, (3,).
        positions: colour -> centre of mass, (3,).
        bottoms, tops: colour -> height of its lowest and highest point.
        closing: how far the fingers are closed: 0 open, 1 closed.
        grasped: the colour that both pads press on, "" for none.
        touching: pairs of names in alphabetical order, each a colour, "table" or "robot".
    """

    pinch: np.ndarray
    positions: Mapping[str, np.ndarray]
    bottoms: Mapping[str, float]
    tops: Mapping[str, float]
    closing: float
    grasped: str
    touching: frozenset[tuple[str, str]]

    def touches(self, one: str, other: str) -> bool:
        """Whether the two are in contact."""
        return (min(one, other), max(one, other)) in self.touching

    @cached_property
    def free(self) -> bool:
        """The robot touches no object."""
        return not any(self.touches(colour, ROBOT) for colour in self.positions)

    def in_workspace(self, colour: str) -> bool:
        """The object's centre is inside the box of the pinch point, down to the table."""
        x, y, z = self.positions[colour]
        (x_low, y_low, _), (x_high, y_high, z_high) = scene.WORKSPACE_LOW, scene.WORKSPACE_HIGH
        return bool(x_low <= x <= x_high and y_low <= y <= y_high and 0.0 <= z <= z_high)


class Sensors:
    """Reads contacts, objects and the gripper of one model."""

    def __init__(self, model: Any, data: Any, shapes: Mapping[str, Shape]) -> None:
        self.model, self.data, self.shapes = model, data, shapes
        self.names = [TABLE, ROBOT, *shapes]
        # Per geom: which of `names` it is part of; and whether it is the left or the right pad.
        self._owner = np.zeros(model.ngeom, np.int64)
        base = model.body("base").id
        for geom in range(model.ngeom):
            body = model.geom_bodyid[geom]
            if model.body_rootid[body] == base:
                self._owner[geom] = 1
            elif body:
                self._owner[geom] = self.names.index(model.body(body).name)
        self._pads = model.geom("pad_left").id, model.geom("pad_right").id
        joints = [model.joint(f"finger_{side}").qposadr[0] for side in ("left", "right")]
        self._fingers = data.qpos[joints[0] : joints[1] + 1]
        self.poses = {colour: data.qpos[model.joint(colour).qposadr[0] :][:7] for colour in shapes}
        self._force = np.zeros(6)

    def opening(self) -> float:
        """Of the fingers: 0 closed .. 1 open."""
        left, right = self._fingers.tolist()
        return min(max((left + right) / arm.APERTURE, 0.0), 1.0)

    def touching(self) -> frozenset[tuple[str, str]]:
        """As `Situation.touching`."""
        pairs = {tuple(pair) for pair in self._owner[self.data.contact.geom].tolist()}
        names = self.names
        return frozenset(
            (min(names[a], names[b]), max(names[a], names[b])) for a, b in pairs if a != b
        )

    def grasped(self) -> str:
        """As `Situation.grasped`."""
        left, right = self._pads
        pressed: dict[tuple[int, int], float] = {}
        for index, (a, b) in enumerate(self.data.contact.geom.tolist()):
            pad, other = (a, b) if a in self._pads else (b, a)
            if pad in self._pads:
                mujoco.mj_contactForce(self.model, self.data, index, self._force)
                key = (pad, int(self._owner[other]))
                pressed[key] = pressed.get(key, 0.0) + float(self._force[0])
        for (pad, owner), force in pressed.items():
            opposite = pressed.get((right, owner), 0.0)
            if pad == left and owner > 1 and min(force, opposite) > MIN_PRESS:
                return self.names[owner]
        return ""

    def situation(self, pinch: np.ndarray) -> Situation:
        """The present moment."""
        positions, bottoms, tops = {}, {}, {}
        for colour, pose in self.poses.items():
            positions[colour] = pose[:3].copy()
            heights = self.shapes[colour].vertices @ vertical(pose[3:])
            bottoms[colour] = float(pose[2] + heights.min())
            tops[colour] = float(pose[2] + heights.max())
        return Situation(
            pinch=pinch,
            positions=positions,
            bottoms=bottoms,
            tops=tops,
            closing=1.0 - self.opening(),
            grasped=self.grasped(),
            touching=self.touching(),
        )


def vertical(quaternion: Any) -> np.ndarray:
    """The world's z axis in the frame of a body with that orientation (w, x, y, z)."""
    w, x, y, z = np.asarray(quaternion, np.float64) / np.linalg.norm(quaternion)
    return np.array([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)])
