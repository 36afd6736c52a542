"""Control suite tasks whose bodies and actuators change from episode to episode.

Facts sheet section 7: "randomised actuator gear, joint range/stiffness/damping, geom size/density",
factors from [0.9, 0.95] U [1.05, 1.1] (small) or [0.6, 0.8] U [1.2, 1.4] (large). Per episode, one
factor is drawn for each of the six quantities and multiplies all values of that quantity: legs stay
symmetric, and stacked boxes fit their targets.

- gear: the transmission of every actuator.
- range: both limits of every limited joint, with signs as they are.
- stiffness, damping: springs and dampers of the joints, about unchanged rest positions.
- size s: every dimension of the geoms of moving bodies, each about its own centre; joints stay
  where they are. The scenery (geoms of the world: floor, walls) keeps its size, and so do meshes
  and the bodies they belong to.
- density d: of all bodies. Mass scales with d s^3 and rotational inertia with d s^5, which is exact
  for a body of one geom; of a body of several geoms it takes the distances between them as scaled.

The model is edited in place, always from a copy of the nominal values, then MuJoCo derives the
constants that depend on them (`mj_setConst`): nothing of one episode is left in the next. The task
itself still sets what it sets at the start of an episode (the size of a target, for example).
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

from gato_gym.envs.families.dm_control_envs import SuiteTask
from gato_gym.envs.families.dm_control_package import mujoco

INTERVALS = {
    "small": ((0.9, 0.95), (1.05, 1.1)),
    "large": ((0.6, 0.8), (1.2, 1.4)),
}
QUANTITIES = ("gear", "range", "stiffness", "damping", "size", "density")

# What this file, mj_setConst or a task may write; the rest of a model (meshes, textures) is big.
_FIELDS = (
    "actuator_",
    "body_",
    "bvh_aabb",
    "cam_",
    "dof_",
    "eq_",
    "geom_",
    "jnt_",
    "light_",
    "qpos",
    "site_",
    "tendon_",
)


class RandomTask(SuiteTask):
    """A task of the control suite with dynamics drawn at every reset, from the reset's seed.

    Args:
        domain_name, task_name: as in `dm_control.suite.load`.
        strength: "small" or "large".
        kwargs: as in `SuiteTask`.

    Attributes:
        factors: quantity -> factor of the present episode; empty before the first.
    """

    def __init__(self, domain_name: str, task_name: str, strength: str, **kwargs: Any) -> None:
        if strength not in INTERVALS:
            raise ValueError(
                f"strength={strength!r} is unknown; expected one of {', '.join(INTERVALS)}"
            )
        super().__init__(domain_name, task_name, **kwargs)
        self.strength = strength
        self.factors: dict[str, float] = {}
        self._dynamics_random = np.random.default_rng()
        model = self._env.physics.model.ptr
        self._nominal = {name: getattr(model, name).copy() for name in _array_fields(model)}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Draws dynamics and starts an episode; the same seed gives the same one."""
        if seed is not None:
            self._dynamics_random = np.random.default_rng(seed)
        self.factors = draw_factors(self._dynamics_random, self.strength)
        physics = self._env.physics
        apply_factors(physics.model.ptr, physics.data.ptr, self._nominal, self.factors)
        return super().reset(seed=seed, options=options)


def draw_factors(random: np.random.Generator, strength: str) -> dict[str, float]:
    """One factor per quantity, uniform in the union of the two intervals of that strength."""
    intervals = INTERVALS[strength]  # of one length, so each is as likely as the other
    chosen = random.integers(len(intervals), size=len(QUANTITIES))
    return {
        name: float(random.uniform(*intervals[which]))
        for name, which in zip(QUANTITIES, chosen, strict=True)
    }


def apply_factors(
    model: Any, data: Any, nominal: dict[str, np.ndarray], factors: dict[str, float]
) -> None:
    """Makes `model` the nominal one times the factors. `data` is overwritten: reset it after."""
    for name, values in nominal.items():
        getattr(model, name)[...] = values
    size, density = factors["size"], factors["density"]
    model.actuator_gear[:] *= factors["gear"]
    model.jnt_range[:] *= factors["range"]
    model.jnt_stiffness[:] *= factors["stiffness"]
    model.dof_damping[:] *= factors["damping"]

    shapes = (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_HFIELD, mujoco.mjtGeom.mjGEOM_MESH)
    fixed = np.isin(model.geom_type, [int(shape) for shape in shapes])
    rigid = np.zeros(model.nbody, bool)
    rigid[model.geom_bodyid[fixed]] = True
    rigid[0] = True
    geoms = ~rigid[model.geom_bodyid]
    model.geom_size[geoms] *= size
    model.geom_rbound[geoms] *= size
    model.geom_aabb[geoms] *= size
    # Boxes around the geoms of one body: grown ones still enclose them, those of shrunk geoms do
    # as they are. Centres stay.
    model.bvh_aabb[:, 3:] *= max(size, 1.0)
    sizes = np.where(rigid, 1.0, size)
    model.body_mass[:] *= density * sizes**3
    model.body_inertia[:] *= (density * sizes**5)[:, None]
    # It also measures the model again, but the size of the scene, by which cameras clip what is
    # near or far, was the author's to say.
    seen = {name: copy(getattr(model.stat, name)) for name in ("center", "extent")}
    mujoco.mj_setConst(model, data)
    model.stat.center[:] = seen["center"]
    model.stat.extent = seen["extent"]


def _array_fields(model: Any) -> list[str]:
    names = [name for name in dir(model) if name.startswith(_FIELDS)]
    return [name for name in names if isinstance(getattr(model, name), np.ndarray)]
