"""Lights and shading of the ray caster: MuJoCo's own lighting model, in NumPy.

Vectors are kept by component, (3, n) float32: NumPy is several times faster on long rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gato_gym.envs.rendering.decor import Decor
from gato_gym.envs.rendering.physics import mujoco
from gato_gym.envs.rendering.surfaces import Surfaces
from gato_gym.envs.rendering.textures import Sky
from gato_gym.envs.rendering.view import View

_DIRECTIONAL = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL.value
_SPOT = mujoco.mjtLightType.mjLIGHT_SPOT.value
# Surfaces that look up get this much more of the ambient light than those that look down.
_SKYLIGHT = 0.4
# Large floors fade into the sky from this part of their size on.
_FADE_FROM = np.float32(0.6)


@dataclass(frozen=True)
class Light:
    """One light of a scene."""

    kind: int
    position: np.ndarray  # (3,), world
    direction: np.ndarray  # (3,), unit, from the light
    ambient: np.ndarray  # (3,), as diffuse and specular
    diffuse: np.ndarray
    specular: np.ndarray
    attenuation: np.ndarray  # (3,): constant, linear, quadratic
    cutoff: float  # degrees
    exponent: float
    casts: bool

    def key(self) -> bytes:
        """Equal for equal lights."""
        vectors = (
            self.position,
            self.direction,
            self.ambient,
            self.diffuse,
            self.specular,
            self.attenuation,
        )
        scalars = (self.kind, self.cutoff, self.exponent, self.casts)
        return b"".join(vector.tobytes() for vector in vectors) + repr(scalars).encode()

    def origin(self, model: Any) -> np.ndarray:
        """Where its rays start, (3,): a far point for parallel light."""
        if self.kind != _DIRECTIONAL:
            return self.position.astype(np.float64)
        return model.stat.center - 100.0 * model.stat.extent * self.direction


def scene_lights(scene: Any) -> list[Light]:
    """The lights of an `MjvScene`, the headlight first if there is one."""
    return [
        Light(
            int(light.type),
            light.pos.copy(),
            light.dir.copy(),
            light.ambient.copy(),
            light.diffuse.copy(),
            light.specular.copy(),
            light.attenuation.copy(),
            float(light.cutoff),
            float(light.exponent),
            bool(light.castshadow),
        )
        for light in scene.lights[: scene.nlight]
    ]


@dataclass
class Hits:
    """Where n rays end."""

    geom: np.ndarray  # (n,) int32, -1: nowhere
    distance: np.ndarray  # (n,) float64, negative where the ray ends nowhere
    normal: np.ndarray  # (n, 3) float64

    def take(self, where: np.ndarray) -> Hits:
        """The hits at some indices."""
        return Hits(self.geom[where], self.distance[where], self.normal[where])


class Shader:
    """Colours of hits on one model's geoms."""

    def __init__(self, surfaces: Surfaces, sky: Sky) -> None:
        self._surfaces = surfaces
        self._sky = sky

    def shade(
        self,
        data: Any,
        view: View,
        lights: list[Light],
        rays: np.ndarray,
        hits: Hits,
        lit: dict[int, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Colours, (3, n) float32, not clipped; every ray must have hit a geom.

        Args:
            data: the MjData.
            view: the camera.
            lights: of the scene.
            rays: (3, n) float32 unit directions from the eye.
            hits: where they end.
            lit: by index of a light, 1 where it reaches the hit and 0 in its shadow, (n,).
        """
        surfaces, geom = self._surfaces, hits.geom
        normal, point = _surface(view, rays, hits.distance, hits.normal)
        shaded = _light_up(
            view,
            lights,
            (point, normal),
            surfaces.rgb[geom].T,
            (surfaces.emission[geom], surfaces.specular[geom], surfaces.exponent[geom]),
            lit or {},
        )
        if surfaces.textured:
            shaded *= surfaces.tint[geom].T
        distance = hits.distance.astype(np.float32)
        for plane, pattern in surfaces.patterns.items():
            where = np.flatnonzero(geom == plane)
            if where.size:
                offset = point[:, where] - data.geom_xpos[plane].astype(np.float32)[:, None]
                axes = data.geom_xmat[plane].reshape(3, 3).astype(np.float32)
                slant = np.abs(_dot(normal[:, where], rays[:, where])) + np.float32(1e-3)
                shaded[:, where] *= pattern.factor(
                    _dot(axes[:, :1], offset),
                    _dot(axes[:, 1:2], offset),
                    distance[where] * np.float32(view.pixel) / slant,
                )
        return self._fade(data, view, shaded, rays, geom, point)

    def shade_decor(
        self,
        view: View,
        lights: list[Light],
        rays: np.ndarray,
        decor: Decor,
        seen: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> np.ndarray:
        """As `shade`, for sites and tendons: `seen` are shape, distance and normal per ray."""
        shape, distance, normal = seen
        around, point = _surface(view, rays, distance, normal)
        rgb, gloss = decor.rgba[shape, :3].T, decor.gloss[shape].T
        return _light_up(view, lights, (point, around), rgb, tuple(gloss), {})

    def _fade(
        self,
        data: Any,
        view: View,
        shaded: np.ndarray,
        rays: np.ndarray,
        geom: np.ndarray,
        point: np.ndarray,
    ) -> np.ndarray:
        size = self._surfaces.fading[geom]
        where = np.flatnonzero(size)
        if where.size:
            plane = geom[where]
            middle = np.where(
                self._surfaces.edgeless[plane], view.eye[:, None], data.geom_xpos[plane].T
            )
            offset = point[:, where] - middle.astype(np.float32)
            far = (np.sqrt(_dot(offset, offset)) / size[where] - _FADE_FROM) / (1 - _FADE_FROM)
            far = np.minimum(np.maximum(far, np.float32(0.0)), np.float32(1.0))
            sky = self._sky.colour(rays[2, where])
            shaded[:, where] += (sky - shaded[:, where]) * far
        return shaded


def _surface(
    view: View, rays: np.ndarray, distance: np.ndarray, normal: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Normals that face the eye and points, (3, n) float32 each."""
    facing = np.ascontiguousarray(normal.T.astype(np.float32))
    facing *= -np.sign(_dot(facing, rays))
    return facing, view.eye.astype(np.float32)[:, None] + rays * distance.astype(np.float32)


def _light_up(
    view: View,
    lights: list[Light],
    surface: tuple[np.ndarray, np.ndarray],
    rgb: np.ndarray,
    gloss: tuple[np.ndarray, np.ndarray, np.ndarray],
    lit: dict[int, np.ndarray],
) -> np.ndarray:
    """Colours, (3, n), of points with these normals, before their textures."""
    (point, normal), (emission, specular, exponent) = surface, gloss
    together, apart = np.zeros_like(normal) + emission, np.zeros_like(normal)
    glint = np.zeros_like(normal)
    to_eye = view.axes[:, 2].astype(np.float32)[:, None]
    sky_part = np.float32(1 - _SKYLIGHT / 2) + np.float32(_SKYLIGHT / 2) * (normal[2] + 1)
    white = np.float32(1.0)
    for index, light in enumerate(lights):
        to_light, strength = _arriving(light, point)
        facing = np.maximum(_dot(normal, to_light), np.float32(0.0)) * strength
        if index in lit:
            facing *= lit[index]
        diffuse = light.diffuse[:, None] * facing
        if light.ambient.any():
            together += light.ambient[:, None] * (sky_part * strength)
        shine = np.zeros_like(normal[:, :1])
        if light.specular.any():
            middle: np.ndarray = to_light + to_eye
            middle = middle / np.sqrt(_dot(middle, middle) + np.float32(1e-12))
            peak = np.maximum(_dot(normal, middle), np.float32(0.0))
            peak = np.power(peak, exponent) * (facing > 0)
            shine = light.specular[:, None] * (peak * strength)
        # As in GL: what is lit brighter than white is cut off before the texture darkens it, and
        # lights that cast shadows are added one by one.
        if index in lit:
            apart += np.minimum(rgb * diffuse + specular * shine, white)
        else:
            together += diffuse
            glint += shine
    return np.minimum(rgb * together + specular * glint, white) + apart


def _arriving(light: Light, point: np.ndarray) -> tuple[np.ndarray, np.ndarray | np.float32]:
    """Unit vectors to the light, (3, n) or (3, 1), and how much of its light arrives."""
    if light.kind == _DIRECTIONAL:
        return -light.direction[:, None], np.float32(1.0)
    offset = light.position[:, None] - point
    reach = np.sqrt(_dot(offset, offset)) + np.float32(1e-6)
    to_light = offset / reach
    constant, linear, quadratic = light.attenuation
    strength = 1 / (constant + linear * reach + quadratic * reach * reach)
    if light.kind == _SPOT:
        along = np.maximum(-_dot(light.direction[:, None], to_light), np.float32(0.0))
        inside = along > np.float32(np.cos(np.radians(light.cutoff)))
        strength = strength * np.power(along, np.float32(light.exponent)) * inside
    return to_light, strength


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
