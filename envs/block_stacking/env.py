"""The Gymnasium environment of every task of the family: 20 Hz Cartesian velocity control.

Actions, Box(-1, 1, (5,)):
    0-2  velocity of the pinch point along x, y, z of the world, times 0.10 m/s
    3    yaw rate, times 1 rad/s
    4    gripper: > 0 closes, <= 0 opens

Observations, `observation="state"` (float32):
    proprioception (8,)  pinch position relative to the workspace's centre [m] (3), sin yaw and
                         cos yaw, gripper opening (0 closed .. 1 open), grasp flag (both pads press
                         on one object), pinch vertical velocity as a fraction of 0.10 m/s
    red, blue, green (7,)  as far as the task has them: position relative to the pinch point [m],
                         along the world's axes (3); orientation relative to the fingers, which the
                         yaw turns: quaternion w, x, y, z, w >= 0
    shapes (3, 6)        tasks with objects other than cubes: the parameters of red, blue, green
                         (sides, shrink, shear, three sizes), scaled to about [-1, 1]
    instruction          the instructed task: a sentence that says which block goes on which
`observation="pixels"`: proprioception, instruction as above, and the uint8 images front_left and
front_right.

Rewards: "sparse" (default) is 1 on every step on which the goal holds (rewards.py); "shaped" is the
reward in stages, in [0, 1]. `info["success"]` is the sparse condition. With the sparse reward and
`terminate_on_success=True` the episode terminates once the condition has held for 20 control steps
(1 s); otherwise it runs the paper's fixed 400 steps. Where there is an instruction, the named pair
is what counts, and `info["upper"]` and `info["lower"]` are its colours.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from gato_gym.envs.block_stacking import (
    instructions,
    observations,
    placement,
    scene,
    scenes,
)
from gato_gym.envs.block_stacking.control import MAX_SPEED, MAX_YAW_RATE, CartesianController
from gato_gym.envs.block_stacking.palettes import PALETTES, STANDARD
from gato_gym.envs.block_stacking.randomise import Randomiser
from gato_gym.envs.block_stacking.rewards import SHAPED, SUCCESS, out_of_question
from gato_gym.envs.block_stacking.shapes import SHAPES, TRAINING_SHAPES, Shape
from gato_gym.envs.block_stacking.situation import Sensors, Situation
from gato_gym.envs.block_stacking.tasks import ANY_TRAINING_SHAPE, TASKS
from gato_gym.envs.rendering import FrameSource, choose_backend, frame_source
from gato_gym.envs.rendering.physics import mujoco

CONTROL_HZ = 20
STEPS_TO_HOLD = 20


class BlockStackingEnv(gymnasium.Env):
    """A seven-joint arm with a two-finger gripper and two or three objects.

    `task` is the `StackingTask`, `shapes` maps a colour to the `Shape` of this episode's object,
    `sensors` reads the simulation and `controller` moves it. `instruction` is the `Instruction` of
    this episode, None in tasks that have none.

    Args:
        render_mode: None or "rgb_array".
        task: name of one of `TASKS`; "" is red cube on blue cube.
        observation: "state" or "pixels".
        reward: "sparse" or "shaped".
        terminate_on_success: end a sparse-reward episode after 1 s of success.
        randomise: draw masses, friction, gains, colours, light and cameras anew at every reset.
        image_size: (height, width) of the images of "pixels".
        width, height, camera: of `render()`; cameras are studio, front_left, front_right.
        palette: what the objects' colours look like, one of `PALETTES`; their names stay.
        renderer: "egl", "osmesa", "glfw" or "raycast"; default $GATO_GYM_RENDERER, else the first
            that works on this machine. `render_backend` says which one is used.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": CONTROL_HZ}  # noqa: RUF012

    def __init__(
        self,
        render_mode: str | None = None,
        task: str = "",
        observation: str = "state",
        reward: str = "sparse",
        terminate_on_success: bool = True,
        randomise: bool = False,
        image_size: tuple[int, int] = (64, 64),
        width: int = 320,
        height: int = 240,
        camera: str = "studio",
        palette: str = STANDARD,
        renderer: str | None = None,
    ) -> None:
        _check_choice("task", task, tuple(TASKS))
        _check_choice("observation", observation, ("state", "pixels"))
        _check_choice("reward", reward, ("sparse", "shaped"))
        _check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        _check_choice("camera", camera, ("studio", *observations.CAMERAS))
        _check_choice("palette", palette, tuple(PALETTES))
        self.render_mode = render_mode
        self.task = TASKS[task]
        self.observation = observation
        self.reward = reward
        self.terminate_on_success = terminate_on_success
        self.randomise = bool(randomise)
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.frame_size = (int(width), int(height))
        self.camera = camera
        self.palette = palette
        self._wanted_renderer = renderer
        self._frames: FrameSource | None = None
        self._backend: str | None = None
        self._canvas = (max(width, self.image_size[1]), max(height, self.image_size[0]))
        # Placeholders of shapes that are drawn are cubes until the first reset.
        self._build({c: SHAPES.get(name, SHAPES["s0"]) for c, name in self.task.objects})
        self.action_space = spaces.Box(-1.0, 1.0, (5,), np.float32)
        self.observation_space = observations.observation_space(
            self.task, observation, self.image_size
        )
        self.instruction: instructions.Instruction | None = None
        self._held = 0
        self._last_height = 0.0
        self._scattered = self._scatter_next = False

    @property
    def pair(self) -> tuple[str, ...]:
        """(upper, lower) that the instruction names; empty in tasks that have none."""
        return () if self.instruction is None else self.instruction.pair

    @property
    def render_backend(self) -> str:
        """What draws frames: "egl", "osmesa", "glfw" or "raycast"."""
        if self._backend is None:
            self._backend = choose_backend(self._wanted_renderer)
        return self._backend

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Random objects where the task draws them, their poses and the arm's, at rest."""
        super().reset(seed=seed)
        if self.task.instructed:
            self.instruction = instructions.draw(self.np_random)
        shapes = self._draw_shapes()
        if shapes != self.shapes:
            self._build(shapes)
        if self.randomise:
            self._randomiser.draw(self.np_random)
            if self._backend == "raycast":  # keeps the view of what does not move
                self._forget_frames()
        mujoco.mj_resetData(self.model, self.data)  # warm starts too: rollouts repeat bit by bit
        if self.task.dropped:
            placement.drop(self.sensors, self.controller, self.np_random)
        else:
            placement.stand_upright(self.sensors, self.np_random)
        placement.lower_arm(self.sensors, self.controller, self.np_random)
        for _ in range(3):
            self.controller.apply((0.0, 0.0, 0.0), 0.0, close=False)
        self._scattered, self._scatter_next = self._scatter_next, False
        if self._scattered:
            self._rearrange()
        self._held = 0
        self._last_height = self._pinch()[0][2]
        return self._observe(), self._info(self._success())

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """One control step of 50 ms; out-of-range actions are clipped.

        Raises:
            ValueError: the action has another shape than (5,) or is not finite.
        """
        x, y, z, yaw, grip = self._clipped(action)
        if self._scattered:
            self._rearrange()
            return self._observe(), 0.0, False, False, self._info(False)
        self._last_height = self._pinch()[0][2]
        self.controller.apply(
            (MAX_SPEED * x, MAX_SPEED * y, MAX_SPEED * z), MAX_YAW_RATE * yaw, close=grip > 0
        )
        success = self._success()
        self._held = self._held + 1 if success else 0
        if self.reward == "sparse":
            reward = float(success)
            terminated = self.terminate_on_success and self._held >= STEPS_TO_HOLD
        else:
            shaped = SHAPED[self.task.goal](self.situation(), *self.pair)
            reward, terminated = float(shaped), False
        return self._observe(), reward, terminated, False, self._info(success)

    def scatter(self) -> None:
        """In the episode that the next reset begins, every step shows another moment of the work.

        The action changes nothing then and earns nothing. What an expert would do at moments that
        have nothing to do with each other is data that cannot be foreseen from the last action
        (`scripted/stacker_anywhere` collects it).

        Raises:
            ValueError: the task's objects are dropped into a basket.
        """
        if self.task.dropped:
            raise ValueError(f"{self.task.name} cannot be scattered: its objects are no cubes")
        self._scatter_next = True

    def render(self) -> np.ndarray | None:
        """The frame, (height, width, 3) uint8, for render_mode "rgb_array"; else None."""
        if self.render_mode is None:
            gymnasium.logger.warn('render() needs render_mode="rgb_array"')
            return None
        return self._draw(self.camera, *self.frame_size, shadows=True)

    def close(self) -> None:
        """Frees the renderer."""
        self._forget_frames()

    def state_observation(self) -> dict[str, Any]:
        """The "state" observation, whatever this environment's own observation is."""
        pinch, yaw = self._pinch()
        parts = {"proprioception": self._proprioception(pinch, yaw)}
        for colour, pose in self.sensors.poses.items():
            parts[colour] = observations.relative_pose(pose.tolist(), pinch, yaw)
        if self.task.dropped:
            parts["shapes"] = self._scaled_shapes.copy()
        return {**parts, **self._words()}

    def situation(self) -> Situation:
        """What rewards are computed from."""
        return self.sensors.situation(self.controller.pose()[0])

    def _rearrange(self) -> None:
        scenes.arrange(self.sensors, self.controller, self.np_random, *self.pair)
        self._last_height = self._pinch()[0][2]

    def _clipped(self, action: Any) -> list[float]:
        """The numbers of an action, within its bounds."""
        action, shape = np.asarray(action, np.float64), self.action_space.shape
        if action.shape != shape:
            raise ValueError(f"the action has shape {action.shape}, expected {shape}")
        values = action.tolist()
        if not all(map(math.isfinite, values)):
            raise ValueError(f"the action is not finite: {values}")
        return [min(max(value, -1.0), 1.0) for value in values]

    def _draw_shapes(self) -> dict[str, Shape]:
        drawn = {}
        for colour, name in self.task.objects:
            if name == ANY_TRAINING_SHAPE:
                name = list(TRAINING_SHAPES)[self.np_random.integers(len(TRAINING_SHAPES))]
            drawn[colour] = SHAPES[name]
        return drawn

    def _build(self, shapes: dict[str, Shape]) -> None:
        """A new model; what belongs to the old one is let go."""
        self._forget_frames()
        self.shapes = shapes
        self.model = scene.build_model(
            shapes,
            basket=self.task.dropped,
            offscreen=self._canvas,
            colours=PALETTES[self.palette],
        )
        self.data = mujoco.MjData(self.model)
        self.controller = CartesianController(self.model, self.data, 1.0 / CONTROL_HZ)
        self.sensors = Sensors(self.model, self.data, shapes)
        self._randomiser = Randomiser(self.model, shapes)
        self._scaled_shapes = np.array([shape.scaled for shape in shapes.values()])

    def _info(self, success: bool) -> dict[str, Any]:
        if self.instruction is None:
            return {"success": success}
        return {
            "success": success,
            "upper": self.instruction.upper,
            "lower": self.instruction.lower,
        }

    def _words(self) -> dict[str, str]:
        return {} if self.instruction is None else {"instruction": self.instruction.text}

    def _observe(self) -> dict[str, Any]:
        if self.observation == "state":
            return self.state_observation()
        height, width = self.image_size
        images = {
            name: self._draw(name, width, height, shadows=False) for name in observations.CAMERAS
        }
        arm = {"proprioception": self._proprioception(*self._pinch())}
        return {**arm, **images, **self._words()}

    def _proprioception(self, pinch: list[float], yaw: float) -> np.ndarray:
        rise = (pinch[2] - self._last_height) * CONTROL_HZ
        return observations.proprioception(self.sensors, pinch, yaw, rise)

    def _pinch(self) -> tuple[list[float], float]:
        """Pinch position and yaw as Python's numbers, which are quicker one at a time."""
        position, yaw = self.controller.pose()
        return position.tolist(), yaw

    def _success(self) -> bool:
        poses, (upper, lower) = self.sensors.poses, self.pair or ("red", "blue")
        heights = self._pinch()[0][2], float(poses[upper][2]), float(poses[lower][2])
        if out_of_question(self.task.goal, *heights):
            return False
        return bool(SUCCESS[self.task.goal](self.situation(), *self.pair))

    def _forget_frames(self) -> None:
        close = getattr(self._frames, "close", None)
        if close is not None:
            close()
        self._frames = None

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
