"""Draws frames without any GL library: rays cast by `mj_multiRay`, shaded with NumPy.

What never moves is cast once per camera and kept; a frame casts only the pixels that a moving geom
can appear in, against the moving geoms alone, and keeps the nearer of both. Frames with shadows
cast one more ray from each light to every visible point (all start at the light, so they are one
call), and draw pixels on an edge again as the mean of four rays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gato_gym.envs.rendering.decor import Decor
from gato_gym.envs.rendering.physics import camera_id, free_camera, mujoco
from gato_gym.envs.rendering.shading import Hits, Light, Shader, scene_lights
from gato_gym.envs.rendering.surfaces import MOVING, MOVING_CLEAR, STILL, STILL_CLEAR, Surfaces
from gato_gym.envs.rendering.textures import Sky
from gato_gym.envs.rendering.view import Cameras, Outlines, View

# A shadow ray that ends this close [m] to the point it was aimed at counts as having arrived.
SHADOW_BIAS = 2e-3
# Neighbouring pixels whose normals differ by more than this lie on two faces.
CREASE = 0.3
_SUBPIXELS = ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))


@dataclass
class _Backdrop:
    """What a camera sees of the geoms that do not move."""

    key: bytes
    hits: Hits
    images: dict[bytes, np.ndarray] = field(default_factory=dict)  # by lights: (N, 3) uint8


class RayCaster:
    """Frames of one model, of any size, from any of its cameras.

    A frame depends on the model and the data alone, bit by bit, not on what was drawn before.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._surfaces = Surfaces(model)
        self._sky = Sky(model)
        self._shader = Shader(self._surfaces, self._sky)
        self._cameras = Cameras()
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0  # the scene is only asked for its camera and its lights
        self.free, self._fixed = free_camera(model), mujoco.MjvCamera()
        self._fixed.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._backdrops: dict[tuple[int, int, int], _Backdrop] = {}
        self._outlined = -1
        self._planes = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE.value)

    def render(
        self,
        data: Any,
        camera: str | int | None,
        width: int,
        height: int,
        *,
        shadows: bool = True,
    ) -> np.ndarray:
        """A (height, width, 3) uint8 frame."""
        index = camera_id(self.model, camera)
        self._surfaces.refresh()
        self._outline()
        view, lights = self._look(data, index, width, height)
        backdrop = self._backdrop(data, index, view)
        if shadows:
            image, depth = self._draw_finely(data, view, lights, backdrop)
        else:
            image, depth = self._draw_fast(data, view, lights, backdrop)
        if self._scene.ngeom:
            self._draw_decor(view, lights, image, depth)
        if self._surfaces.has_clear:
            self._draw_clear(data, view, lights, image, depth)
        return image.reshape(height, width, 3)

    def close(self) -> None:
        """Forgets what was cast; the caster still works."""
        self._backdrops.clear()

    def _look(self, data: Any, index: int, width: int, height: int) -> tuple[View, list[Light]]:
        self._fixed.fixedcamid = index
        camera = self._fixed if index >= 0 else self.free
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(
            self.model, data, self._option, None, camera, everything, self._scene
        )
        view = self._cameras.view(index, self._scene, width, height)
        return view, scene_lights(self._scene)

    def _outline(self) -> None:
        if self._outlined != self._surfaces.version:
            groups = self._surfaces.groups
            self._outlines = Outlines(self.model, np.flatnonzero(groups == MOVING))
            clear = (groups == STILL_CLEAR) | (groups == MOVING_CLEAR)
            self._clear_outlines = Outlines(self.model, np.flatnonzero(clear))
            self._still = np.flatnonzero(groups == STILL)
            self._outlined = self._surfaces.version

    def _cast(
        self, data: Any, origin: np.ndarray, rays: np.ndarray, groups: tuple, reach: float = 0.0
    ) -> Hits:
        count = len(rays)
        model = self._surfaces.cast_model
        shown = np.zeros(mujoco.mjNGROUP, np.uint8)
        shown[list(groups)] = 1
        geom, distance = np.full(count, -1, np.int32), np.full(count, -1.0)
        normal = np.zeros(3 * count)
        if count:
            far = max(float(model.vis.map.zfar * model.stat.extent), 2.0 * reach)
            # Geoms whose centre lies farther are dropped, a long floor's too.
            centres = data.geom_xpos[self._planes] - origin
            far = max(far, 1.01 * float(np.sqrt((centres**2).sum(axis=1).max(initial=0.0))))
            flat = rays.reshape(-1)
            mujoco.mj_multiRay(
                model, data, origin, flat, shown, True, -1, geom, distance, normal, count, far
            )
        return Hits(geom, distance, normal.reshape(-1, 3))

    def _backdrop(self, data: Any, index: int, view: View) -> _Backdrop:
        still = self._still
        key = b"".join(
            [
                view.key,
                self._surfaces.version.to_bytes(8, "little"),
                data.geom_xpos[still].tobytes(),
                data.geom_xmat[still].tobytes(),
            ]
        )
        slot = (index, view.width, view.height)
        found = self._backdrops.get(slot)
        if found is None or found.key != key:
            found = _Backdrop(key, self._cast(data, view.eye, view.rays, (STILL,)))
            self._backdrops[slot] = found
        return found

    def _moving(self, data: Any, view: View, backdrop: _Backdrop) -> tuple[np.ndarray, Hits]:
        """The pixels where a moving geom is in front, and what is seen there."""
        pixels = self._outlines.pixels(data, view)
        hits = self._cast(data, view.eye, view.rays[pixels], (MOVING,))
        nearer = _before(hits.distance, backdrop.hits.distance[pixels])
        front = np.flatnonzero((hits.geom >= 0) & nearer)
        return pixels[front], hits.take(front)

    def _draw_fast(
        self, data: Any, view: View, lights: list[Light], backdrop: _Backdrop
    ) -> tuple[np.ndarray, np.ndarray]:
        light_key = b"".join(light.key() for light in lights)
        if light_key not in backdrop.images:
            colour = self._colours(data, view, lights, view.rays32, backdrop.hits)
            backdrop.images.clear()
            backdrop.images[light_key] = _bytes(colour)
        image, depth = backdrop.images[light_key].copy(), backdrop.hits.distance.copy()
        pixels, hits = self._moving(data, view, backdrop)
        if pixels.size:
            rays = view.rays32[:, pixels]
            image[pixels] = _bytes(self._shader.shade(data, view, lights, rays, hits))
            depth[pixels] = hits.distance
        return image, depth

    def _draw_finely(
        self, data: Any, view: View, lights: list[Light], backdrop: _Backdrop
    ) -> tuple[np.ndarray, np.ndarray]:
        pixels, front = self._moving(data, view, backdrop)
        still = backdrop.hits
        hits = Hits(still.geom.copy(), still.distance.copy(), still.normal.copy())
        hits.geom[pixels], hits.distance[pixels] = front.geom, front.distance
        hits.normal[pixels] = front.normal
        lit = self._lit(data, view, lights, view.rays, hits)
        image = _bytes(self._colours(data, view, lights, view.rays32, hits, lit))
        edges = np.flatnonzero(_edges(view, hits, lit))
        if edges.size:
            total = np.zeros((3, edges.size), np.float32)
            for right, down in _SUBPIXELS:
                rays = view.between(edges, right, down)
                fine = self._cast(data, view.eye, rays, (STILL, MOVING))
                lit = self._lit(data, view, lights, rays, fine)
                rays32 = np.ascontiguousarray(rays.T.astype(np.float32))
                colour = self._colours(data, view, lights, rays32, fine, lit)
                total += np.clip(colour, np.float32(0.0), np.float32(1.0))
            image[edges] = _bytes(total / np.float32(len(_SUBPIXELS)))
        return image, hits.distance

    def _draw_decor(
        self, view: View, lights: list[Light], image: np.ndarray, depth: np.ndarray
    ) -> None:
        """Draws sites and tendons into `image`, (N, 3), where they are nearer than `depth`."""
        decor = Decor.of(self._scene)
        if decor is None:
            return
        pixels, shape, distance, normal = decor.hits(view)
        front = np.flatnonzero(_before(distance, depth[pixels]))
        if front.size:
            pixels, seen = pixels[front], (shape[front], distance[front], normal[front])
            rays = view.rays32[:, pixels]
            colour = self._shader.shade_decor(view, lights, rays, decor, seen)
            _blend(image, pixels, colour, decor.rgba[seen[0], 3])

    def _draw_clear(
        self, data: Any, view: View, lights: list[Light], image: np.ndarray, depth: np.ndarray
    ) -> None:
        """Draws the nearest translucent geom of each pixel over `image`, (N, 3)."""
        pixels = self._clear_outlines.pixels(data, view)
        hits = self._cast(data, view.eye, view.rays[pixels], (STILL_CLEAR, MOVING_CLEAR))
        front = np.flatnonzero((hits.geom >= 0) & _before(hits.distance, depth[pixels]))
        if front.size:
            pixels, hits = pixels[front], hits.take(front)
            colour = self._shader.shade(data, view, lights, view.rays32[:, pixels], hits)
            _blend(image, pixels, colour, self._surfaces.alpha[hits.geom])

    def _colours(
        self,
        data: Any,
        view: View,
        lights: list[Light],
        rays: np.ndarray,
        hits: Hits,
        lit: dict[int, np.ndarray] | None = None,
    ) -> np.ndarray:
        """(3, n) colours of (3, n) rays: of the geom that they hit, else of the sky."""
        colour = self._sky.colour(rays[2])
        hit = np.flatnonzero(hits.geom >= 0)
        if hit.size:
            lit = {index: values[hit] for index, values in (lit or {}).items()}
            colour[:, hit] = self._shader.shade(
                data, view, lights, rays[:, hit], hits.take(hit), lit
            )
        return colour

    def _lit(
        self, data: Any, view: View, lights: list[Light], rays: np.ndarray, hits: Hits
    ) -> dict[int, np.ndarray]:
        """For each light that casts shadows, 1 where it reaches what the rays hit, else 0."""
        hit = np.flatnonzero(hits.geom >= 0)
        points = view.eye + rays[hit] * hits.distance[hit, None]
        reached = {}
        for index, light in enumerate(lights):
            if light.casts:
                origin = light.origin(self.model)
                path = points - origin
                reach = np.sqrt((path**2).sum(axis=1))
                far = reach.max(initial=0.0)
                travelled = self._cast(data, origin, path / reach[:, None], (STILL, MOVING), far)
                arrived = (travelled.distance < 0) | (travelled.distance > reach - SHADOW_BIAS)
                reached[index] = np.zeros(len(rays), np.float32)
                reached[index][hit] = arrived
        return reached


