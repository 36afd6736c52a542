"""The parametric family of objects: an extruded polygon deformed from a cube of 50 mm.

Known (facts sheet 9.4): the parameters, the four major axes (2 polygon, 3 trapezoid, 5
parallelogram, 6 rectangle with its other directions 7 and 8), the 13 test objects by their values,
and that the 103 training objects mix two axes each. Ours, because it is not published in numbers:

- a polygon of n sides has two of its flats `scx` apart, so that n = 4 is the rectangle;
- `shr` narrows the polygon linearly from its low-y to its high-y side, by that percentage;
- `shear` tilts the axis of extrusion towards y and leaves top and bottom faces as they are;
- an axis runs from the cube through the test objects that lie on it; axes 7 and 8 are axis 6 with
  the long side along y and x;
- a mix multiplies the sizes of a point on either axis and takes everything else from the two; which
  points are taken is the table `_MIXES`.

Every object is convex, and fingers 80 mm apart fit around it whichever face it rests on
(`Shape.grasp_widths`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import astuple, dataclass

import numpy as np

SIDE = 50.0  # mm, of the cube that everything is deformed from
MASS = 0.2  # kg, of every object
# Scaled parameters: (value - centre) / half range, about [-1, 1] over the whole family.
_CENTRE = np.array([7.0, 37.5, 21.0, 50.0, 50.0, 50.0])
_HALF = np.array([3.0, 37.5, 21.0, 50.0, 50.0, 50.0])


@dataclass(frozen=True)
class Parameters:
    """`sds` sides, `shr` shrink [%], `shear` [degrees], `scx`, `scy`, `scz` sizes [mm]."""

    sds: int = 4
    shr: float = 0.0
    shear: float = 0.0
    scx: float = SIDE
    scy: float = SIDE
    scz: float = SIDE


@dataclass(frozen=True)
class Shape:
    """One object of the family, in the frame of its body: the origin is its centre of mass.

    `name` is e.g. "r3" or "train_36_4".
    """

    name: str
    parameters: Parameters

    @functools.cached_property
    def vertices(self) -> np.ndarray:
        """Corners [m], (2 * sides, 3): the bottom polygon anticlockwise, then the top one."""
        return _solid(self.parameters)[0]

    @functools.cached_property
    def volume(self) -> float:
        """Cubic metres."""
        return _solid(self.parameters)[1]

    @property
    def is_box(self) -> bool:
        """It is a cuboid along its own axes."""
        p = self.parameters
        return p.sds == 4 and p.shr == 0.0 and p.shear == 0.0

    @property
    def half_size(self) -> np.ndarray:
        """Half the extent [m] along each of its own axes, (3,)."""
        return np.ptp(self.vertices, axis=0) / 2

    @property
    def radius(self) -> float:
        """Distance [m] of the farthest corner from the centre of mass."""
        return float(np.linalg.norm(self.vertices, axis=1).max())

    @functools.cached_property
    def scaled(self) -> np.ndarray:
        """The six parameters scaled to about [-1, 1], (6,) float32: what a policy observes."""
        return ((np.array(astuple(self.parameters)) - _CENTRE) / _HALF).astype(np.float32)

    def faces(self) -> list[np.ndarray]:
        """Indices into `vertices` of each flat face, anticlockwise seen from outside."""
        n = self.parameters.sds
        sides = [np.array([i, (i + 1) % n, n + (i + 1) % n, n + i]) for i in range(n)]
        return [np.arange(n)[::-1], np.arange(n, 2 * n), *sides]

    def grasp_widths(self) -> list[float]:
        """For each face that it can rest on: the least opening [m] of fingers that fit around it.

        The fingers close horizontally: it is the least width of the outline seen from above.
        """
        widths = []
        for face in self.faces():
            down = self._normal(face)
            if not self._rests_on(face, down):
                continue
            # The least width of a convex outline is found across one of its edges.
            first, second = np.triu_indices(len(self.vertices), 1)
            across = np.cross(down, self.vertices[first] - self.vertices[second])
            length = np.linalg.norm(across, axis=1, keepdims=True)
            across = (across / np.maximum(length, 1e-9))[length[:, 0] > 1e-6]
            widths.append(float(np.ptp(self.vertices @ across.T, axis=0).min()))
        return widths

    def _normal(self, face: np.ndarray) -> np.ndarray:
        a, b, c = self.vertices[face[:3]]
        normal = np.cross(b - a, c - b)
        return normal / np.linalg.norm(normal)

    def _rests_on(self, face: np.ndarray, down: np.ndarray) -> bool:
        """The centre of mass (the origin) is above the inside of the face."""
        corners = self.vertices[face]
        edges = np.roll(corners, -1, axis=0) - corners
        return bool((np.cross(edges, -corners) @ down > 0).all())


def _solid(p: Parameters) -> tuple[np.ndarray, float]:
    """Vertices about the centre of mass [m] and the volume [m^3]."""
    angles = (2 * np.arange(p.sds) - 1) * np.pi / p.sds
    polygon = 0.5 / np.cos(np.pi / p.sds) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    low, high = polygon[:, 1].min(), polygon[:, 1].max()
    polygon[:, 0] *= 1.0 - p.shr / 100.0 * (polygon[:, 1] - low) / (high - low)
    polygon *= np.array([p.scx, p.scy]) * 1e-3
    following = np.roll(polygon, -1, axis=0)
    cross = polygon[:, 0] * following[:, 1] - polygon[:, 1] * following[:, 0]
    area = cross.sum() / 2
    polygon -= ((polygon + following) * cross[:, None]).sum(axis=0) / (6 * area)
    half = p.scz * 1e-3 / 2
    lean = np.array([0.0, half * np.tan(np.radians(p.shear))])
    bottom = np.column_stack([polygon - lean, np.full(p.sds, -half)])
    top = np.column_stack([polygon + lean, np.full(p.sds, half)])
    return np.concatenate([bottom, top]), float(area * 2 * half)


_TEST = {  # facts sheet 9.4
    "s0": Parameters(),
    "r2": Parameters(10, 0, 0, 45, 45, 50),
    "r3": Parameters(4, 75, 0, 41, 49, 71),
    "r5": Parameters(4, 0, 42, 50, 50, 50),
    "r6": Parameters(4, 0, 0, 29, 29, 150),
    "g2": Parameters(6, 0, 0, 46, 46, 50),
    "g3": Parameters(4, 25, 0, 51, 51, 60),
    "g5": Parameters(4, 0, 20, 50, 50, 50),
    "g6": Parameters(4, 0, 0, 40, 56, 80),
    "b2": Parameters(8, 0, 0, 45, 45, 50),
    "b3": Parameters(4, 48, 0, 46, 49, 63),
    "b5": Parameters(4, 0, 31, 50, 50, 50),
    "b6": Parameters(4, 0, 0, 32, 48, 96),
}
# The test objects along each axis, from the cube outwards: equal steps of the axis.
_AXES = {
    2: ("s0", "g2", "b2", "r2"),
    3: ("s0", "g3", "b3", "r3"),
    5: ("s0", "g5", "b5", "r5"),
    6: ("s0", "g6", "b6", "r6"),
}
_LONG_SIDE = {6: (0, 1, 2), 7: (0, 2, 1), 8: (2, 1, 0)}  # which of axis 6's sizes lie along x, y, z
_QUARTERS = tuple((a, b) for a in (0.25, 0.5, 0.75) for b in (0.25, 0.5, 0.75))
# A polygon has a whole number of sides: 6, 8 or 10.
_POLYGONS = tuple((a, b) for a in (1 / 3, 2 / 3, 1.0) for b in (0.25, 0.5, 0.75))
# Two long sides make a plate: one of the two stays short enough for the fingers. (a, b) and (b, a)
# are one cuboid turned over.
_PLATES = tuple((0.1, b) for b in (0.1, 0.25, 0.5, 0.75, 1.0))
_PLATES += tuple((0.2, b) for b in (0.2, 0.4, 0.6, 0.8))
# The points taken of every pair of axes; 9 each, and as many more as make 103.
_MIXES = {
    (2, 3): _POLYGONS,
    (2, 5): _POLYGONS,
    (2, 6): _POLYGONS,
    (3, 5): _QUARTERS,
    (3, 6): (*_QUARTERS, (1.0, 0.5)),
    (3, 7): (*_QUARTERS, (1.0, 0.5)),
    (3, 8): (*_QUARTERS, (1.0, 0.5)),
    (5, 6): _QUARTERS,
    (5, 7): (*_QUARTERS, (0.5, 1.0)),
    (5, 8): _QUARTERS,
    (6, 7): _PLATES,
}


def _on_axis(axis: int, distance: float) -> Parameters:
    """The object at that distance (0 the cube, 1 the end) along an axis."""
    anchors = np.array([astuple(_TEST[name]) for name in _AXES[min(axis, 6)]])
    steps = np.linspace(0.0, 1.0, len(anchors))
    values = np.array([np.interp(distance, steps, column) for column in anchors.T])
    sizes = values[3:][list(_LONG_SIDE.get(axis, (0, 1, 2)))]
    return Parameters(round(values[0]), float(values[1]), float(values[2]), *map(float, sizes))


def _mixed(first: Parameters, second: Parameters) -> Parameters:
    sizes = np.array(astuple(first)[3:]) * np.array(astuple(second)[3:]) / SIDE
    return Parameters(
        max(first.sds, second.sds),
        max(first.shr, second.shr),
        max(first.shear, second.shear),
        *map(float, np.round(sizes, 1)),
    )


def _training() -> Iterator[Shape]:
    for (first, second), points in _MIXES.items():
        for index, (a, b) in enumerate(points):
            mixed = _mixed(_on_axis(first, a), _on_axis(second, b))
            yield Shape(f"train_{first}{second}_{index}", mixed)


TEST_SHAPES = {name: Shape(name, parameters) for name, parameters in _TEST.items()}
TRAINING_SHAPES = {shape.name: shape for shape in _training()}
SHAPES = {**TEST_SHAPES, **TRAINING_SHAPES}
