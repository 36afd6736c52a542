"""dm_control's tasks as Gymnasium environments: Shimmy's, with what it leaves open mended.

- Frames come from the shared renderer, which needs no GL; dm_control's own is not used.
- Rewards are floats; `info` is empty: what Shimmy puts there (discount, step type) says no more
  than `terminated` and `truncated`, and holds None, which vector environments cannot stack.
- Any non-negative integer is a seed (dm_control's generator takes 32 bits).

An episode that reaches its time limit is truncated, one whose discount is 0 is terminated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from gymnasium import spaces

from gato_gym.envs.families.dm_control_package import (
    DmControlCompatibilityV0,
    manipulation,
    suite,
)
from gato_gym.envs.rendering import FrameSource, choose_backend, frame_source

SEEDS = 2**32
RENDER_MODES = ("rgb_array",)
# The camera of a task, 0 where not named. From camera 0 these robots are a few pixels wide, or out
# of the picture.
CAMERAS = {
    ("dog", "fetch"): 1,
    ("quadruped", "walk"): 2,
    ("quadruped", "run"): 2,
    ("quadruped", "escape"): 2,
}


class DmControlTask(DmControlCompatibilityV0):
    """One dm_control environment.

    Args:
        env: a `dm_control.rl.control.Environment` or a `dm_control.composer.Environment`.
        render_mode: None or "rgb_array".
        camera: index of the camera that `render()` looks through.
        width, height: pixels of the frames of `render()`.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES)}  # noqa: RUF012

    def __init__(
        self, env: Any, render_mode: str | None, camera: int, width: int, height: int
    ) -> None:
        if render_mode not in (None, *RENDER_MODES):
            raise ValueError(
                f"render_mode={render_mode!r} is unknown; expected one of None, "
                f"{', '.join(map(repr, RENDER_MODES))}"
            )
        # Shimmy writes into this dictionary, which belongs to the class.
        self.metadata = dict(self.metadata)
        super().__init__(env, render_mode)
        self.metadata["render_fps"] = self.control_hz
        self.camera = camera
        self.frame_size = (int(width), int(height))
        self._frames = Frames()
        self._closed = False

    @property
    def control_hz(self) -> float:
        """Control steps per simulated second."""
        return 1.0 / self._env.control_timestep()

    @property
    def horizon(self) -> int | None:
        """Control steps after which an episode is truncated, None if nothing ends it."""
        steps = getattr(self._env, "_step_limit", None)
        if steps is None:
            steps = self._env._time_limit * self.control_hz
        # Limits are given in seconds: a whole number of steps up to rounding errors.
        return round(steps) if np.isfinite(steps) else None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode; the same seed gives the same one."""
        observation, _ = super().reset(seed=None if seed is None else seed % SEEDS, options=options)
        self._frames.forget_terrain()
        return observation, {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One control step."""
        observation, reward, terminated, truncated, _ = super().step(action)
        return observation, float(reward), terminated, truncated, {}

    def state_observation(self) -> dict[str, Any]:
        """What the task reports of its state, also where the observation is an image."""
        return self._env.task.get_observation(self._env.physics)

    def render(self) -> np.ndarray | None:
        """A (height, width, 3) uint8 frame; None without a render mode."""
        if self.render_mode is None:
            return None
        return self._frames.draw(self._env.physics, self.camera, *self.frame_size, shadows=True)

    def close(self) -> None:
        """Frees the simulation; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._frames.close()
            super().close()


class SuiteTask(DmControlTask):
    """A task of the control suite, observed as dm_control observes it: float64 arrays by name.

    Args:
        domain_name, task_name: as in `dm_control.suite.load`.
        render_mode: None or "rgb_array".
        width, height: pixels of the frames of `render()`.
        task_kwargs, environment_kwargs: as in `dm_control.suite.load`.
    """

    def __init__(
        self,
        domain_name: str,
        task_name: str,
        render_mode: str | None = None,
        width: int = 320,
        height: int = 240,
        task_kwargs: dict[str, Any] | None = None,
        environment_kwargs: dict[str, Any] | None = None,
    ) -> None:
        env = suite.load(domain_name, task_name, task_kwargs, environment_kwargs)
        if env.physics.model.nhfield:
            _keep_gl_away(env.physics)
        super().__init__(env, render_mode, CAMERAS.get((domain_name, task_name), 0), width, height)


def _keep_gl_away(physics: Any) -> None:
    """Stops a task with a height field from opening a GL context at every reset to upload it."""
    kind = type(physics)
    physics.__class__ = type(kind.__name__, (kind,), {"contexts": None})


class PixelTask(SuiteTask):
    """A task of the control suite from pixels: the observation is one uint8 image.

    Dynamics, rewards and seeds are those of the task it is drawn from.

    Args:
        domain_name, task_name: as in `dm_control.suite.load`.
        image_size: (height, width) of the observation.
        kwargs: as in `SuiteTask`.
    """

    def __init__(
        self,
        domain_name: str,
        task_name: str,
        image_size: tuple[int, int] = (64, 64),
        **kwargs: Any,
    ) -> None:
        super().__init__(domain_name, task_name, **kwargs)
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.observation_space = spaces.Box(0, 255, (*self.image_size, 3), np.uint8)
        self._images = Frames()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode; the same seed gives the same one."""
        _, info = super().reset(seed=seed, options=options)
        self._images.forget_terrain()
        return self._image(), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step."""
        _, reward, terminated, truncated, info = super().step(action)
        return self._image(), reward, terminated, truncated, info

    def close(self) -> None:
        """Frees the simulation; a second call does nothing."""
        self._images.close()
        super().close()

    def _image(self) -> np.ndarray:
        height, width = self.image_size
        # Without shadows: they cost most of the time where GL is software (no graphics card).
        return self._images.draw(self._env.physics, self.camera, width, height, shadows=False)


class ManipulationTask(DmControlTask):
    """A Jaco arm with three fingers, boxes and bricks; observations are float64 arrays by name.

    Args:
        name: as in `dm_control.manipulation.load`.
        render_mode: None or "rgb_array".
        width, height: pixels of the frames of `render()`.
    """

    def __init__(
        self, name: str, render_mode: str | None = None, width: int = 320, height: int = 240
    ) -> None:
        super().__init__(manipulation.load(name), render_mode, 0, width, height)
        task = self._env.task
        self._orders = {
            order: getattr(task, order).copy()
            for order in ("_initial_order", "_desired_order")
            if hasattr(task, order)
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode; the same seed gives the same one."""
        # A task shuffles its bricks' order in place: it must not start from the last episode's.
        for name, order in self._orders.items():
            setattr(self._env.task, name, order.copy())
        with _quiet():
            return super().reset(seed=seed, options=options)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides that a random hand pose was out of reach: the task then draws another."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class Frames:
    """Draws a dm_control simulation; nothing is loaded before the first frame."""

    def __init__(self) -> None:
        self._model: Any = None
        self._source: FrameSource | None = None

    def draw(
        self, physics: Any, camera: int, width: int, height: int, *, shadows: bool
    ) -> np.ndarray:
        """A (height, width, 3) uint8 frame of the present state."""
        model = physics.model.ptr
        # Manipulation tasks compile their model anew in every episode.
        if self._source is None or model is not self._model:
            self.close()
            self._source = frame_source(model, choose_backend(), width, height)
            self._model = model
        return self._source.render(physics.data.ptr, camera, width, height, shadows=shadows)

    def forget_terrain(self) -> None:
        """For the start of an episode: a height field that changed is drawn as it is now."""
        if self._model is not None and self._model.nhfield:
            self.close()

    def close(self) -> None:
        """Frees the renderer; the next frame makes another."""
        if self._source is not None:
            self._source.close()
        self._source = self._model = None
