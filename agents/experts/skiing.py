"""The scripted skier of ALE's Skiing: it heads for the middle of the next gate.

It reads the console's memory; a player sees the same on the screen. The addresses were held against
the screen: which byte changes as the skier turns and a gate comes nearer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gato_gym.agents.experts.unsuitable import unsuitable

EXPERT = "scripted/skier"
TASK = "ALE/Skiing-v5"

NOOP, RIGHT, LEFT = 0, 1, 2

# Bytes of the console's memory. Eight things are on the slope, in the order in which they come.
HEADING, STRAIGHT = 15, 8  # 0 to 15, from the far left to the far right
PLAYER_X = 25
THINGS_X, THINGS_KIND, THINGS_HEIGHT = slice(62, 70), slice(70, 78), slice(86, 94)
GATE = 2  # the kind; trees and moguls have others

# In pixels. A thing's height grows as it comes nearer from below.
PASSED = 141  # the height at which a gate is level with the skis
MIDDLE = 21 - 5  # of a gate from the x of its left flag, less that of the skier from his own x
STEER, REACH = 8.0, 30.0  # headings per pixel aside and pixel ahead; the least that counts as ahead
STEEPEST = 3.0  # headings off straight; 5 are no faster


class ScriptedSkier:
    """Turns towards the next gate: the more, the farther aside it is and the nearer."""

    def __init__(self) -> None:
        self._console: Any = None

    def reset(self, env: Any) -> None:
        """Keep the environment, whose memory it reads.

        Raises:
            UnknownTaskError: the environment is no Skiing.
        """
        if env.spec is None or env.spec.id != TASK:
            raise unsuitable(EXPERT, TASK, env)
        self._console = env.unwrapped.ale

    def act(self, obs: Any, deterministic: bool = True) -> np.int64:
        """Noop, right or left; the picture is not looked at."""
        if self._console is None:
            raise RuntimeError("call reset(env) before act(obs)")
        memory = self._console.getRAM().astype(int)
        turn = self._wanted(memory) - (memory[HEADING] - STRAIGHT)
        return np.int64(NOOP if abs(turn) <= 0.5 else RIGHT if turn > 0 else LEFT)

    def _wanted(self, memory: np.ndarray) -> float:
        """Headings off straight, to the right; 0 where no gate is left."""
        heights = memory[THINGS_HEIGHT]
        coming = np.flatnonzero((memory[THINGS_KIND] == GATE) & (heights < PASSED))
        if not len(coming):
            return 0.0
        gate = coming[heights[coming].argmax()]
        aside = memory[THINGS_X][gate] + MIDDLE - memory[PLAYER_X]
        ahead = PASSED - heights[gate]
        return float(np.clip(STEER * aside / (ahead + REACH), -STEEPEST, STEEPEST))
