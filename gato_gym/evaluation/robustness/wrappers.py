"""Environments that are harder to see or to steer than they were in training.

All chance in them is a function of the seed of `reset`, and apart from the environment's own: the
same seed begins with the same situation, perturbed or not. Spaces, `spec` and rewards are those of
the environment: it is the same task, whose scores are compared.

Gymnasium's own wrappers are used where they fit: `StickyAction` decides which actions are repeated.
Its `AddWhiteNoise` and `ObstructView` change what `render` shows, not what is observed, and its
`DelayObservation` shows zeros at first, which no task means: so noise, occlusion and delay are our
own.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import StickyAction

from gato_gym.envs.spaces import observation_specs
from gato_gym.types import map_observation

_SALT = 0x90B5
GREY = 128
"""Of what covers a picture."""


class Perturbed(gym.Wrapper):
    """Draws from a generator that each seed of `reset` begins anew.

    Without a seed the draws go on from those of the last episode.
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self._draws = np.random.default_rng()

    @property
    def spec(self) -> Any:  # type: ignore[override]  # gymnasium.Wrapper's is a property, too
        """As the environment's own."""
        return self.env.spec

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        if seed is not None:
            self._draws = np.random.default_rng((_SALT, seed))
        observation, info = self.env.reset(seed=seed, options=options)
        self._begin()
        return self._seen(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Execute an action, or what became of it."""
        observation, reward, terminated, truncated, info = self.env.step(self._done(action))
        return self._seen(observation), reward, terminated, truncated, info

    def _begin(self) -> None:
        """An episode has begun."""

    def _seen(self, observation: Any) -> Any:
        return observation

    def _done(self, action: Any) -> Any:
        return action


class _OtherLeaves(Perturbed):
    """Changes the leaves of some kind in every observation.

    Raises:
        ValueError: the environment observes nothing of the kind.
    """

    kind = ""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        leaves = observation_specs(env.observation_space)
        self._keys = frozenset(leaf.key for leaf in leaves if leaf.kind == self.kind)
        if not self._keys:
            name = env.spec.id if env.spec else str(env)
            raise ValueError(f"{name} observes nothing that is {self.kind}")

    def _seen(self, observation: Any) -> Any:
        return map_observation(
            observation, lambda key, leaf: self._leaf(key, leaf) if key in self._keys else leaf
        )

    @abstractmethod
    def _leaf(self, key: str, leaf: Any) -> Any:
        """What is shown instead."""


class NoisyNumbers(_OtherLeaves):
    """Adds Gaussian noise to observed numbers. They may leave the bounds of their space.

    Args:
        env: observes continuous numbers.
        strength: standard deviation of the noise, in spreads.
        spread: key -> how far each number is usually from its mean, of the leaf's shape.
    """

    kind = "continuous"

    def __init__(self, env: gym.Env, strength: float, spread: Mapping[str, np.ndarray]) -> None:
        super().__init__(env)
        self._scale = {key: strength * np.asarray(spread[key]) for key in self._keys}

    def _leaf(self, key: str, leaf: Any) -> Any:
        values = np.asarray(leaf)
        noise = self._draws.standard_normal(values.shape) * self._scale[key]
        return (values + noise).astype(values.dtype)


class NoisyPixels(_OtherLeaves):
    """Adds Gaussian noise to every channel of every pixel; rounded and cut to [0, 255].

    Args:
        env: observes pictures.
        strength: standard deviation of the noise in grey levels.
    """

    kind = "image"

    def __init__(self, env: gym.Env, strength: float) -> None:
        super().__init__(env)
        self._strength = np.float32(strength)

    def _leaf(self, key: str, leaf: Any) -> Any:
        noise = self._draws.standard_normal(leaf.shape, np.float32) * self._strength
        return np.clip(np.rint(leaf + noise), 0, 255).astype(np.uint8)


class CoveredPixels(_OtherLeaves):
    """Covers a part of each picture with grey, at a place that stays for the episode.

    Args:
        env: observes pictures.
        strength: share of the area that is covered; the piece has the picture's proportions.
    """

    kind = "image"

    def __init__(self, env: gym.Env, strength: float) -> None:
        super().__init__(env)
        self._side = strength**0.5
        self._places: dict[str, np.ndarray] = {}

    def _begin(self) -> None:
        # Whatever their order: the draws belong to the keys.
        self._places = {key: self._draws.random(2) for key in sorted(self._keys)}

    def _leaf(self, key: str, leaf: Any) -> Any:
        size = np.array(leaf.shape[:2])
        covered = np.maximum(1, np.rint(self._side * size)).astype(int)
        top, left = np.rint(self._places[key] * (size - covered)).astype(int)
        image = leaf.copy()
        image[top : top + covered[0], left : left + covered[1]] = GREY
        return image


class DelayedActions(Perturbed):
    """Executes each action some steps after it was decided; at first random ones.

    The last decided actions of an episode are never executed. A delayed observation would be the
    same to an agent, but for the actions that it has seen itself do.

    Args:
        env: any.
        strength: steps.
    """

    def __init__(self, env: gym.Env, strength: int) -> None:
        super().__init__(env)
        self._delay = strength
        self._space = copy.deepcopy(env.action_space)  # whose samples are the environment's own
        self._waiting: deque[Any] = deque()

    def _begin(self) -> None:
        self._space.seed(int(self._draws.integers(2**31)))
        self._waiting = deque(self._space.sample() for _ in range(self._delay))

    def _done(self, action: Any) -> Any:
        self._waiting.append(action)
        return self._waiting.popleft()


class StickyActions(Perturbed):
    """Repeats the last executed action instead of the decided one, now and then.

    As Gymnasium's `StickyAction` (Machado et al. 2018, section 5.2) decides, but from draws of its
    own: those of the environment would change what the environment draws itself.

    Args:
        env: any.
        strength: probability of a repeat, in [0, 1).
    """

    def __init__(self, env: gym.Env, strength: float) -> None:
        super().__init__(env)
        self._strength = strength
        self._sticky = _Sticky(env, strength, self._draws)

    def _begin(self) -> None:
        self._sticky = _Sticky(self.env, self._strength, self._draws)

    def _done(self, action: Any) -> Any:
        return self._sticky.action(action)


class _Sticky(StickyAction):
    """Of one episode; only its `action` is used."""

    def __init__(self, env: gym.Env, probability: float, draws: np.random.Generator) -> None:
        super().__init__(env, probability)
        self._draws = draws

    @property  # type: ignore[misc]  # nobody sets it
    def np_random(self) -> np.random.Generator:
        return self._draws
