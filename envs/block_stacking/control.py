"""Turns a Cartesian velocity into joint commands: damped least squares with a null-space posture.

Facts sheet 9.2: the tool is held vertical by a proportional term on its tilt, and spare motion goes
to a posture. Every joint's servo follows a target that moves with the solved joint velocity (as
Sawyer's integrated-velocity actuators do), so a payload does not make a resting arm sag.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gato_gym.envs.block_stacking import arm, scene
from gato_gym.envs.rendering.physics import mujoco

MAX_SPEED = 0.10  # m/s per axis; the original allows 0.07
MAX_YAW_RATE = 1.0  # rad/s
MAX_YAW = math.pi / 2  # the wrist limit of facts sheet 9.1
# Published joint velocity limits of the arm.
JOINT_SPEED = np.array([2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61])
_SHARE = 1.0 / JOINT_SPEED
DAMPING = 1e-3
TILT_GAIN = 4.0
POSTURE_GAIN = 0.5
# A target never stays further ahead of its joint than this [rad]: pushing against something must
# not wind it up, or the next commands would be spent on unwinding.
MAX_LEAD = 0.03
_LAG = arm.VELOCITY_GAIN / arm.POSITION_GAIN  # s by which a servo trails a moving target


class CartesianController:
    """Owns the targets of the arm's joints; `apply` runs one control step of physics."""

    def __init__(self, model: Any, data: Any, control_dt: float) -> None:
        self.model, self.data = model, data
        self.control_dt = control_dt
        self.substeps = round(control_dt / model.opt.timestep)
        self.site = model.site("pinch").id
        self.gripper = model.actuator("gripper").id
        self.home = np.array(arm.HOME)
        self.low, self.high = scene.WORKSPACE_LOW, scene.WORKSPACE_HIGH
        # The arm comes first in the model: its joints, actuators and their states are 0..6.
        arm_joints = slice(0, len(arm.ARM_JOINTS))
        self._low_joint, self._high_joint = model.jnt_range[arm_joints].T
        self._angles = data.qpos[arm_joints]
        self._targets = data.act[arm_joints]
        self._speeds = data.ctrl[arm_joints]
        self._position = data.site_xpos[self.site]
        self._matrix = data.site_xmat[self.site]
        self._jacobian = np.zeros((6, model.nv))
        self._position_rows, self._rotation_rows = self._jacobian[:3], self._jacobian[3:]
        self._arm_jacobian = self._jacobian[:, arm_joints]
        self._damping = DAMPING**2 * np.eye(6)
        self._gram, self._solution = np.zeros((6, 6)), np.zeros(6)

    def pose(self) -> tuple[np.ndarray, float]:
        """Pinch position in the world [m] and yaw of the fingers about the vertical [rad]."""
        return self._position.copy(), self._yaw()

    def place(self, position: np.ndarray, yaw: float) -> None:
        """Solves the inverse kinematics of a pose by iteration and puts the arm there, at rest."""
        self._angles[:] = self.home
        for _ in range(100):
            self._update()
            here, angle = self.pose()
            twist = np.array([*(position - here), *self._tilt_error(), yaw - angle])
            if np.abs(twist).max() < 1e-6:
                break
            step = np.clip(self._solve(twist, posture_gain=0.0), -0.3, 0.3)
            self._angles[:] = np.clip(self._angles + step, self._low_joint, self._high_joint)
        self.data.qvel[: len(self.home)] = 0.0
        self._targets[:] = self._angles
        self._speeds[:] = 0.0

    def apply(self, velocity: Any, yaw_rate: float, close: bool) -> None:
        """Runs one control step: velocity [m/s] in the world frame, yaw rate [rad/s]."""
        dt = self.control_dt
        here, yaw = self._position.tolist(), self._yaw()
        # Components that lead out of the workspace box are cut to what still fits.
        x, y, z = [
            min(max(v, (lo - x) / dt, -MAX_SPEED), (hi - x) / dt, MAX_SPEED)
            for v, x, lo, hi in zip(velocity, here, self.low, self.high, strict=True)
        ]
        tilt_x, tilt_y = self._tilt_error()
        turn = min(max(yaw_rate, (-MAX_YAW - yaw) / dt), (MAX_YAW - yaw) / dt)
        twist = np.array((x, y, z, TILT_GAIN * tilt_x, TILT_GAIN * tilt_y, turn))
        speed = self._solve(twist, POSTURE_GAIN)
        # Scaled as a whole, so that the tool slows down but does not leave its direction.
        share = max(map(abs, (speed * _SHARE).tolist()))
        if share > 1.0:
            speed /= share
        ahead = _LAG * speed
        self._targets += ahead
        self._speeds[:] = speed
        self.data.ctrl[self.gripper] = 0.0 if close else arm.APERTURE / 2
        mujoco.mj_step(self.model, self.data, nstep=self.substeps)
        lead = self._targets - ahead - self._angles
        if max(map(abs, lead.tolist())) > MAX_LEAD:
            np.clip(lead, -MAX_LEAD, MAX_LEAD, out=lead)
        np.add(self._angles, lead, out=self._targets)
        # mj_step leaves positions of before its last integration; sensors read the current ones.
        self._update()

    def _update(self) -> None:
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)

    def _yaw(self) -> float:
        return math.atan2(self._matrix[3], self._matrix[0])

    def _tilt_error(self) -> tuple[float, float]:
        """The rotation vector (x, y) that turns the tool's axis back to vertical."""
        return float(self._matrix[5]), -float(self._matrix[2])  # axis x (0, 0, 1)

    def _solve(self, twist: np.ndarray, posture_gain: float) -> np.ndarray:
        mujoco.mj_jacSite(
            self.model, self.data, self._position_rows, self._rotation_rows, self.site
        )
        jacobian = self._arm_jacobian
        posture = self.home - self._angles
        posture *= posture_gain
        np.matmul(jacobian, jacobian.T, out=self._gram)
        self._gram += self._damping
        # MuJoCo's own solver: NumPy's takes several times as long for a 6 x 6 matrix.
        mujoco.mju_cholFactor(self._gram, 0.0)
        mujoco.mju_cholSolve(self._solution, self._gram, twist - jacobian @ posture)
        # joint speed = J+ twist + (1 - J+ J) posture
        return posture + jacobian.T @ self._solution
