"""Play a recorded episode again, as an environment that our wrappers fit onto.

So that an imported episode is what our own collection would have recorded, it goes the same way:
the wrappers of `gato_gym.envs.make`, the one loop that plays, the one recorder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from gato_gym.envs.factory import standardise
from gato_gym.envs.spaces import standard_actions
from gato_gym.errors import InvalidEpisodeError
from gato_gym.evaluation.observers import EpisodeRecorder
from gato_gym.evaluation.rollout import rollout
from gato_gym.types import Episode

# Rounding of float32 actions at the ends of their range.
_TOLERANCE = 1e-5
Columns = Any
"""Values over time: an array, a list of texts, or a mapping or tuple of these."""


class Recorded(gym.Env):
    """An environment that shows what was recorded, whatever is done.

    Args:
        task: its id; decides the size of its images.
        observation_space, action_space: of the data set.
    """

    def __init__(self, task: str, observation_space: gym.Space, action_space: gym.Space) -> None:
        self.spec = gym.envs.registration.EnvSpec(id=task)
        self.observation_space, self.action_space = observation_space, action_space

    def load(self, episode: Mapping[str, Any]) -> int:
        """Take the next episode, as Minari decodes it; returns its number of steps.

        Raises:
            InvalidEpisodeError: its parts do not fit each other or the spaces.
        """
        rewards = _numbers("rewards", episode["rewards"], ())
        steps = len(rewards)
        if steps == 0:
            raise InvalidEpisodeError("it has no steps")
        _check(self.observation_space, episode["observations"], steps + 1, "observations")
        _check(self.action_space, episode["actions"], steps, "actions")
        ends = {}
        for name in ("terminations", "truncations"):
            ends[name] = _numbers(name, episode[name], ()).astype(bool)
            if len(ends[name]) != steps:
                raise InvalidEpisodeError(f"{name}: {len(ends[name])} entries, expected {steps}")
            if ends[name][:-1].any():
                at = int(np.argmax(ends[name]))
                raise InvalidEpisodeError(f"it ends at step {at} and goes on to step {steps - 1}")
        self._observations, self._rewards = episode["observations"], rewards
        self._terminated = bool(ends["terminations"][-1])
        self._success = _success(episode.get("infos"))
        return steps

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """The first observation of the loaded episode."""
        self._step = 0
        return _at(self._observations, 0), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """The next one. The last step ends the episode, terminated or cut."""
        reward, self._step = float(self._rewards[self._step]), self._step + 1
        last = self._step == len(self._rewards)
        info = {} if self._success is None else {"success": self._success}
        terminated = last and self._terminated
        observation = _at(self._observations, self._step)
        return observation, reward, terminated, last and not terminated, info


class _Player:
    """Acts as it was recorded."""

    def __init__(self, actions: list[Any]) -> None:
        self._actions = actions

    def reset(self, env: gym.Env) -> None:
        self._next = iter(self._actions)

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        return next(self._next)


class Replayer:
    """Turns the episodes of a data set into ours.

    Args:
        task: the task they become episodes of.
        expert: their expert.
        versions: their versions.
        observation_space, action_space: of the data set.
        clip: clip actions that leave the action space instead of refusing them.

    Raises:
        UnsupportedSpaceError: a space that has no tokens.
    """

    def __init__(
        self,
        task: str,
        expert: str,
        versions: Mapping[str, str],
        observation_space: gym.Space,
        action_space: gym.Space,
        clip: bool = False,
    ) -> None:
        self.task, self.expert, self.versions, self.clip = task, expert, versions, clip
        self._recorded = Recorded(task, observation_space, action_space)
        self.env = standardise(self._recorded)

    def episode(self, recorded: Mapping[str, Any], seed: int) -> Episode:
        """One episode, as Minari decodes it.

        Raises:
            InvalidEpisodeError: it contradicts itself or the spaces, or has a NaN.
        """
        self._recorded.load(recorded)
        player = _Player(self._actions(recorded["actions"]))
        made: list[Episode] = []
        recorder = EpisodeRecorder(self.task, player, self.expert, made.append)
        rollout(self.env, player, episodes=1, seed=seed, observers=[recorder])
        return replace(made[0], versions=self.versions)

    def _actions(self, actions: Any) -> list[Any]:
        space = self._recorded.action_space
        if not isinstance(space, spaces.Box):
            numbers = np.asarray(actions)
            if numbers.dtype.kind not in "biu" and not (numbers == np.floor(numbers)).all():
                raise InvalidEpisodeError(f"an action of {space} is no whole number")
            return list(numbers.astype(np.int64))
        values = standard_actions(space, np.asarray(actions))
        outside = ~(np.abs(values) <= (np.inf if self.clip else 1 + _TOLERANCE))
        if outside.any():
            step = int(np.argwhere(outside)[0][0])
            advice = "" if self.clip else ": pass --clip-actions (clip_actions=True) to clip them"
            raise InvalidEpisodeError(
                f"the action of step {step}, {np.asarray(actions)[step].tolist()}, is not in its "
                f"action space{advice}"
            )
        return list(np.clip(values, -1, 1).astype(np.float32))


def _success(infos: Any) -> bool | None:
    """The last entry of infos["success"], where there is one."""
    found = infos.get("success") if isinstance(infos, Mapping) else None
    if not isinstance(found, np.ndarray) or found.ndim < 1 or not found.size:
        return None
    last = found.reshape(len(found), -1)[-1]
    known = last.size == 1 and last.dtype.kind in "biuf" and np.isfinite(last[0])
    return bool(last[0]) if known else None


def _at(columns: Columns, step: int) -> Any:
    if isinstance(columns, Mapping):
        return {name: _at(child, step) for name, child in columns.items()}
    if isinstance(columns, tuple):
        return tuple(_at(child, step) for child in columns)
    return columns[step]


def _check(space: gym.Space, columns: Columns, rows: int, where: str) -> None:
    """Compare recorded values with their space; bounds of floats are not looked at."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        children = space.spaces if isinstance(space, spaces.Dict) else dict(enumerate(space.spaces))
        held = columns if isinstance(columns, Mapping) else dict(enumerate(columns))
        if held.keys() != children.keys():
            raise InvalidEpisodeError(f"{where} has {list(held)}, expected {list(children)}")
        for name, child in children.items():
            _check(child, held[name], rows, f"{where}/{name}")
        return
    if isinstance(space, spaces.Text):
        if not isinstance(columns, list) or len(columns) != rows:
            raise InvalidEpisodeError(f"{where}: expected {rows} texts")
        return
    values = _numbers(where, columns, space.shape or ())
    if len(values) != rows:
        raise InvalidEpisodeError(f"{where}: {len(values)} entries, expected {rows}")
    limits = _limits(space)
    if limits is not None and not ((values >= limits[0]) & (values < limits[1])).all():
        raise InvalidEpisodeError(f"{where} holds a number that is not in {space}")


def _limits(space: gym.Space) -> tuple[Any, Any] | None:
    if isinstance(space, spaces.Discrete):
        return space.start, space.start + space.n
    if isinstance(space, spaces.MultiDiscrete):
        return space.start, space.start + space.nvec
    return (0, 2) if isinstance(space, spaces.MultiBinary) else None


def _numbers(where: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        raise InvalidEpisodeError(f"{where} does not hold numbers")
    if values.ndim == 0 or values.shape[1:] != shape:
        raise InvalidEpisodeError(f"{where} has shape {values.shape[1:]}, expected {shape}")
    return values
