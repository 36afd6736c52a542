"""The scripted player of ALE's Pong: its paddle follows the ball.

It reads the console's memory; a player sees the same on the screen. What it does follows from two
frames, and one button of those with the same effect is pressed: a clone has little to learn.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gato_gym.agents.experts.unsuitable import unsuitable

EXPERT = "scripted/pong"
TASK = "ALE/Pong-v5"

NOOP, UP, DOWN = 0, 2, 3

# Bytes of the console's memory; y grows downwards, and that of the ball is 0 between points.
PADDLE_Y, BALL_Y = 51, 54

SERVED = 120  # where the paddle waits for the next ball: the middle
ABOVE = 6  # the paddle aims this far above the ball: it drifts on when a button is let go
NEAR = 9  # near enough to let go
JUMP = 40  # rows in one step: the ball was served anew


class ScriptedPong:
    """Moves towards where the ball will be one step later."""

    def __init__(self) -> None:
        self._console: Any = None
        self._last = 0

    def reset(self, env: Any) -> None:
        """Keep the environment, whose memory it reads.

        Raises:
            UnknownTaskError: the environment is no Pong.
        """
        if env.spec is None or env.spec.id != TASK:
            raise unsuitable(EXPERT, TASK, env)
        self._console = env.unwrapped.ale
        self._last = 0

    def act(self, obs: Any, deterministic: bool = True) -> np.int64:
        """Noop, up or down; the picture is not looked at."""
        if self._console is None:
            raise RuntimeError("call reset(env) before act(obs)")
        memory = self._console.getRAM()
        ball, paddle = int(memory[BALL_Y]), int(memory[PADDLE_Y])
        speed = ball - self._last if self._last and ball else 0
        self._last = ball
        goal = ball - ABOVE + (speed if abs(speed) < JUMP else 0) if ball else SERVED
        off = goal - paddle
        return np.int64(NOOP if abs(off) <= NEAR else DOWN if off > 0 else UP)
