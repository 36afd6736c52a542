"""Convex bodies and the few questions that a stacking planner asks of them.

All lengths in metres. A `Body` lies in the world; its faces are half-spaces `normal @ x <= offset`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

PARALLEL = 1e-6


@dataclass(frozen=True)
class Solid:
    """A convex polyhedron in its own frame, whose origin is its centre of mass.

    Args:
        vertices: (n, 3).
        normals: (f, 3), outward.
        offsets: (f,), of the faces' planes from the frame's origin.
        faces: per face the vertices' indices in order around it, counter-clockwise from outside.
    """

    vertices: np.ndarray
    normals: np.ndarray
    offsets: np.ndarray
    faces: tuple[np.ndarray, ...]

    @cached_property
    def radius(self) -> float:
        """Distance of the farthest corner from the centre of mass [m]."""
        return float(np.linalg.norm(self.vertices, axis=1).max())

    @staticmethod
    def of(vertices: np.ndarray, faces: Sequence[np.ndarray]) -> Solid:
        """A convex polyhedron whose frame's origin is its centre of mass.

        Args:
            vertices: (n, 3).
            faces: each the vertices' indices, counter-clockwise from outside.
        """
        corners = np.array([vertices[face[:3]] for face in faces])
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        offsets = (corners[:, 0] * normals).sum(axis=1)
        return Solid(vertices, normals, offsets, tuple(faces))


class Body:
    """A solid at a pose in the world.

    Args:
        solid: its shape.
        rotation: (3, 3), from its frame to the world's.
        position: (3,), of its frame's origin.
    """

    def __init__(self, solid: Solid, rotation: np.ndarray, position: np.ndarray) -> None:
        self.solid, self.rotation, self.position = solid, rotation, position
        self.x, self.y, self.z = position.tolist()
        heights = (solid.vertices @ rotation[2]).tolist()
        self.low, self.high = self.z + min(heights), self.z + max(heights)

    @cached_property
    def vertices(self) -> np.ndarray:
        """(n, 3), in the world."""
        return self.solid.vertices @ self.rotation.T + self.position

    @property
    def centre(self) -> np.ndarray:
        """(3,), of mass."""
        return self.position

    @cached_property
    def radius(self) -> float:
        """Horizontal distance of the farthest corner from the centre [m]."""
        x, y = self.rotation[:2] @ self.solid.vertices.T
        return math.sqrt((x * x + y * y).max())

    @cached_property
    def normals(self) -> np.ndarray:
        """(f, 3), outward, in the world."""
        return self.solid.normals @ self.rotation.T

    def tops(self, points: np.ndarray) -> np.ndarray:
        """The height of the body above horizontal points (..., 2); -inf beside it."""
        room = self._offsets - points @ self.normals[:, :2].T
        rise = self.normals[:, 2]
        up, down = rise > PARALLEL, rise < -PARALLEL
        top = (room[..., up] / rise[up]).min(axis=-1)
        bottom = (room[..., down] / rise[down]).max(axis=-1)
        beside = (room[..., ~(up | down)] < 0.0).any(axis=-1)
        return np.where(beside | (top < bottom), -np.inf, top)

    def across(
        self, middles: np.ndarray, closing: np.ndarray, along: np.ndarray, grid: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where horizontal lines through the area of a pad leave the body, and how slanted it is.

        Args:
            middles: (k, 3), the middle of each area.
            closing: (k, 3), the lines' direction.
            along: (k, 3), horizontal and across the lines.
            grid: (g, 2), the lines' places in the area: along it and up.

        Returns:
            (2, k, g): the distances to the exits ahead and, as negative numbers, behind; infinite
            where a line misses. And (2, k, g) the angles there between line and surface normal.
        """
        normals = self.normals
        speed = closing @ normals.T  # (k, f)
        room = self._offsets - middles @ normals.T
        steps = grid[:, :1] * (along @ normals.T)[:, None] + grid[:, 1:] * normals[:, 2]
        room = room[:, None] - steps  # (k, g, f)
        safe = np.where(np.abs(speed) > PARALLEL, speed, np.inf)[:, None]
        at = room / safe
        ahead = np.where((speed > PARALLEL)[:, None], at, np.inf)
        behind = np.where((speed < -PARALLEL)[:, None], at, -np.inf)
        first, last = ahead.argmin(axis=-1), behind.argmax(axis=-1)
        exits = np.stack([ahead.min(axis=-1), behind.max(axis=-1)])
        flat = np.abs(speed) <= PARALLEL
        missed = ((room < 0.0) & flat[:, None]).any(axis=-1) | (exits[0] < exits[1])
        exits[:, missed] = np.inf
        lean = np.arccos(np.minimum(np.abs(speed), 1.0))
        leans = [np.take_along_axis(lean, faces, axis=1) for faces in (first, last)]
        return exits, np.stack(leans)

    @cached_property
    def _offsets(self) -> np.ndarray:
        return self.solid.offsets + self.normals @ self.position

    def upper_face(self) -> tuple[np.ndarray, float]:
        """The face that looks up most: its corners (m, 3) and its slope [rad]."""
        normals = self.normals
        index = int(np.argmax(normals[:, 2]))
        return self.vertices[self.solid.faces[index]], _angle(normals[index, 2])

    def lower_face(self) -> tuple[np.ndarray, float]:
        """The face that looks down most: its corners (m, 3) and its slope [rad]."""
        normals = self.normals
        index = int(np.argmin(normals[:, 2]))
        # Seen from above its corners run clockwise.
        return self.vertices[self.solid.faces[index]][::-1], _angle(-normals[index, 2])


def _angle(cosine: float) -> float:
    return float(np.arccos(np.clip(cosine, -1.0, 1.0)))


def inside(polygon: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far points lie inside a convex polygon; negative outside.

    Args:
        polygon: (m, 2), counter-clockwise.
        points: (..., 2).

    Returns:
        (...), the distance to the nearest edge's line.
    """
    edges = np.roll(polygon, -1, axis=0) - polygon
    lengths = np.hypot(edges[:, 0], edges[:, 1])
    keep = lengths > 1e-6
    inward = np.stack([-edges[keep, 1], edges[keep, 0]]) / lengths[keep]  # (2, edges)
    return (points @ inward - (polygon[keep].T * inward).sum(axis=0)).min(axis=-1)


def about_z(angle: float) -> np.ndarray:
    """The rotation matrix (3, 3) about the vertical."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def wrapped(angle: float, period: float = 2 * np.pi) -> float:
    """The angle moved by whole periods into [-period / 2, period / 2)."""
    return (angle + period / 2) % period - period / 2
