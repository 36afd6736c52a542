"""What the ray caster takes from a model's textures: mean colours, plane patterns and the sky."""

from __future__ import annotations

from typing import Any

import numpy as np

from gato_gym.envs.rendering.physics import mujoco

_RGB_ROLES = (mujoco.mjtTextureRole.mjTEXROLE_RGB.value, mujoco.mjtTextureRole.mjTEXROLE_RGBA.value)
_SKY_STEPS = 1024
_PATTERN_SIDE = 64


def texels(model: Any, texture: int) -> np.ndarray:
    """A texture, (height, width, 3) float32 in [0, 1]."""
    height, width = int(model.tex_height[texture]), int(model.tex_width[texture])
    channels, start = int(model.tex_nchannel[texture]), int(model.tex_adr[texture])
    flat = model.tex_data[start : start + height * width * channels]
    image = flat.reshape(height, width, channels)[..., :3]
    return np.broadcast_to(image, (height, width, 3)).astype(np.float32) / 255.0


def material_texture(model: Any, material: int) -> int:
    """The texture that colours a material; -1: none."""
    roles = model.mat_texid[material]
    return int(next((roles[role] for role in _RGB_ROLES if roles[role] >= 0), -1))


class PlanePattern:
    """The flat texture of a plane geom, looked up at points of the plane.

    Args:
        model: the MjModel.
        geom: a plane.
        material: its material, whose texture is two-dimensional.
    """

    def __init__(self, model: Any, geom: int, material: int) -> None:
        image = _shrink(texels(model, material_texture(model, material)), _PATTERN_SIDE)
        self.mean = image.mean(axis=(0, 1))
        self._image = image / np.maximum(self.mean, 1e-6)
        repeat = model.mat_texrepeat[material].astype(np.float64)
        size = model.geom_size[geom, :2]
        # MuJoCo repeats a uniform texture every 2 / repeat metres, another one over the plane.
        if not model.mat_texuniform[material]:
            repeat = np.where(size > 0, repeat / np.where(size > 0, size, 1.0), repeat)
        self._scale = (0.5 * repeat).astype(np.float32)

    def factor(self, x: np.ndarray, y: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """The colour at points of the plane as a multiple of its mean colour, (3, n).

        Args:
            x: (n,) metres along the plane's first axis.
            y: (n,) metres along its second axis.
            footprint: (n,) metres of the plane that a pixel covers; patterns finer than a pixel
                fade to the mean, where they would only flicker.
        """
        rows, columns = self._image.shape[:2]
        u, v = x * self._scale[0] - np.float32(0.5), -y * self._scale[1] - np.float32(0.5)
        column = ((u - np.floor(u)) * columns).astype(np.int32) % columns
        row = ((v - np.floor(v)) * rows).astype(np.int32) % rows
        coarse = footprint * np.float32(2.0 * self._scale.max())
        weight = np.clip(np.float32(1.5) - coarse, np.float32(0.0), np.float32(1.0))
        return 1 + weight * (self._image[row, column].T - 1)


class Sky:
    """The background: a vertical gradient with the colours of the model's skybox.

    A model without one has a black one, as in GL.
    """

    def __init__(self, model: Any) -> None:
        self._table = np.zeros((3, _SKY_STEPS), np.float32)
        boxes = np.flatnonzero(model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX.value)
        if not boxes.size:
            return
        faces = texels(model, int(boxes[0]))
        side = faces.shape[1]
        faces = faces.reshape(-1, side, side, 3)
        around = faces[[0, 1, 4, 5]] if len(faces) >= 6 else faces[:1]
        rows = around.mean(axis=(0, 2))  # from the top of the box's walls to their bottom
        # The middle of a wall is at the height of the eye, its edges are 45 degrees off.
        upward = np.linspace(-1.0, 1.0, _SKY_STEPS)
        slope = upward / np.sqrt(np.maximum(1.0 - upward**2, 1e-9))
        position = (0.5 - 0.5 * np.clip(slope, -1.0, 1.0)) * (side - 1)
        for channel in range(3):
            self._table[channel] = np.interp(position, np.arange(side), rows[:, channel])

    def colour(self, upward: np.ndarray) -> np.ndarray:
        """(3, n) colours of rays whose unit directions have these z components, (n,)."""
        half = np.float32((_SKY_STEPS - 1) / 2)
        return self._table[:, ((upward + np.float32(1.0)) * half).astype(np.int32)]


def _shrink(image: np.ndarray, side: int) -> np.ndarray:
    """At most side x side, each texel the mean of the block that it stands for."""
    for axis in (0, 1):
        count = image.shape[axis]
        if count > side:
            edges = np.linspace(0, count, side + 1).astype(int)
            sums = np.add.reduceat(image, edges[:-1], axis=axis)
            widths = np.diff(edges).astype(np.float32)
            image = sums / widths.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    return image
