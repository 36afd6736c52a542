"""Domain randomisation: one draw of the physics and the looks of a model, and the way back.

Every quantity is scaled or shifted from its nominal value, never from the last draw.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

# Factors are drawn log-uniformly within [1 / x, x], shifts uniformly within [-x, x].
MASS, FRICTION, GAIN = 1.5, 1.4, 1.1
COLOUR, LIGHT = 0.06, 0.12  # of red, green, blue in 0..1; of a unit vector
CAMERA_SHIFT, CAMERA_TURN = 0.015, 0.015  # m, rad
_FIELDS = (
    "body_mass",
    "body_inertia",
    "body_subtreemass",
    "body_invweight0",
    "dof_invweight0",
    "geom_friction",
    "geom_rgba",
    "light_dir",
    "light_diffuse",
    "cam_pos",
    "cam_quat",
    "actuator_gainprm",
    "actuator_biasprm",
)


class Randomiser:
    """Draws and restores one model's parameters."""

    def __init__(self, model: Any, objects: Iterable[str]) -> None:
        self.model = model
        self._nominal = {field: getattr(model, field).copy() for field in _FIELDS}
        self._bodies = [model.body(name).id for name in objects]
        self._geoms = [model.geom(name).id for name in objects]
        self._table = model.geom("ground").id

    def restore(self) -> None:
        """The nominal model, bit by bit."""
        for field, values in self._nominal.items():
            getattr(self.model, field)[:] = values

    def draw(self, rng: np.random.Generator) -> None:
        """One model from `rng`."""
        self.restore()
        model = self.model
        for body in self._bodies:
            factor = _factor(rng, MASS)
            model.body_subtreemass[0] += (factor - 1.0) * model.body_mass[body]
            # What the compiler derives from a mass goes along with it.
            for field in ("body_mass", "body_inertia", "body_subtreemass"):
                getattr(model, field)[body] *= factor
            model.body_invweight0[body] /= factor
            model.dof_invweight0[model.body_dofadr[body] :][:6] /= factor
        # The pads are what holds an object: their friction is the pair's.
        pads = [model.geom(f"pad_{side}").id for side in ("left", "right")]
        model.geom_friction[pads, 0] *= _factor(rng, FRICTION)
        for geom in (*self._geoms, self._table):
            model.geom_friction[geom, 0] *= _factor(rng, FRICTION)
        shift = rng.uniform(-COLOUR, COLOUR, (model.ngeom, 3))
        model.geom_rgba[:, :3] = np.clip(model.geom_rgba[:, :3] + shift, 0.0, 1.0)
        model.light_dir[:] += rng.uniform(-LIGHT, LIGHT, model.light_dir.shape)
        model.light_dir[:] /= np.linalg.norm(model.light_dir, axis=1, keepdims=True)
        model.light_diffuse[:] *= _factor(rng, 1.2)
        for camera in range(model.ncam):
            model.cam_pos[camera] += rng.uniform(-CAMERA_SHIFT, CAMERA_SHIFT, 3)
            turn = rng.uniform(-CAMERA_TURN / 2, CAMERA_TURN / 2, 3)
            quaternion = _product(model.cam_quat[camera], np.array([1.0, *turn]))
            model.cam_quat[camera] = quaternion / np.linalg.norm(quaternion)
        for actuator in range(model.nu):
            factor = _factor(rng, GAIN)
            model.actuator_gainprm[actuator] *= factor
            model.actuator_biasprm[actuator] *= factor


def _factor(rng: np.random.Generator, most: float) -> float:
    return float(most ** rng.uniform(-1.0, 1.0))


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The quaternion a b."""
    w = a[0] * b[0] - a[1:] @ b[1:]
    return np.array([w, *(a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:]))])
