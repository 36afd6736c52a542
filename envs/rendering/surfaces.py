"""What each geom of a model looks like to the ray caster, kept up to date with the model."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from gato_gym.envs.rendering.physics import mujoco
from gato_gym.envs.rendering.textures import PlanePattern, material_texture, texels

# The groups by which a cast selects geoms.
STILL, MOVING, STILL_CLEAR, MOVING_CLEAR, HIDDEN = 0, 1, 2, 3, 5
_SHOWN_GROUPS = 3  # MuJoCo's default visualisation shows groups 0, 1 and 2
FAINTEST = 0.1  # what lets more light through is not drawn
_OPAQUE = 0.99
_UNSET = (0.5, 0.5, 0.5, 1.0)  # a geom with this colour shows its material's
_PLANE = mujoco.mjtGeom.mjGEOM_PLANE.value
_FLAT = mujoco.mjtTexture.mjTEXTURE_2D.value
_EVERYWHERE = 1e6  # m
_LIVE = (
    "geom_rgba", "geom_matid", "geom_group", "geom_size", "geom_aabb", "geom_rbound",
    "mat_rgba", "mat_specular", "mat_shininess", "mat_emission",
)  # fmt: skip


class Surfaces:
    """Colours and classes of a model's geoms, and a copy of the model to cast rays in.

    `version` grows whenever `refresh` found the model's colours, groups or sizes changed: an
    environment may repaint its model between episodes.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.cast_model = copy.copy(model)
        self.version = 0
        self._seen: list[np.ndarray] = []
        self._means: dict[int, np.ndarray] = {}
        self.refresh()

    def refresh(self) -> None:
        """Follows changes of the model since the last call."""
        live = [getattr(self.model, name) for name in _LIVE]
        if self._seen and all(map(np.array_equal, live, self._seen)):
            return
        self._seen = [array.copy() for array in live]
        self.version += 1
        self._read()
        self._prepare_casts()

    def _read(self) -> None:
        model = self.model
        material = model.geom_matid
        rgba = model.geom_rgba.astype(np.float32)
        count = model.ngeom
        # What a geom without a material gets in MuJoCo.
        self.specular = np.full(count, 0.5, np.float32)
        self.tint = np.ones((count, 3), np.float32)  # the mean colour of its texture
        self.exponent = np.full(count, 64.0, np.float32)
        self.emission = np.zeros(count, np.float32)
        self.patterns: dict[int, PlanePattern] = {}
        for geom in np.flatnonzero(material >= 0):
            mat = int(material[geom])
            if tuple(rgba[geom]) == _UNSET:
                rgba[geom] = model.mat_rgba[mat]
            self.specular[geom] = model.mat_specular[mat]
            self.exponent[geom] = max(1.0, 128.0 * model.mat_shininess[mat])
            self.emission[geom] = model.mat_emission[mat]
            texture = material_texture(model, mat)
            if texture >= 0:
                self.tint[geom] = self._mean(texture)
                if model.geom_type[geom] == _PLANE and model.tex_type[texture] == _FLAT:
                    self.patterns[int(geom)] = PlanePattern(model, int(geom), mat)
        skinned = self._show_through_skin(rgba)
        self.textured = bool((self.tint != 1.0).any())
        self.rgb = np.ascontiguousarray(rgba[:, :3])
        self.alpha = rgba[:, 3].copy()
        body = model.geom_bodyid
        welded = model.body_weldid[body] == 0
        self.moving = ~welded | (model.body_mocapid[model.body_rootid[body]] >= 0)
        clear = self.alpha < _OPAQUE
        hidden = (model.geom_group >= _SHOWN_GROUPS) & ~skinned | (self.alpha < FAINTEST)
        groups = np.where(self.moving, MOVING, STILL) + np.where(clear, STILL_CLEAR, 0)
        self.groups = np.where(hidden, HIDDEN, groups).astype(model.geom_group.dtype)
        self.has_clear = bool((clear & ~hidden).any())
        # Planes so large that their edge would be a line across the picture fade into the sky
        # towards this distance [m]: from the plane's middle, or from the eye if it has no edge.
        horizon = float(model.vis.map.zfar * model.stat.extent)
        self.edgeless = (model.geom_size[:, :2] == 0).any(axis=1)
        reach = np.where(self.edgeless, horizon, model.geom_size[:, :2].min(axis=1))
        endless = (model.geom_type == _PLANE) & (reach >= 3 * model.stat.extent)
        self.fading = np.where(endless, reach, 0.0).astype(np.float32)

    def _show_through_skin(self, rgba: np.ndarray) -> np.ndarray:
        """Paints and tells which hidden geoms, (ngeom,) bool, stand in for skins: no ray hits a
        skin, but the geoms that collide in its place have its shape, roughly."""
        model = self.model
        shown = np.zeros(model.ngeom, bool)
        for skin in range(model.nskin):
            first = model.skin_boneadr[skin]
            bones = model.skin_bonebodyid[first : first + model.skin_bonenum[skin]]
            solid = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
            inside = np.isin(model.geom_bodyid, bones) & solid
            inside &= model.geom_group >= _SHOWN_GROUPS
            material = int(model.skin_matid[skin])
            rgba[inside] = model.mat_rgba[material] if material >= 0 else model.skin_rgba[skin]
            texture = material_texture(model, material) if material >= 0 else -1
            self.tint[inside] = self._mean(texture) if texture >= 0 else 1.0
            shown |= inside
        return shown

    def _prepare_casts(self) -> None:
        """Sorts the geoms of the model for the casts into groups, and opens its bounding boxes."""
        model, cast = self.model, self.cast_model
        for name in ("geom_size", "geom_aabb", "geom_rbound"):
            getattr(cast, name)[:] = getattr(model, name)
        cast.geom_group[:] = self.groups
        cast.geom_matid[:] = -1  # or a cast would skip geoms with an invisible material
        cast.geom_rgba[:, 3] = 1.0
        # `mj_multiRay` skips a body whose bounding box a ray seems to miss: but the box is only
        # around the geoms that can collide, and it is compared by the angles of its corners, which
        # is wrong for long boxes. A box around everything is never skipped.
        roots = model.body_bvhadr[model.body_bvhnum > 0]
        cast.bvh_aabb[roots] = [0.0, 0.0, 0.0, _EVERYWHERE, _EVERYWHERE, _EVERYWHERE]

    def _mean(self, texture: int) -> np.ndarray:
        if texture not in self._means:
            self._means[texture] = texels(self.model, texture).mean(axis=(0, 1))
        return self._means[texture]
