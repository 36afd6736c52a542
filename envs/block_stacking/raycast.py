"""Draws frames without any GL library: one `mj_multiRay` call per camera, shaded with NumPy.

Lambert and Blinn-Phong shading of geom colours from one point light, a weak light at the camera, a
sky-tinted ambient term, and hard shadows: all shadow rays start at the light, so they are a single
second call. Pixels on an edge are drawn again as the mean of four rays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gato_gym.envs.block_stacking.physics import mujoco

FAR = 30.0
KEY_LIGHT = np.array([1.1, -1.1, 2.2])
SKY_TOP, SKY_HORIZON = np.array([0.56, 0.67, 0.80]), np.array([0.93, 0.95, 0.97])
AMBIENT_UP, AMBIENT_DOWN = np.array([0.44, 0.46, 0.50]), np.array([0.24, 0.23, 0.22])
DIFFUSE = np.array([0.60, 0.58, 0.54])
HEADLIGHT = 0.18
SPECULAR, SHININESS = 0.22, 40.0
# A shadow ray that ends this close [m] to the point it was aimed at counts as having arrived.
SHADOW_BIAS = 2e-3
# Neighbouring pixels whose normals differ by more than this lie on two faces.
CREASE = 0.3
_SUBPIXELS = ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))


@dataclass(frozen=True)
class _View:
    """A camera's rays: through the pixel centres, and the steps to the next column and row."""

    rays: np.ndarray  # (height * width, 3), not normalised
    right: np.ndarray
    down: np.ndarray


class RayCaster:
    """Frames of one model. Cameras must be fixed in the world: their rays are computed once."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._colours = model.geom_rgba[:, :3].astype(np.float64)
        self._floor = model.geom("floor").id
        self._table = model.geom("table").id
        self._views: dict[tuple[int, int, int], _View] = {}

    def render(
        self, data: Any, camera: str, width: int, height: int, *, shadows: bool = True
    ) -> np.ndarray:
        """A (height, width, 3) uint8 frame."""
        cam = self.model.camera(camera).id
        view, eye = self._view(cam, width, height, data), data.cam_xpos[cam].copy()
        colour, surface = self._shade(data, eye, view.rays, shadows)
        edges = np.flatnonzero(_edges(surface.reshape(height, width, -1)))
        if edges.size:
            rays = np.concatenate(
                [view.rays[edges] + dx * view.right + dy * view.down for dx, dy in _SUBPIXELS]
            )
            fine, _ = self._shade(data, eye, rays, shadows)
            colour[edges] = np.clip(fine, 0.0, 1.0).reshape(len(_SUBPIXELS), -1, 3).mean(axis=0)
        image = np.clip(colour, 0.0, 1.0).reshape(height, width, 3)
        return (image * 255.0 + 0.5).astype(np.uint8)

    def _view(self, cam: int, width: int, height: int, data: Any) -> _View:
        key = (cam, width, height)
        if key not in self._views:
            axes = data.cam_xmat[cam].reshape(3, 3)
            pixel = 2 * np.tan(np.radians(self.model.cam_fovy[cam]) / 2) / height
            x = (np.arange(width) + 0.5 - width / 2) * pixel
            y = (height / 2 - np.arange(height) - 0.5) * pixel
            grid = np.stack([*np.meshgrid(x, y), np.full((height, width), -1.0)], axis=-1)
            rays = grid.reshape(-1, 3) @ axes.T
            self._views[key] = _View(rays, pixel * axes[:, 0], -pixel * axes[:, 1])
        return self._views[key]

    def _cast(
        self, data: Any, origin: np.ndarray, rays: np.ndarray, normal: np.ndarray | None
    ) -> tuple:
        count = len(rays)
        geom, distance = np.full(count, -1, np.int32), np.zeros(count)
        mujoco.mj_multiRay(
            self.model,
            data,
            origin,
            rays.ravel(),
            None,
            True,
            -1,
            geom,
            distance,
            normal,
            count,
            FAR,
        )
        return geom, distance

    def _shade(
        self, data: Any, eye: np.ndarray, rays: np.ndarray, shadows: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Colours of rays, and what tells surfaces apart: geom, in the light or not, normal."""
        rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        normals = np.zeros(3 * len(rays))
        geom, distance = self._cast(data, eye, rays, normals)
        height = np.clip(rays[:, 2:] * 2.5 + 0.55, 0.0, 1.0)
        colour = SKY_HORIZON + (SKY_TOP - SKY_HORIZON) * height
        surface = np.zeros((len(rays), 5))
        surface[:, 0] = geom
        hit = np.flatnonzero(geom >= 0)
        if not hit.size:
            return colour, surface
        view, normal, geom, distance = (
            rays[hit],
            normals.reshape(-1, 3)[hit],
            geom[hit],
            distance[hit],
        )
        point = eye + view * distance[:, None]
        facing = -np.einsum("ij,ij->i", normal, view)
        normal *= np.sign(facing)[:, None]

        to_light = KEY_LIGHT - point
        reach = np.linalg.norm(to_light, axis=1)
        to_light /= reach[:, None]
        lit = np.ones(len(hit))
        if shadows:
            _, travelled = self._cast(data, KEY_LIGHT, -to_light, None)
            lit = ((travelled < 0) | (travelled > reach - SHADOW_BIAS)).astype(np.float64)
        lambert = np.clip(np.einsum("ij,ij->i", normal, to_light), 0.0, None)
        middle = to_light - view
        middle /= np.linalg.norm(middle, axis=1, keepdims=True)
        glint = np.clip(np.einsum("ij,ij->i", normal, middle), 0.0, None) ** SHININESS

        albedo = self._albedo(geom, point)
        light = AMBIENT_DOWN + (AMBIENT_UP - AMBIENT_DOWN) * (0.5 + 0.5 * normal[:, 2:])
        light += DIFFUSE * (lambert * lit)[:, None] + HEADLIGHT * np.abs(facing)[:, None]
        shaded = albedo * light + (SPECULAR * glint * lit)[:, None]
        # The floor fades into the horizon, so that its far edge is no line in the picture.
        fade = np.clip((distance - 2.5) / 2.5, 0.0, 1.0) * (geom == self._floor)
        colour[hit] = shaded + (colour[hit] - shaded) * fade[:, None]
        surface[hit, 1] = lit
        surface[hit, 2:] = normal
        return colour, surface

    def _albedo(self, geom: np.ndarray, point: np.ndarray) -> np.ndarray:
        albedo = self._colours[geom]
        # Tiles on the floor and planks on the table give the eye a scale.
        tiles = np.floor(point[:, 0] / 0.4).astype(int) + np.floor(point[:, 1] / 0.4).astype(int)
        albedo[(geom == self._floor) & (tiles % 2 == 0)] *= 0.93
        plank = np.floor(point[:, 1] / 0.12).astype(int) % 3
        wood = geom == self._table
        albedo[wood] *= (0.96 + 0.025 * plank[wood])[:, None]
        return albedo


def _edges(surface: np.ndarray) -> np.ndarray:
    """Pixels, (height, width), whose right or lower neighbour shows another surface, and those."""
    edge = np.zeros(surface.shape[:2], bool)
    for axis in (0, 1):
        step = np.abs(np.diff(surface, axis=axis))
        differs = (step[..., :2] > 0.5).any(axis=-1) | (step[..., 2:] > CREASE).any(axis=-1)
        before = [slice(None), slice(None)]
        after = [slice(None), slice(None)]
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        edge[tuple(before)] |= differs
        edge[tuple(after)] |= differs
    return edge
