"""The expert of gato_gym/BlockStacking-Locate-pixels-v0: it reads the simulation."""

from __future__ import annotations

from typing import Any

import numpy as np

from gato_gym.agents.experts.unsuitable import unsuitable
from gato_gym.envs.block_stacking.tasks import LOCATE_ID

EXPERT = "scripted/locator"
# Answers in steps of 5 mm and 4.5 degrees: finer ones could not be learned from 64 x 64 pixels.
STEPS = np.array([60.0, 60.0, 60.0, 10.0] * 2)


class ScriptedLocator:
    """Says where the blocks are."""

    def __init__(self) -> None:
        self._env: Any = None

    def reset(self, env: Any) -> None:
        """Keep the environment, which it reads.

        Raises:
            UnknownTaskError: it asks for no places.
        """
        if env.spec is None or env.spec.id != LOCATE_ID:
            raise unsuitable(EXPERT, LOCATE_ID, env)
        self._env = env.unwrapped

    def act(self, obs: Any, deterministic: bool = True) -> np.ndarray:
        """The places, (8,) float32; the pictures are not looked at."""
        if self._env is None:
            raise RuntimeError("call reset(env) before act(obs)")
        answer: np.ndarray = np.round(self._env.answer() * STEPS) / STEPS
        return answer.astype(np.float32)
