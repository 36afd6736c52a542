"""What is drawn without being a geom: sites and tendons. Rays do not hit them in MuJoCo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gato_gym.envs.rendering.physics import mujoco
from gato_gym.envs.rendering.surfaces import FAINTEST
from gato_gym.envs.rendering.view import View

_TYPE = mujoco.mjtGeom
_BOX, _CYLINDER, _CAPSULE = (
    kind.value for kind in (_TYPE.mjGEOM_BOX, _TYPE.mjGEOM_CYLINDER, _TYPE.mjGEOM_CAPSULE)
)
_ROUND = (_TYPE.mjGEOM_SPHERE.value, _TYPE.mjGEOM_ELLIPSOID.value)
_NEAR = 1e-3


@dataclass
class Decor:
    """Shapes of an `MjvScene`, n of them."""

    kind: np.ndarray  # (n,) mjtGeom
    position: np.ndarray  # (n, 3)
    axes: np.ndarray  # (n, 3, 3), columns are the shape's axes
    size: np.ndarray  # (n, 3): half sizes; a capsule's third is half of its straight part
    rgba: np.ndarray  # (n, 4) float32
    gloss: np.ndarray  # (n, 3) float32: emission, specular, exponent

    @staticmethod
    def of(scene: Any) -> Decor | None:
        """The scene's shapes of the kinds that are drawn here; None if there are none."""
        known = (*_ROUND, _BOX, _CYLINDER, _CAPSULE)
        kinds = [scene.geoms[index].type for index in range(scene.ngeom)]
        shapes = [scene.geoms[index] for index, kind in enumerate(kinds) if kind in known]
        if not shapes:
            return None
        rgba = np.array([shape.rgba for shape in shapes], np.float32)
        gloss = [(shape.emission, shape.specular, 128 * shape.shininess) for shape in shapes]
        drawn = rgba[:, 3] >= FAINTEST
        return Decor(
            np.array([kind for kind in kinds if kind in known])[drawn],
            np.array([shape.pos for shape in shapes], np.float64)[drawn],
            np.array([shape.mat for shape in shapes], np.float64)[drawn],
            np.array([shape.size for shape in shapes], np.float64)[drawn],
            rgba[drawn],
            np.maximum(np.array(gloss, np.float32), np.array([0, 0, 1], np.float32))[drawn],
        )

    def hits(self, view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Pixels that show a shape: (pixel, shape, distance, normal), the nearest one for each."""
        pixel, shape = self._candidates(view)
        axes, kind, size = self.axes[shape], self.kind[shape], self.size[shape]
        start = np.einsum("nij,ni->nj", axes, view.eye - self.position[shape])
        ray = np.einsum("nij,ni->nj", axes, view.rays[pixel])
        distance = np.full(len(pixel), np.inf)
        normal = np.zeros((len(pixel), 3))
        for kinds, meet in (
            (_ROUND, _meet_ellipsoid),
            ((_BOX,), _meet_box),
            ((_CYLINDER,), _meet_cylinder),
            ((_CAPSULE,), _meet_capsule),
        ):
            of_kind = np.flatnonzero(np.isin(kind, kinds))
            if of_kind.size:
                found = meet(start[of_kind], ray[of_kind], size[of_kind])
                distance[of_kind], normal[of_kind] = found
        normal = np.einsum("nij,nj->ni", axes, normal)
        normal /= np.sqrt((normal**2).sum(axis=1, keepdims=True)) + 1e-12
        met = np.flatnonzero(np.isfinite(distance))
        nearest_first = met[np.lexsort((distance[met], pixel[met]))]
        chosen = nearest_first[np.unique(pixel[nearest_first], return_index=True)[1]]
        return pixel[chosen], shape[chosen], distance[chosen], normal[chosen]

    def _candidates(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of a pixel and a shape that may cover it, by the spheres around the shapes."""
        radius = np.sqrt((self.size**2).sum(axis=1)) + self.size[:, 0] * (self.kind == _CAPSULE)
        radius = np.where(np.isin(self.kind, _ROUND), self.size.max(axis=1), radius)
        across, up, back = ((self.position - view.eye) @ view.axes).T
        near = 1.0 / (np.maximum(-back - radius, _NEAR) * view.pixel)
        far = 1.0 / (np.maximum(-back + radius, _NEAR) * view.pixel)
        box = []
        for middle, count in ((-up, view.height), (across, view.width)):
            low, high = middle - radius, middle + radius
            # An end on the other side of the picture's middle is projected from further away.
            low = low * np.where(low < 0, near, far) + (count / 2 - 0.5)
            high = high * np.where(high > 0, near, far) + (count / 2 - 0.5)
            start = np.minimum(np.maximum(np.floor(low), 0), count).astype(int)
            stop = np.minimum(np.maximum(np.ceil(high) + 1, 0), count).astype(int)
            box += [start, np.where(-back + radius > _NEAR, np.maximum(stop - start, 0), 0)]
        top, rows, left, columns = box
        sizes = rows * columns
        shape = np.repeat(np.arange(len(sizes)), sizes)
        place = np.arange(len(shape)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        row, column = np.divmod(place, columns[shape])
        return (top[shape] + row) * view.width + left[shape] + column, shape


def _meet_ellipsoid(start: np.ndarray, ray: np.ndarray, size: np.ndarray) -> tuple:
    distance = _nearest_root(start / size, ray / size, np.ones(len(start)), 3)
    return distance, _at(start, ray, distance) / size**2


def _meet_box(start: np.ndarray, ray: np.ndarray, size: np.ndarray) -> tuple:
    ray = np.where(np.abs(ray) < 1e-12, 1e-12, ray)
    enter = ((-np.sign(ray) * size - start) / ray).max(axis=1)
    leave = ((np.sign(ray) * size - start) / ray).min(axis=1)
    distance = np.where((enter < leave) & (enter > _NEAR), enter, np.inf)
    point = _at(start, ray, distance)
    face = np.abs(point / size).argmax(axis=1)
    return distance, np.eye(3)[face] * np.sign(point)


def _meet_cylinder(start: np.ndarray, ray: np.ndarray, size: np.ndarray) -> tuple:
    radius, half = size[:, 0], size[:, 2]
    side = _nearest_root(start, ray, radius, 2)
    point = _at(start, ray, side)
    side = np.where(np.abs(point[:, 2]) <= half, side, np.inf)
    along = np.where(np.abs(ray[:, 2]) < 1e-12, 1e-12, ray[:, 2])
    cap = (-np.sign(along) * half - start[:, 2]) / along
    inside = (_at(start, ray, cap)[:, :2] ** 2).sum(axis=1) <= radius**2
    cap = np.where(inside & (cap > _NEAR), cap, np.inf)
    flat = cap < side
    point[:, 2] = 0.0
    return np.minimum(side, cap), np.where(flat[:, None], [0.0, 0.0, 1.0], point)


def _meet_capsule(start: np.ndarray, ray: np.ndarray, size: np.ndarray) -> tuple:
    radius, half = size[:, 0], size[:, 2]
    side = _nearest_root(start, ray, radius, 2)
    side = np.where(np.abs(_at(start, ray, side)[:, 2]) <= half, side, np.inf)
    distance = side
    for end in (-1.0, 1.0):
        middle = np.stack([0 * half, 0 * half, end * half], axis=1)
        distance = np.minimum(distance, _nearest_root(start - middle, ray, radius, 3))
    point = _at(start, ray, distance)
    point[:, 2] -= np.clip(point[:, 2], -half, half)
    return distance, point


def _at(start: np.ndarray, ray: np.ndarray, distance: np.ndarray) -> np.ndarray:
    return start + ray * np.where(np.isfinite(distance), distance, 0.0)[:, None]


def _nearest_root(
    start: np.ndarray, ray: np.ndarray, radius: np.ndarray, dimensions: int
) -> np.ndarray:
    """Where rays first meet a sphere (3 dimensions) or an endless cylinder (2), else inf."""
    start, ray = start[:, :dimensions], ray[:, :dimensions]
    a = np.maximum((ray**2).sum(axis=1), 1e-18)
    b = (start * ray).sum(axis=1)
    c = (start**2).sum(axis=1) - radius**2
    under = b * b - a * c
    root = (-b - np.sqrt(np.maximum(under, 0.0))) / a
    return np.where((under >= 0) & (root > _NEAR), root, np.inf)
