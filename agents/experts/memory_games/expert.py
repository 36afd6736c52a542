"""The scripted expert of POPGym."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gato_gym.agents.experts.classic import control
from gato_gym.agents.experts.memory_games import boards, cards, mines
from gato_gym.agents.experts.memory_games.bandit import Bandit
from gato_gym.agents.experts.unsuitable import unsuitable
from gato_gym.envs.families import base_name

EXPERT = "scripted/popgym"
PREFIX = "popgym-"

# Kind of task -> its action, from the game alone.
BY_GAME: dict[str, Callable[[Any], Any]] = {
    "Autoencode": cards.autoencode,
    "Battleship": boards.shoot,
    "CountRecall": cards.count_recall,
    "HigherLower": cards.higher_lower,
    "MineSweeper": mines.sweep,
    "RepeatFirst": cards.repeat_first,
    "RepeatPrevious": cards.repeat_previous,
}

# Kind of task -> a player of one episode, which remembers what it observes.
BY_OBSERVATION: dict[str, Callable[[Any], Callable[[Any], int]]] = {
    "Concentration": cards.Concentration,
    "MultiarmedBandit": Bandit,
}


class ScriptedPOPGym:
    """Plays every `popgym-*` task.

    Games are played by what has been seen so far, as the game records it. Poles and pendulums hide
    or blur parts of their state; this expert reads the true one.
    """

    def __init__(self) -> None:
        self._play: Callable[[Any], Any] | None = None

    def reset(self, env: Any) -> None:
        """Begin an episode; the game may be reset after this.

        Raises:
            UnknownTaskError: the environment is no task of POPGym.
        """
        task = env.spec.id if getattr(env, "spec", None) is not None else ""
        kind = _kind(task)
        game = env.unwrapped
        if not task.startswith(PREFIX):
            raise unsuitable(EXPERT, f"{PREFIX}*", env)
        if kind in BY_GAME:
            self._play = lambda obs: BY_GAME[kind](game)
        elif kind in BY_OBSERVATION:
            self._play = BY_OBSERVATION[kind](game)
        elif kind.lower().endswith("cartpole"):
            self._play = lambda obs: control.cartpole(np.array(game.state))
        elif kind.endswith("Pendulum"):
            self._play = lambda obs: _torque(*game.state)
        else:
            raise unsuitable(EXPERT, f"{PREFIX}*", env)

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """An action of the standardised environment; there is no chance in it."""
        if self._play is None:
            raise RuntimeError("call reset(env) before act(obs)")
        action = self._play(obs)
        return np.int64(action) if isinstance(action, int) else action


def _kind(task: str) -> str:
    """A task's name without prefix, difficulty and version."""
    name = base_name(task).removeprefix(PREFIX)
    for difficulty in ("Easy", "Medium", "Hard"):
        name = name.removesuffix(difficulty)
    return name


def _torque(angle: float, speed: float) -> np.ndarray:
    obs = np.array([math.cos(angle), math.sin(angle), speed])
    return control.pendulum(obs) / np.float32(control.PENDULUM_TORQUE)
