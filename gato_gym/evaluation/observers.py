"""Observers of the rollout loop."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces

import gato_gym
from gato_gym.errors import InvalidEpisodeError, UnsupportedSpaceError
from gato_gym.evaluation.rollout import EpisodeResult, Observer
from gato_gym.types import ROOT_KEY, Episode, flatten_observation

if TYPE_CHECKING:
    from gato_gym.agents import Agent

# Module -> distribution, for the packages whose version decides what an episode looks like.
_ENVIRONMENT_PACKAGES = {"ale_py": "ale-py", "mujoco": "mujoco"}

# Rows that a column has place for at first, and steps between two looks for a NaN.
_FIRST_ROWS = 64
_CHECK_EVERY = 1024


class Column:
    """The rows of one array, in a buffer that grows with them.

    Rows keep their values: a row of another dtype makes the whole column as wide as both, as
    `np.stack` does.

    Args:
        first: row 0; all must have its shape.
    """

    def __init__(self, first: Any) -> None:
        row = np.asarray(first)
        self._dtype, self._shape = row.dtype, row.shape
        self._buffer = np.empty((_FIRST_ROWS, *row.shape), row.dtype)
        self._buffer[0] = row
        self._count, self._capacity, self._checked = 1, _FIRST_ROWS, 0

    def put(self, value: Any) -> None:
        """Add a row, as a copy: environments may write the next one into the same array.

        Raises:
            ValueError: it has another shape.
        """
        count = self._count
        if count == self._capacity:
            self._resize(max(count + count // 2, 2 * _FIRST_ROWS))
        if type(value) is not np.ndarray or value.dtype is not self._dtype:
            value = np.asarray(value)
            if value.dtype != self._dtype:
                self._dtype = np.result_type(self._dtype, value.dtype)
                self._buffer = self._buffer.astype(self._dtype)
        if value.shape != self._shape:
            raise ValueError(f"it has shape {value.shape}, at first it had {self._shape}")
        self._buffer[count] = value
        self._count = count + 1

    def _resize(self, rows: int) -> None:
        # In place: large buffers are moved by the kernel, not copied.
        self._buffer.resize((rows, *self._shape), refcheck=False)
        self._capacity = rows

    def first_not_finite(self) -> int | None:
        """The first row that is not finite among those added since the last call."""
        if self._dtype.kind not in "fc":
            return None
        rows = self._buffer[self._checked : self._count]
        finite = np.isfinite(rows).all(axis=tuple(range(1, rows.ndim)))  # there may be no rows
        row = None if finite.all() else self._checked + int(np.argmin(finite))
        self._checked = self._count if row is None else row
        return row

    def take(self) -> np.ndarray:
        """All rows, (rows, ...). The column must not be used any more."""
        self._resize(self._count)
        return self._buffer


class PerEpisode:
    """Gives each episode of a batch an observer of its own.

    Args:
        make: of an environment and the seed it was reset with, the observer of that episode; None
            leaves it alone, e.g. to film only the first:
            `PerEpisode(lambda env, seed: video if seed == 7000 else None)`.
    """

    interleaves = True

    def __init__(self, make: Callable[[gymnasium.Env, int], Observer | None]) -> None:
        self._make = make
        self._running: dict[int, Observer | None] = {}
        self._ended: Observer | None = None

    def on_reset(self, env: gymnasium.Env, obs: Any, info: dict[str, Any], seed: int) -> None:
        """An episode begins, with a new observer."""
        observer = self._running[id(env)] = self._make(env, seed)
        if observer is not None:
            observer.on_reset(env, obs, info, seed)

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
        """A step of that environment's episode."""
        ended = terminated or truncated
        observer = self._running.pop(id(env)) if ended else self._running[id(env)]
        if ended:
            self._ended = observer  # whose result comes next
        if observer is not None:
            observer.on_step(env, action, obs, reward, terminated, truncated, info)

    def on_episode_end(self, result: EpisodeResult) -> None:
        """The result of the episode whose last step was just seen."""
        observer, self._ended = self._ended, None
        if observer is not None:
            observer.on_episode_end(result)


