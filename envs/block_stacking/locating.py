"""gato_gym/BlockStacking-Locate-pixels-v0: say where the blocks are; nothing is moved.

What stacking from pictures needs first, by itself: every step shows another scene, and the action
is the answer. Most of a stacking arm's actions are full speed or none and tell little of where a
block is; these tell all of it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from gato_gym.envs.block_stacking.env import BlockStackingEnv
from gato_gym.envs.block_stacking.scenes import quarter, yaw_of
from gato_gym.envs.block_stacking.tasks import SCENES

FAR = 0.30  # m, what 1 means: the workspace is as wide
LOCATED = 0.015  # m; an open gripper leaves as much on either side of a cube


class BlockLocatingEnv(BlockStackingEnv):
    """The pictures of `BlockStacking-pixels-v0`, one random scene per step.

    Actions, Box(-1, 1, (8,)): of the red block, then of the blue one, the position relative to the
    pinch point along the axes of the world in units of 0.30 m (3), and the yaw relative to the
    fingers' in units of 45 degrees (a cube looks the same after a quarter turn).

    The reward is the share of the two blocks whose position is told within 15 mm, divided by the
    number of scenes: an episode's return is the share of all.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(task="", observation="pixels", **options)
        self.action_space = spaces.Box(-1.0, 1.0, (8,), np.float32)
        self._seen = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The first scene."""
        self.scatter()
        observation, _ = super().reset(seed=seed, options=options)
        self._seen = 0
        return observation, {}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Judges the answer and shows the next scene.

        Raises:
            ValueError: the action has another shape than (8,) or is not finite.
        """
        error = (np.array(self._clipped(action)) - self.answer()).reshape(2, 4)
        located = FAR * np.linalg.norm(error[:, :3], axis=1) < LOCATED
        self._seen += 1
        self._rearrange()
        return self._observe(), float(located.mean()) / SCENES, self._seen == SCENES, False, {}

    def answer(self) -> np.ndarray:
        """The right action of the present scene, (8,)."""
        pinch, yaw = self._pinch()
        parts = []
        for pose in self.sensors.poses.values():
            parts += [(float(there) - here) / FAR for there, here in zip(pose, pinch, strict=False)]
            parts.append(quarter(yaw_of(pose) - yaw) / (math.pi / 4))
        return np.clip(parts, -1.0, 1.0)
