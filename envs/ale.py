"""The Arcade Learning Environment: registers ale-py's games on first use, silently."""

from __future__ import annotations

import gymnasium as gym


def register_ale() -> None:
    """Import ale-py and register its games; `ImportError` where it is not installed.

    ale-py's own defaults for `ALE/<Game>-v5` stay as they are: 4 frames per step and sticky actions
    with probability 0.25.
    """
    import ale_py

    # Otherwise every new emulator prints a banner to stderr, from C++.
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    gym.register_envs(ale_py)
