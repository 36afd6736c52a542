"""A tiny task for tests and for trying the pipeline: every kind of observation, a scripted expert.

In the package, not in `tests/`, because spawned worker processes must be able to import it.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from gato_gym import envs
from gato_gym.types import TaskSpec

TOY_TASK = "gato_gym/Toy-v0"
TOY_CONTINUOUS_TASK = "gato_gym/ToyContinuous-v0"
_LETTERS = "abcdefghijklmnopqrstuvwxyz "


class ToyEnv(gymnasium.Env):
    """Walk to the origin of a line. Observes an image, floats, a discrete room and a text.

    Args:
        continuous: the action is a step in [-1, 1] instead of left, stay, right.
        nan_step: the position is NaN from this step on, for tests of bad data.
        failure: what goes wrong in the third step, for tests: the reward is "nan", the environment
            "raises", or its process "aborts".
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(
        self,
        continuous: bool = False,
        nan_step: int | None = None,
        failure: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = render_mode
        self.nan_step, self.failure = nan_step, failure
        self.action_space = (
            spaces.Box(-1, 1, (1,), np.float32) if continuous else spaces.Discrete(3)
        )
        self.observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, (32, 48, 3), np.uint8),
                "position": spaces.Box(-8, 8, (2,), np.float32),
                "room": spaces.Discrete(5),
                "goal": spaces.Text(32, charset=_LETTERS),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start somewhere in [-5, 5]."""
        super().reset(seed=seed)
        self._position = float(self.np_random.uniform(-5, 5))
        self._steps = 0
        return self._observe(), {"success": False}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Move with a little noise; the reward is the distance from the origin, negated."""
        move = float(action[0]) if isinstance(self.action_space, spaces.Box) else int(action) - 1
        self._position += 0.5 * move + float(self.np_random.normal(0, 0.05))
        self._position = float(np.clip(self._position, -8, 8))
        self._steps += 1
        arrived = abs(self._position) < 0.3
        reward = -abs(self._position)
        if self.failure is not None and self._steps == 3:
            if self.failure == "raises":
                raise RuntimeError("the simulation is unstable")
            if self.failure == "aborts":
                os._exit(134)  # as a failed assertion of a simulator would
            reward = float("nan")
        return self._observe(), reward, arrived, False, {"success": arrived}

    def render(self) -> np.ndarray:
        """The image that is observed."""
        image = np.zeros((32, 48, 3), np.uint8)
        column = int(np.interp(self._position, [-8, 8], [0, 47]))
        image[:, 24, 2] = 128
        image[8:24, column] = (255, 255 - self._steps % 256, 0)
        return image

    def _observe(self) -> dict[str, Any]:
        position = np.array([self._position, self._steps / 100], np.float32)
        if self.nan_step is not None and self._steps >= self.nan_step:
            position[0] = np.nan
        return {
            "image": self.render(),
            "position": position,
            "room": int(np.interp(self._position, [-8, 8], [0, 4])),
            "goal": "go left" if self._position > 0 else "go right",
        }


class ToyExpert:
    """Walks straight to the origin."""

    id = "scripted/toy"

    def reset(self, env: gymnasium.Env) -> None:
        """Learn which kind of action the task takes."""
        self._continuous = isinstance(env.action_space, spaces.Box)

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """Against the sign of the position."""
        direction = -np.sign(obs["position"][0])
        return np.array([direction], np.float32) if self._continuous else int(direction) + 1


class FailingExpert(ToyExpert):
    """Plays `after` steps, then raises RuntimeError or, with `kill`, kills its process."""

    def __init__(self, after: int, kill: bool = False) -> None:
        self.after, self.kill = after, kill

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """The expert's action, while it lasts."""
        self.after -= 1
        if self.after < 0:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("the expert has no idea")
        return super().act(obs, deterministic)


def make_toy(task: str = TOY_TASK, **kwargs: Any) -> gymnasium.Env:
    """Make a toy task with its time limit; picklable by name, for worker processes."""
    return gymnasium.make(task, **kwargs)


@dataclass(frozen=True)
class WatchedToys:
    """Makes toy tasks that write down who resets them, one line each: task, seed, process.

    Args:
        log: the file.
    """

    log: str

    def __call__(self, task: str) -> gymnasium.Env:
        """As `make_toy`."""
        return _Watched(make_toy(task), task, self.log)

    def lines(self) -> list[tuple[str, int, int]]:
        """What was written down so far."""
        with open(self.log, encoding="utf-8") as file:
            rows = [line.split() for line in file]
        return [(task, int(seed), int(process)) for task, seed, process in rows]


class _Watched(gymnasium.Wrapper):
    def __init__(self, env: gymnasium.Env, task: str, log: str) -> None:
        super().__init__(env)
        self._task, self._log = task, log

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        with open(self._log, "a", encoding="utf-8") as file:
            file.write(f"{self._task} {seed} {os.getpid()}\n")
        return super().reset(seed=seed, options=options)


for _task, _continuous in ((TOY_TASK, False), (TOY_CONTINUOUS_TASK, True)):
    if _task not in gymnasium.registry:
        gymnasium.register(
            _task,
            entry_point="gato_gym.testing:ToyEnv",
            max_episode_steps=100,
            kwargs={"continuous": _continuous},
        )


def sample_tasks() -> list[TaskSpec]:
    """One installed task of every family, and those of the bundled agent."""
    bundled = ("CartPole-v1", "ALE/Boxing-v5", "gato_gym/BlockStacking-v0")
    chosen = {spec.family: spec for spec in envs.tasks() if spec.id in bundled}
    for spec in envs.tasks():
        chosen.setdefault(spec.family, spec)
    return list(chosen.values())


def fragile_work(task: str, factor: int) -> dict[str, int]:
    """Work for a pool of processes: "ends" ends its process, "fails" raises, others succeed."""
    if task == "ends":
        os._exit(3)
    if task == "fails":
        raise ValueError("no such luck")
    return {"value": factor * len(task)}
