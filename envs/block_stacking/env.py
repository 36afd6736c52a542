"""The Gymnasium environment: red cube onto blue cube, 20 Hz Cartesian velocity control.

Actions, Box(-1, 1, (5,)):
    0-2  velocity of the pinch point along x, y, z of the world, times 0.10 m/s
    3    yaw rate, times 1 rad/s
    4    gripper: > 0 closes, <= 0 opens

Observations, `observation="state"` (float32):
    proprioception (8,)  pinch position relative to the workspace's centre [m] (3), sin yaw and
                         cos yaw, gripper opening (0 closed .. 1 open), grasp flag (both pads press
                         on one cube), pinch vertical velocity as a fraction of 0.10 m/s
    red, blue (7,)       position relative to the pinch point [m] (3), quaternion w, x, y, z, w >= 0
`observation="pixels"`: proprioception and the uint8 images front_left and front_right.

Rewards: "sparse" (default) is 1 on every step on which red rests on blue, let go; "shaped" is the
five-stage reward in [0, 1] (rewards.py). `info["success"]` is the sparse condition. With the sparse
reward and `terminate_on_success=True` the episode terminates once the condition has held for 20
control steps (1 s); otherwise it runs the paper's fixed 400 steps.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from gato_gym.envs.block_stacking import arm, scene
from gato_gym.envs.block_stacking.control import MAX_SPEED, MAX_YAW_RATE, CartesianController
from gato_gym.envs.block_stacking.physics import mujoco
from gato_gym.envs.block_stacking.rendering import FrameSource, choose_backend, frame_source
from gato_gym.envs.block_stacking.rewards import Situation, shaped_reward, sparse_reward

CONTROL_HZ = 20
STEPS_TO_HOLD = 20
OBSERVATION_CAMERAS = ("front_left", "front_right")
SPAWN_HALF = 0.10  # cubes appear within this of the workspace's centre (facts sheet 9.1)
MIN_SEPARATION = 0.09  # between cube centres: no overlap at any yaw
MIN_PRESS = 0.2  # N on each pad that counts as a grasp
PROPRIOCEPTION_LOW = np.array([-1, -1, -1, -1, -1, 0, 0, -5], np.float32)
PROPRIOCEPTION_HIGH = np.array([1, 1, 1, 1, 1, 1, 1, 5], np.float32)


class BlockStackingEnv(gymnasium.Env):
    """A seven-joint arm with a two-finger gripper stacks a red cube onto a blue one.

    Args:
        render_mode: None or "rgb_array".
        observation: "state" or "pixels".
        reward: "sparse" or "shaped".
        terminate_on_success: end a sparse-reward episode after 1 s of success.
        image_size: (height, width) of the images of "pixels".
        width, height, camera: of `render()`; cameras are studio, front_left, front_right.
        renderer: "egl", "osmesa", "glfw" or "raycast"; default $GATO_GYM_RENDERER, else the first
            that works on this machine. `render_backend` says which one is used.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": CONTROL_HZ}  # noqa: RUF012

    def __init__(
        self,
        render_mode: str | None = None,
        observation: str = "state",
        reward: str = "sparse",
        terminate_on_success: bool = True,
        image_size: tuple[int, int] = (64, 64),
        width: int = 320,
        height: int = 240,
        camera: str = "studio",
        renderer: str | None = None,
    ) -> None:
        _check_choice("observation", observation, ("state", "pixels"))
        _check_choice("reward", reward, ("sparse", "shaped"))
        _check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        _check_choice("camera", camera, ("studio", *OBSERVATION_CAMERAS))
        self.render_mode = render_mode
        self.observation = observation
        self.reward = reward
        self.terminate_on_success = terminate_on_success
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.frame_size = (int(width), int(height))
        self.camera = camera
        self._wanted_renderer = renderer
        self._frames: FrameSource | None = None
        self._backend: str | None = None

        self._canvas = (max(width, self.image_size[1]), max(height, self.image_size[0]))
        self.model = scene.build_model(offscreen=self._canvas)
        self.data = mujoco.MjData(self.model)
        self.controller = CartesianController(self.model, 1.0 / CONTROL_HZ)
        self._find_parts()
        self.action_space = spaces.Box(-1.0, 1.0, (5,), np.float32)
        self.observation_space = self._observation_space()
        self._held = 0
        self._last_height = 0.0

    @property
    def render_backend(self) -> str:
        """What draws frames: "egl", "osmesa", "glfw" or "raycast"."""
        if self._backend is None:
            self._backend = choose_backend(self._wanted_renderer)
        return self._backend

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Random arm pose, cube positions and yaws, at rest."""
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)  # warm starts too: rollouts repeat bit by bit
        centre = np.array(scene.WORKSPACE_CENTRE)
        blue = red = np.zeros(2)
        while np.linalg.norm(red - blue) < MIN_SEPARATION:
            red, blue = self.np_random.uniform(-SPAWN_HALF, SPAWN_HALF, (2, 2))
        for name, offset in (("red", red), ("blue", blue)):
            yaw = self.np_random.uniform(-np.pi / 4, np.pi / 4)
            address = self._qpos[name]
            self.data.qpos[address : address + 2] = centre[:2] + offset
            self.data.qpos[address + 2] = scene.CUBE_SIDE / 2
            self.data.qpos[address + 3 : address + 7] = np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)
        pinch = self.np_random.uniform((0.45, -0.14, 0.11), (0.65, 0.14, 0.23))
        yaw = self.np_random.uniform(-np.pi / 4, np.pi / 4)
        for finger in ("finger_left", "finger_right"):
            self.data.joint(finger).qpos[0] = arm.APERTURE / 2
        self.controller.place(self.data, pinch, yaw)
        for _ in range(3):
            self.controller.apply(self.data, np.zeros(3), 0.0, close=False)
        self._held = 0
        self._last_height = self.controller.pose(self.data)[0][2]
        return self._observe(), {"success": bool(sparse_reward(self.situation()))}

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """One control step of 50 ms; out-of-range actions are clipped.

        Raises:
            ValueError: the action has another shape than (5,) or is not finite.
        """
        action = np.asarray(action, np.float64)
        if action.shape != (5,):
            raise ValueError(f"the action has shape {action.shape}, expected (5,)")
        if not np.isfinite(action).all():
            raise ValueError(f"the action is not finite: {action.tolist()}")
        action = np.clip(action, -1.0, 1.0)
        self._last_height = self.controller.pose(self.data)[0][2]
        self.controller.apply(
            self.data, MAX_SPEED * action[:3], MAX_YAW_RATE * action[3], close=bool(action[4] > 0)
        )
        situation = self.situation()
        sparse = sparse_reward(situation)
        self._held = self._held + 1 if sparse else 0
        may_end = self.reward == "sparse" and self.terminate_on_success
        terminated = may_end and self._held >= STEPS_TO_HOLD
        reward = sparse if self.reward == "sparse" else shaped_reward(situation)
        return self._observe(), reward, terminated, False, {"success": bool(sparse)}

    def render(self) -> np.ndarray | None:
        """The frame, (height, width, 3) uint8, for render_mode "rgb_array"; else None."""
        if self.render_mode is None:
            gymnasium.logger.warn('render() needs render_mode="rgb_array"')
            return None
        return self._draw(self.camera, *self.frame_size, shadows=True)

    def close(self) -> None:
        """Frees the renderer."""
        close = getattr(self._frames, "close", None)
        if close is not None:
            close()
        self._frames = None

    def state_observation(self) -> dict[str, np.ndarray]:
        """The "state" observation, whatever this environment's own observation is."""
        pinch, _ = self.controller.pose(self.data)
        parts = {"proprioception": self._proprioception()}
        for name in ("red", "blue"):
            address = self._qpos[name]
            quaternion = self.data.qpos[address + 3 : address + 7]
            quaternion = quaternion / np.linalg.norm(quaternion)
            leading = quaternion[np.flatnonzero(np.abs(quaternion) > 1e-9)[0]]
            if leading < 0:
                quaternion = -quaternion
            offset = np.clip(self.data.qpos[address : address + 3] - pinch, -2.0, 2.0)
            parts[name] = np.concatenate([offset, np.clip(quaternion, -1, 1)]).astype(np.float32)
        return parts

    def situation(self) -> Situation:
        """What the rewards are computed from."""
        pinch, _ = self.controller.pose(self.data)
        red = self._position("red")
        touching = self._bodies_touching("red")
        inside = np.all(red >= np.array(scene.WORKSPACE_LOW) - scene.CUBE_SIDE / 2) and np.all(
            red <= np.array(scene.WORKSPACE_HIGH)
        )
        return Situation(
            pinch=pinch,
            red=red,
            blue=self._position("blue"),
            closing=1.0 - self._opening(),
            grasping=self._grasping(),
            in_workspace=bool(inside),
            red_touches_blue=self._blue_body in touching,
            red_touches_table=0 in touching,
            red_touches_robot=bool(touching & self._robot_bodies),
        )

    def _find_parts(self) -> None:
        model = self.model
        self._qpos = {name: int(model.joint(name).qposadr[0]) for name in ("red", "blue")}
        self._blue_body = model.body("blue").id
        base = model.body("base").id
        self._robot_bodies = {i for i in range(model.nbody) if model.body_rootid[i] == base}
        self._pads = {model.geom("pad_left").id, model.geom("pad_right").id}
        self._cubes = {model.geom("red").id, model.geom("blue").id}
        self._fingers = [model.joint(f"finger_{side}").qposadr[0] for side in ("left", "right")]

    def _observation_space(self) -> spaces.Dict:
        parts: dict[str, spaces.Space] = {
            "proprioception": spaces.Box(PROPRIOCEPTION_LOW, PROPRIOCEPTION_HIGH)
        }
        if self.observation == "pixels":
            image = spaces.Box(0, 255, (*self.image_size, 3), np.uint8)
            return spaces.Dict({**parts, **dict.fromkeys(OBSERVATION_CAMERAS, image)})
        bound = np.array([2, 2, 2, 1, 1, 1, 1], np.float32)
        return spaces.Dict(
            {**parts, "red": spaces.Box(-bound, bound), "blue": spaces.Box(-bound, bound)}
        )

    def _observe(self) -> dict[str, np.ndarray]:
        if self.observation == "state":
            return self.state_observation()
        height, width = self.image_size
        images = {
            name: self._draw(name, width, height, shadows=False) for name in OBSERVATION_CAMERAS
        }
        return {"proprioception": self._proprioception(), **images}

    def _proprioception(self) -> np.ndarray:
        pinch, yaw = self.controller.pose(self.data)
        speed = (pinch[2] - self._last_height) * CONTROL_HZ / MAX_SPEED
        values = np.array(
            [
                *(pinch - scene.WORKSPACE_CENTRE),
                np.sin(yaw),
                np.cos(yaw),
                self._opening(),
                float(self._grasping()),
                speed,
            ],
            np.float32,
        )
        return np.clip(values, PROPRIOCEPTION_LOW, PROPRIOCEPTION_HIGH)

    def _opening(self) -> float:
        return float(np.clip(self.data.qpos[self._fingers].sum() / arm.APERTURE, 0.0, 1.0))

    def _position(self, cube: str) -> np.ndarray:
        address = self._qpos[cube]
        return self.data.qpos[address : address + 3].copy()

    def _bodies_touching(self, body: str) -> set[int]:
        geom = self.model.geom(body).id
        pairs = self.data.contact.geom
        others = [*pairs[pairs[:, 0] == geom, 1], *pairs[pairs[:, 1] == geom, 0]]
        return {int(self.model.geom_bodyid[other]) for other in others}

    def _grasping(self) -> bool:
        pressed: dict[int, dict[int, float]] = {}
        force = np.zeros(6)
        for index, (a, b) in enumerate(self.data.contact.geom):
            pad, cube = (a, b) if a in self._pads else (b, a)
            if pad in self._pads and cube in self._cubes:
                mujoco.mj_contactForce(self.model, self.data, index, force)
                pads = pressed.setdefault(int(cube), {})
                pads[int(pad)] = pads.get(int(pad), 0.0) + force[0]
        return any(len(pads) == 2 and min(pads.values()) > MIN_PRESS for pads in pressed.values())

    def _draw(self, camera: str, width: int, height: int, *, shadows: bool) -> np.ndarray:
        if self._frames is None:
            self._frames = frame_source(self.model, self.render_backend, *self._canvas)
        mujoco.mj_camlight(self.model, self.data)
        return self._frames.render(self.data, camera, width, height, shadows=shadows)


def _check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        raise ValueError(
            f"{name}={value!r} is unknown; expected one of {', '.join(map(repr, choices))}"
        )
