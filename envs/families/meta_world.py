"""Meta-World: a Sawyer arm, 50 tasks, a new layout every episode.

Meta-World's own `reset(seed=...)` ignores the seed. Here it decides where object and goal are, as
its benchmarks decide it: drawn from the task's space, then fixed while the scene is set up.
"""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym
import numpy as np

from gato_gym.envs.families.base import Family

NAMESPACE = "Meta-World/"
HORIZON = 500

# These cameras of the package hang upside down; their frames are turned by 180 degrees.
UPSIDE_DOWN = frozenset({"corner", "corner2", "corner3"})

# Of Meta-World's 39 numbers: the scene now (the hand's position, the gripper, twice an object's
# position and quaternion), the scene one step before, the goal.
_HAND, _GRIPPER, _GOAL = slice(0, 3), slice(3, 4), slice(36, 39)
_OBJECTS = ((slice(4, 7), slice(7, 11)), (slice(11, 14), slice(14, 18)))


class MetaWorld(gym.Env):
    """One of Meta-World's tasks, its goal observable.

    Observation: the hand's position (m) and how far the gripper is open in [0, 1]; of each object
    (one, or two) its place as seen from the hand (m) and its quaternion; the goal as seen from the
    hand and from the first object (m). So 17 numbers, or 24. What counts is how far it is from one
    thing to another. Companded numbers (section 2.1) tell that to less than a millimetre where it
    is little, while a position half a metre from the origin is known to one centimetre.
    Action: the hand's displacement (3) and the gripper's effort, in [-1, 1]. Reward: Meta-World's
    own, in [0, 10]. `info["success"]` tells whether the task is done at this step.

    Args:
        task: Meta-World's name, e.g. "assembly-v3".
        raw: observe Meta-World's own 39 numbers: the scene in world coordinates with room for two
            objects, the same one step before, the goal.
        render_mode: None or "rgb_array".
        width: of the frames, in pixels.
        height: of the frames, in pixels.
        camera_name: the view of the frames, e.g. "corner2", "topview", "gripperPOV".

    Raises:
        ValueError: no such task or render mode.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 80}  # noqa: RUF012

    def __init__(
        self,
        task: str,
        *,
        raw: bool = False,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 480,
        camera_name: str = "corner2",
    ) -> None:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS

        if task not in ALL_V3_ENVIRONMENTS:
            raise ValueError(f"no Meta-World task {task!r}; one of {sorted(ALL_V3_ENVIRONMENTS)}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is {render_mode!r}; expected None or 'rgb_array'")
        self.render_mode = render_mode
        self._size = (width, height)
        self._camera = camera_name
        self._frames: Any = None
        self._raw = raw
        self.arm = _arm(ALL_V3_ENVIRONMENTS[task])
        self.full_observation = np.zeros(39)
        """All 39 numbers of the last observation, for Meta-World's scripted policies."""
        self._objects = _OBJECTS[: len(self.arm._get_pos_objects()) // 3]
        space = self.arm.sawyer_observation_space
        low, high = space.low.copy(), space.high.copy()
        # Where a task's goals differ in two directions only, the third would be an empty interval.
        low[_GOAL], high[_GOAL] = -np.inf, np.inf
        if not raw:
            away = np.full(7 * len(self._objects) + 6, np.inf)
            low, high = np.append(low[:4], -away), np.append(high[:4], away)
        self.observation_space = gym.spaces.Box(low, high, dtype=np.float64)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode with a layout drawn from `np_random`."""
        super().reset(seed=seed)
        arm = self.arm
        arm.np_random = self.np_random
        arm.seeded_rand_vec, arm._freeze_rand_vec = True, False
        arm.reset_model()
        # A layout is drawn, maybe after some that do not fit; `reset` sets the scene up with it.
        arm._freeze_rand_vec = True
        full, _ = arm.reset()
        space = arm.sawyer_observation_space
        self.full_observation = np.clip(full, space.low, space.high)
        return self._select(self.full_observation), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step of 12.5 ms; the episode goes on after a success."""
        self.full_observation, reward, _, _, info = self.arm.step(np.asarray(action))
        info = {**info, "success": bool(info["success"])}
        return self._select(self.full_observation), float(reward), False, False, info

    def render(self) -> np.ndarray | None:
        """A (height, width, 3) uint8 frame if `render_mode` is "rgb_array"."""
        if self.render_mode is None:
            return None
        if self._frames is None:
            from gato_gym.envs.rendering import choose_backend, frame_source

            self._frames = frame_source(self.arm.model, choose_backend(), *self._size)
        frame = self._frames.render(self.arm.data, self._camera, *self._size)
        return frame[::-1, ::-1].copy() if self._camera in UPSIDE_DOWN else frame

    def close(self) -> None:
        """Frees the renderer."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None
        self.arm.close()

    def _select(self, full: np.ndarray) -> np.ndarray:
        if self._raw:
            return full.copy()
        hand, goal = full[_HAND], full[_GOAL]
        parts = [hand, full[_GRIPPER]]
        for place, quaternion in self._objects:
            parts += [full[place] - hand, full[quaternion]]
        parts += [goal - hand, goal - full[self._objects[0][0]]]
        return np.concatenate(parts)


def full_observation(env: gym.Env) -> np.ndarray:
    """All 39 numbers of the last observation of a Meta-World task, however it is wrapped.

    The scripted policies want them:

        policy = metaworld.policies.ENV_POLICY_MAP["reach-v3"]()
        action = policy.get_action(full_observation(env)).clip(-1, 1)

    Returns:
        (39,) float64: the scene (18), the scene one step before (18), the goal (3).
    """
    return env.unwrapped.full_observation.copy()  # type: ignore[attr-defined]


def _arm(make: Any) -> Any:
    """Meta-World's environment with the goal observable."""
    arm = make()
    arm._partially_observable = False
    # The space of the partially observable task is cached.
    vars(arm).pop("sawyer_observation_space", None)
    arm._set_task_called = True
    # Gymnasium's time limit counts the steps; the arm's own one raises when it is passed.
    arm.max_path_length = sys.maxsize
    return arm


def _register() -> None:
    from gato_gym.envs.rendering.physics import load_mujoco

    load_mujoco()
    for task in _tasks():
        if NAMESPACE + task not in gym.registry:
            gym.register(
                id=NAMESPACE + task,
                entry_point=f"{__name__}:{MetaWorld.__name__}",
                max_episode_steps=HORIZON,
                kwargs={"task": task},
            )


def _tasks() -> list[str]:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    return sorted(ALL_V3_ENVIRONMENTS)


def _facts(env: gym.Env) -> dict[str, object]:
    return {"control_hz": round(1 / env.unwrapped.arm.dt, 6), "has_success": True}  # type: ignore[attr-defined]


FAMILY = Family(
    name="meta_world",
    distribution="metaworld",
    extra="metaworld",
    modules=("mujoco", "metaworld"),
    owns=lambda task: task.startswith(NAMESPACE),
    register=_register,
    ids=lambda: [NAMESPACE + task for task in _tasks()],
    domain=lambda task: "meta_world",
    facts=_facts,
)
