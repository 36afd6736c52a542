"""Turns a Cartesian velocity into joint commands: damped least squares with a null-space posture.

Facts sheet 9.2: the tool is held vertical by a proportional term on its tilt, and spare motion goes
to a posture. The reference is a joint position that moves with the solved joint velocity (as
Sawyer's integrated-velocity actuators do), so a payload does not make a resting arm sag.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gato_gym.envs.block_stacking import arm, scene
from gato_gym.envs.block_stacking.physics import mujoco

MAX_SPEED = 0.10  # m/s per axis; the original allows 0.07
MAX_YAW_RATE = 1.0  # rad/s
MAX_YAW = np.pi / 2  # the wrist limit of facts sheet 9.1
# Published joint velocity limits of the arm.
JOINT_SPEED = np.array([2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61])
DAMPING = 1e-3
TILT_GAIN = 4.0
POSTURE_GAIN = 0.5
# The reference never runs further ahead of the arm than this [rad]: pushing against something must
# not wind it up, or the next commands would be spent on unwinding.
MAX_LEAD = 0.03
CHUNKS = 4  # pieces of a control step over which the reference moves


class CartesianController:
    """Owns the arm's joint reference; `apply` runs one control step of physics."""

    def __init__(self, model: Any, control_dt: float) -> None:
        self.model = model
        self.control_dt = control_dt
        self.substeps = round(control_dt / model.opt.timestep)
        self.site = model.site("pinch").id
        self.joints = np.array([model.joint(name).qposadr[0] for name in arm.ARM_JOINTS])
        self.dofs = np.array([model.joint(name).dofadr[0] for name in arm.ARM_JOINTS])
        self.limits = model.jnt_range[[model.joint(name).id for name in arm.ARM_JOINTS]]
        self.gripper = model.actuator("gripper").id
        self.home = np.array(arm.HOME)
        self.low, self.high = np.array(scene.WORKSPACE_LOW), np.array(scene.WORKSPACE_HIGH)
        self.reference = self.home.copy()
        self._jacobian = np.zeros((6, model.nv))

    def pose(self, data: Any) -> tuple[np.ndarray, float]:
        """Pinch position in the world and yaw of the fingers about the vertical."""
        matrix = data.site_xmat[self.site].reshape(3, 3)
        return data.site_xpos[self.site].copy(), float(np.arctan2(matrix[1, 0], matrix[0, 0]))

    def place(self, data: Any, position: np.ndarray, yaw: float) -> None:
        """Solves the inverse kinematics of a pose by iteration and puts the arm there, at rest."""
        data.qpos[self.joints] = self.home
        for _ in range(100):
            mujoco.mj_kinematics(self.model, data)
            mujoco.mj_comPos(self.model, data)
            here, angle = self.pose(data)
            twist = np.zeros(6)
            twist[:3] = position - here
            twist[3:] = self._tilt_error(data)
            twist[5] = yaw - angle
            if np.abs(twist).max() < 1e-6:
                break
            step = self._solve(data, twist, posture_gain=0.0)
            data.qpos[self.joints] = np.clip(
                data.qpos[self.joints] + np.clip(step, -0.3, 0.3), *self.limits.T
            )
        self.reference = data.qpos[self.joints].copy()
        data.ctrl[:7] = self.reference

    def apply(self, data: Any, velocity: np.ndarray, yaw_rate: float, close: bool) -> None:
        """Runs one control step: velocity [m/s] in the world frame, yaw rate [rad/s]."""
        dt = self.control_dt
        here, yaw = self.pose(data)
        twist = np.empty(6)
        # Components that lead out of the workspace box are cut to what still fits.
        reachable = (
            np.clip((self.low - here) / dt, -MAX_SPEED, None),
            np.clip((self.high - here) / dt, None, MAX_SPEED),
        )
        twist[:3] = np.clip(velocity, *reachable)
        twist[3:] = TILT_GAIN * self._tilt_error(data)
        twist[5] = np.clip(yaw_rate, (-MAX_YAW - yaw) / dt, (MAX_YAW - yaw) / dt)
        speed = self._solve(data, twist, POSTURE_GAIN)
        # Scaled as a whole, so that the tool slows down but does not leave its direction.
        speed /= max(1.0, float((np.abs(speed) / JOINT_SPEED).max()))
        lead = arm.VELOCITY_GAIN / arm.POSITION_GAIN  # cancels the servo's velocity lag
        data.ctrl[self.gripper] = 0.0 if close else arm.APERTURE / 2
        for _ in range(CHUNKS):
            target = np.clip(self.reference + speed * (dt / CHUNKS), *self.limits.T)
            actual = data.qpos[self.joints]
            self.reference = np.clip(target, actual - MAX_LEAD, actual + MAX_LEAD)
            data.ctrl[:7] = self.reference + lead * speed
            mujoco.mj_step(self.model, data, nstep=self.substeps // CHUNKS)
        # mj_step leaves positions of before its last integration; sensors read the current ones.
        mujoco.mj_kinematics(self.model, data)
        mujoco.mj_comPos(self.model, data)

    def _tilt_error(self, data: Any) -> np.ndarray:
        """The rotation vector that would turn the tool's axis back to vertical (no yaw part)."""
        axis = data.site_xmat[self.site].reshape(3, 3)[:, 2]
        return np.array([axis[1], -axis[0], 0.0])  # axis x (0, 0, 1)

    def _solve(self, data: Any, twist: np.ndarray, posture_gain: float) -> np.ndarray:
        mujoco.mj_jacSite(self.model, data, self._jacobian[:3], self._jacobian[3:], self.site)
        jacobian = self._jacobian[:, self.dofs]
        gram = jacobian @ jacobian.T + DAMPING**2 * np.eye(6)
        posture = posture_gain * (self.home - data.qpos[self.joints])
        # joint speed = J+ twist + (1 - J+ J) posture
        return posture + jacobian.T @ np.linalg.solve(gram, twist - jacobian @ posture)
