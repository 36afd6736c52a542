"""A progress bar over the episodes of a rollout; silent unless a person watches."""

from __future__ import annotations

from typing import Any

import gymnasium
from tqdm import tqdm

from gato_gym.evaluation.rollout import EpisodeResult


class ProgressBar:
    """An observer that counts episodes and steps on stderr. Use it as a context manager.

    Args:
        title: before the bar.
        episodes: that will be played.
        hidden: count nothing, even where a person watches.
    """

    interleaves = True

    def __init__(self, title: str, episodes: int, hidden: bool = False) -> None:
        # tqdm's own "disable=None" means: silent unless stderr is a terminal.
        disable = True if hidden else None
        self._bar = tqdm(total=episodes, desc=title, unit="episode", disable=disable, leave=False)
        self._steps = 0

    def on_reset(self, env: gymnasium.Env, obs: Any, info: dict[str, Any], seed: int) -> None:
        """Nothing to show yet."""

    def on_step(
        self,
        env: gymnasium.Env,
        action: Any,
        obs: Any,
        reward: float,
        terminated: bool,
        truncated: bool,
        info: dict[str, Any],
    ) -> None:
        """Count the step: an episode may take a minute."""
        self._steps += 1
        if not self._bar.disable and self._steps % 25 == 0:
            self._bar.set_postfix(steps=self._steps)

    def on_episode_end(self, result: EpisodeResult) -> None:
        """Count the episode and show its return."""
        if not self._bar.disable:
            self._bar.set_postfix(steps=self._steps, last_return=f"{result.episode_return:.4g}")
        self._bar.update()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()
