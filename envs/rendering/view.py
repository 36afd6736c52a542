"""Cameras of the ray caster: their rays, and which pixels a geom can appear in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gato_gym.envs.rendering.physics import mujoco

_MAX_PIECES = 8
# Pixels by which a geom's screen rectangle is widened, against rounding.
_MARGIN = 0.02
_NEAR = 1e-3
_ENDLESS = 1e3
# Rows grow against the camera's upward axis, columns along its axis to the right.
_DOWN_RIGHT = np.array([-1.0, 1.0]).reshape(2, 1, 1)
_PLANE = mujoco.mjtGeom.mjGEOM_PLANE.value


@dataclass(frozen=True)
class View:
    """A camera at one moment. N = height * width pixels, row by row."""

    width: int
    height: int
    pixel: float  # the height of a pixel at distance 1
    eye: np.ndarray  # (3,)
    axes: np.ndarray  # (3, 3): columns right, up, backward
    rays: np.ndarray  # (N, 3) unit vectors through the pixels' centres
    rays32: np.ndarray  # (3, N) float32
    key: bytes  # equal for two views of the same size that see the same

    def between(self, pixels: np.ndarray, right: float, down: float) -> np.ndarray:
        """Unit rays that pass the centres of `pixels` by fractions of a pixel, (n, 3)."""
        rays = self.rays[pixels] / -(self.rays[pixels] @ self.axes[:, 2:])
        rays += self.pixel * (right * self.axes[:, 0] - down * self.axes[:, 1])
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)


class Cameras:
    """Views of one model, seen through `MjvScene`s that `mjv_updateScene` has filled."""

    def __init__(self) -> None:
        self._views: dict[tuple[int, int, int], tuple[bytes, View]] = {}
        self._pose = np.zeros((3, 3))  # rows: where the camera is, forward, up

    def view(self, camera: int, scene: Any, width: int, height: int) -> View:
        """The view of the scene's camera; `camera` only tells cameras apart."""
        head, forward, up = self._pose
        mujoco.mjv_cameraInModel(head, forward, up, scene)
        lens = scene.camera[0]
        tangent = (lens.frustum_top - lens.frustum_bottom) / 2 / lens.frustum_near
        key = self._pose.tobytes() + np.float64(tangent).tobytes()
        slot = (camera, width, height)
        last_key, last = self._views.get(slot, (b"", None))
        if last is None or key != last_key:
            pixel = 2 * tangent / height
            axes = np.stack([np.cross(forward, up), up, -forward], axis=1)
            # A camera that only moves along keeps its rays.
            if last and last.pixel == pixel and np.array_equal(last.axes, axes):
                rays, rays32 = last.rays, last.rays32
            else:
                rays = _rays(axes, pixel, width, height)
                rays32 = np.ascontiguousarray(rays.T.astype(np.float32))
            last = View(width, height, pixel, head.copy(), axes, rays, rays32, key)
            self._views[slot] = (key, last)
        return last


def _rays(axes: np.ndarray, pixel: float, width: int, height: int) -> np.ndarray:
    x = (np.arange(width) + 0.5 - width / 2) * pixel
    y = (height / 2 - np.arange(height) - 0.5) * pixel
    grid = (
        x[None, :, None] * axes[:, 0] + y[:, None, None] * axes[:, 1] - axes[:, 2]
    )  # (height, width, 3)
    rays = grid.reshape(-1, 3)
    return rays / np.sqrt((rays**2).sum(axis=1, keepdims=True))


class Outlines:
    """Boxes around some geoms, from which the pixels that can show them follow."""

    def __init__(self, model: Any, geoms: np.ndarray) -> None:
        owners, corners = [], []
        for geom in geoms:
            centre, half = np.split(model.geom_aabb[geom].copy(), 2)
            if model.geom_type[geom] == _PLANE:
                half = np.array([_ENDLESS, _ENDLESS, _NEAR])
            for box in _pieces(centre, half):
                owners.append(geom)
                corners.append(box)
        self._owners = np.array(owners, np.intp)
        # By coordinate, then corner, then box: NumPy is fastest on long last axes.
        self._corners = np.array(corners).reshape(-1, 8, 3).transpose(2, 1, 0).copy()

    def pixels(self, data: Any, view: View) -> np.ndarray:
        """Sorted indices of the pixels that the geoms may cover."""
        owners = self._owners
        if not owners.size:
            return owners
        turns = np.matmul(data.geom_xmat[owners].reshape(-1, 3, 3).transpose(0, 2, 1), view.axes)
        turns = turns.transpose(2, 1, 0).copy()  # (axis of the camera, axis of the geom, box)
        centres = np.matmul(data.geom_xpos[owners] - view.eye, view.axes).T.copy()
        x, y, z = self._corners
        across, up, back = (
            turn[0] * x + turn[1] * y + turn[2] * z + centre
            for turn, centre in zip(turns, centres, strict=True)
        )
        nearest, farthest = -back.max(axis=0), -back.min(axis=0)
        scale = 1.0 / (np.maximum(-back, _NEAR) * view.pixel)
        spans = np.array([up, across]) * (scale * _DOWN_RIGHT)
        middle = np.array([[view.height / 2 - 0.5], [view.width / 2 - 0.5]])
        low, high = spans.min(axis=1) + middle, spans.max(axis=1) + middle
        crossing = nearest <= _NEAR  # a box around the eye may appear anywhere
        low[:, crossing], high[:, crossing] = 0, max(view.height, view.width)
        sides = np.array([[view.height], [view.width]])
        start = np.minimum(np.maximum(np.ceil(low - _MARGIN), 0), sides).astype(int)
        stop = np.minimum(np.maximum(np.floor(high + _MARGIN) + 1, 0), sides).astype(int)
        seen = (farthest > _NEAR) & (stop > start).all(axis=0)
        covered = np.zeros((view.height, view.width), bool)
        for top, left, bottom, right in np.concatenate([start, stop])[:, seen].T.tolist():
            covered[top:bottom, left:right] = True
        return np.flatnonzero(covered)


def _pieces(centre: np.ndarray, half: np.ndarray) -> list[np.ndarray]:
    """The corners of a box, cut along its longest side: a slanted rod fills its rectangle badly."""
    longest = int(half.argmax())
    breadth = np.delete(half, longest).max()
    count = int(np.clip(half[longest] / max(breadth, 1e-6), 1, _MAX_PIECES))
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    boxes = []
    for index in range(count):
        part, middle = half.copy(), centre.copy()
        part[longest] /= count
        middle[longest] += half[longest] * ((2 * index + 1) / count - 1)
        boxes.append(middle + signs * part)
    return boxes