def _before(distance: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Where a hit is nearer than what was hit before; a negative depth is nothing."""
    return (depth < 0) | (distance < depth)


def _blend(image: np.ndarray, pixels: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> None:
    """Lays (3, n) colours over some pixels of `image`, (N, 3) uint8."""
    under = image[pixels].T.astype(np.float32) / np.float32(255.0)
    colour = np.clip(colour, np.float32(0.0), np.float32(1.0))
    image[pixels] = _bytes(under + (colour - under) * alpha)


def _bytes(colour: np.ndarray) -> np.ndarray:
    """(3, n) colours as (n, 3) uint8."""
    scaled = np.clip(colour, np.float32(0.0), np.float32(1.0)) * np.float32(255.0)
    return np.ascontiguousarray((scaled + np.float32(0.5)).astype(np.uint8).T)


def _edges(view: View, hits: Hits, lit: dict[int, np.ndarray]) -> np.ndarray:
    """Pixels, (height, width), whose right or lower neighbour shows another surface, and those."""
    shape = (view.height, view.width)
    flat = [hits.geom, *lit.values()]
    edge = np.zeros(shape, bool)
    for axis in (0, 1):
        before = (slice(None),) * axis + (slice(None, -1),)
        after = (slice(None),) * axis + (slice(1, None),)
        differs = np.zeros(edge[before].shape, bool)
        for values in flat:
            grid = values.reshape(shape)
            differs |= grid[before] != grid[after]
        normal = hits.normal.reshape(*shape, 3)
        differs |= (np.abs(normal[before] - normal[after]) > CREASE).any(axis=-1)
        edge[before] |= differs
        edge[after] |= differs
    return edge
