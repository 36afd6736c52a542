"""Observers of the rollout loop."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces

import gato_gym
from gato_gym.errors import InvalidEpisodeError, UnsupportedSpaceError
from gato_gym.evaluation.rollout import EpisodeResult
from gato_gym.types import Episode, flatten_observation

if TYPE_CHECKING:
    from gato_gym.agents import Agent

# Module -> distribution, for the packages whose version decides what an episode looks like.
_ENVIRONMENT_PACKAGES = {"ale_py": "ale-py", "mujoco": "mujoco"}


class EpisodeRecorder:
    """Turns each finished episode into a checked `Episode` and hands it to `on_episode`.

    The expert's action is `agent.last_expert_action` where the agent has one (see `NoisyExpert`),
    else the executed one. `versions` are the environment's if None.
    """

    def __init__(
        self,
        task: str,
        agent: Agent,
        expert: str,
        on_episode: Callable[[Episode], None],
        versions: Mapping[str, str] | None = None,
    ) -> None:
        self._task, self._agent, self._expert = task, agent, expert
        self._on_episode = on_episode
        self._seed = 0
        self._versions = dict(versions or {})

    def on_reset(self, env: gymnasium.Env, obs: Any, info: dict[str, Any], seed: int) -> None:
        """Start over with the first observation."""
        del info
        self._seed = seed
        self._versions = self._versions or package_versions(env)
        self._observations: dict[str, list[Any]] = {}
        self._actions: list[np.ndarray] = []
        self._expert_actions: list[np.ndarray] = []
        self._rewards: list[float] = []
        self._observe(obs)

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
        """Keep the step."""
        del terminated, truncated, info
        expert_action = getattr(self._agent, "last_expert_action", None)
        self._actions.append(flat_action(env.action_space, action))
        self._expert_actions.append(
            self._actions[-1]
            if expert_action is None
            else flat_action(env.action_space, expert_action)
        )
        self._rewards.append(reward)
        self._observe(obs)

    def on_episode_end(self, result: EpisodeResult) -> None:
        """Build the episode; InvalidEpisodeError where an observation is not finite."""
        self._on_episode(
            Episode(
                task=self._task,
                observations={k: _stack(v) for k, v in self._observations.items()},
                actions=np.stack(self._actions),
                expert_actions=np.stack(self._expert_actions),
                rewards=np.array(self._rewards, np.float64),
                terminated=result.terminated,
                seed=self._seed,
                expert=self._expert,
                success=result.success,
                versions=self._versions,
            )
        )

    def _observe(self, obs: Any) -> None:
        for key, value in flatten_observation(obs).items():
            # A copy: environments may write the next observation into the same array.
            kept = value if isinstance(value, str) else np.array(value)
            # Before the agent sees it: what an expert makes of a NaN would hide the cause.
            if not isinstance(kept, str) and kept.dtype.kind == "f" and not np.isfinite(kept).all():
                raise InvalidEpisodeError(
                    f"episode of {self._task} (seed {self._seed}): observation {key!r} is not "
                    f"finite at step {len(self._actions)}"
                )
            self._observations.setdefault(key, []).append(kept)


def _stack(values: list[Any]) -> np.ndarray:
    return np.array(values) if isinstance(values[0], str) else np.stack(values)


def flat_action(space: gymnasium.Space, action: Any) -> np.ndarray:
    """An action as an episode stores it: int64 () or (n,) if discrete, float32 (n,) if not."""
    if isinstance(space, spaces.Discrete):
        return np.array(action, np.int64).reshape(())
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        return np.array(action, np.int64).reshape(-1)
    if isinstance(space, spaces.Box):
        return np.array(action, np.float32).reshape(-1)
    raise UnsupportedSpaceError(
        f"actions of {space} cannot be recorded; expected Discrete, MultiDiscrete, MultiBinary "
        "or Box"
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