class EpisodeRecorder:
    """Turns each finished episode into a checked `Episode` and hands it to `on_episode`.

    The expert's action is `agent.last_expert_action` where the agent has one (see `NoisyExpert`),
    else the executed one. `agent` may be set to another one between two episodes.
    """

    def __init__(
        self, task: str, agent: Agent, expert: str, on_episode: Callable[[Episode], None]
    ) -> None:
        self.agent = agent
        self._task, self._expert = task, expert
        self._on_episode = on_episode
        self._seed = 0
        self._versions: dict[str, str] = {}
        self._columns: dict[str, Column] = {}
        self._rewards: list[float] = []

    def on_reset(self, env: gymnasium.Env, obs: Any, info: dict[str, Any], seed: int) -> None:
        """Start over with the first observation."""
        del info
        self._seed = seed
        self._versions = self._versions or package_versions(env)
        self._space = env.action_space
        self._whole_numbers = isinstance(self._space, spaces.Discrete)
        self._actions: list[Any] = []
        self._expert_actions: list[Any] = []
        self._rewards = []
        self._columns, self._texts = {}, {}
        for key, value in flatten_observation(obs).items():
            if isinstance(value, str):
                self._texts[key] = [value]
            else:
                self._columns[key] = Column(value)
        # A bare array is most of what there is, and need not be flattened.
        self._bare = self._columns.get(ROOT_KEY) if len(self._columns) == 1 else None
        self._check_at = _CHECK_EVERY

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
        """Keep the step; InvalidEpisodeError where an observation has another shape."""
        if not self._actions:
            self._noted = hasattr(self.agent, "last_expert_action")
        self._actions.append(self._flat(action))
        if self._noted:
            expert = self.agent.last_expert_action  # type: ignore[attr-defined]
            self._expert_actions.append(self._actions[-1] if expert is None else self._flat(expert))
        self._rewards.append(reward)
        try:
            if self._bare is not None and type(obs) is np.ndarray:
                self._bare.put(obs)
            else:
                self._observe(obs)
        except ValueError as error:
            raise self._invalid(f"observation at step {len(self._rewards)}: {error}") from error
        if len(self._rewards) == self._check_at:
            self._check_at += _CHECK_EVERY
            self.check_finite()

    def _flat(self, action: Any) -> Any:
        # What cannot change needs no copy.
        if self._whole_numbers and type(action) in (int, np.int64):
            return action
        return flat_action(self._space, action)

    def _observe(self, obs: Any) -> None:
        flat = flatten_observation(obs)
        if len(flat) != len(self._columns) + len(self._texts):
            raise ValueError(f"it has the keys {list(flat)}, other ones than at first")
        for key, value in flat.items():
            if key in self._columns:
                self._columns[key].put(value)
            elif key in self._texts and isinstance(value, str):
                self._texts[key].append(value)
            else:
                raise ValueError(f"{key!r} was not there at first, or was no text")

    def check_finite(self) -> None:
        """Look for what no expert should be asked about.

        Called from time to time and at the end, and to be called when playing failed: what an
        expert makes of a NaN hides the cause.

        Raises:
            InvalidEpisodeError: an observation or reward is not finite; names the first.
        """
        found = [(column.first_not_finite(), key) for key, column in self._columns.items()]
        steps = [(step, key) for step, key in found if step is not None]
        if steps:
            step, key = min(steps)
            raise self._invalid(f"observation {key!r} is not finite at step {step}")
        finite = np.isfinite(self._rewards)
        if not finite.all():
            raise self._invalid(f"reward is not finite at step {int(np.argmin(finite))}")

    def _invalid(self, problem: str) -> InvalidEpisodeError:
        return InvalidEpisodeError(f"episode of {self._task} (seed {self._seed}): {problem}")

    def on_episode_end(self, result: EpisodeResult) -> None:
        """Build the episode; InvalidEpisodeError where an observation is not finite."""
        self.check_finite()
        columns, self._columns, self._bare = self._columns, {}, None
        observations = {key: column.take() for key, column in columns.items()}
        observations |= {key: np.array(texts) for key, texts in self._texts.items()}
        actions = np.array(self._actions)
        self._on_episode(
            Episode(
                task=self._task,
                observations=observations,
                actions=actions,
                expert_actions=np.array(self._expert_actions) if self._noted else actions,
                rewards=np.array(self._rewards, np.float64),
                terminated=result.terminated,
                seed=self._seed,
                expert=self._expert,
                success=result.success,
                versions=self._versions,
            )
        )


def flat_action(space: gymnasium.Space, action: Any) -> np.ndarray:
    """An action as an episode stores it: int64 () or (n,) if discrete, float32 (n,) if continuous,
    () of letters if it is text."""
    if isinstance(space, spaces.Discrete):
        return np.array(action, np.int64).reshape(())
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        return np.array(action, np.int64).reshape(-1)
    if isinstance(space, spaces.Box):
        return np.array(action, np.float32).reshape(-1)
    if isinstance(space, spaces.Text):
        return np.array(action, np.str_)
    raise UnsupportedSpaceError(
        f"actions of {space} cannot be recorded; expected Discrete, MultiDiscrete, MultiBinary, "
        "Box or Text"
    )


def package_versions(env: gymnasium.Env) -> dict[str, str]:
    """The versions of gato_gym, gymnasium and the environment's own package."""
    versions = {"gato_gym": gato_gym.__version__, "gymnasium": gymnasium.__version__}
    # The class of the environment, of its simulator and of its model say which package steps it.
    inner = [env.unwrapped, *vars(env.unwrapped).values()]
    modules = {cls.__module__.partition(".")[0] for item in inner for cls in type(item).__mro__}
    for module, distribution in _ENVIRONMENT_PACKAGES.items():
        if module in modules:
            versions[distribution] = importlib.metadata.version(distribution)
    return versions
