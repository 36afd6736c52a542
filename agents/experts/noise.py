"""Noise injection: visit states the expert would not, and record what it would have done there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces

from gato_gym.errors import UnsupportedSpaceError

if TYPE_CHECKING:
    from gato_gym.agents import Agent

DEFAULT_BURST = (1, 8)
"""Shortest and longest run of random actions, in steps."""

_START = 1


class Bursts:
    """When runs of injected actions begin, and how long they last.

    Args:
        rate: the expected fraction of steps inside of them, in [0, 1].
        burst: the shortest and the longest, in steps.
    """

    def __init__(self, rate: float, burst: tuple[int, int]) -> None:
        low, high = self._burst = burst
        # Between bursts of mean length m lie m (1 - rate) / rate clean steps on average.
        gap = (low + high) / 2 * (1 - rate) / rate if rate else float("inf")
        self._start_probability = 1 / (1 + gap)

    def begin(self, random: np.random.Generator) -> int:
        """At a step outside of them: the length of the one that begins here, 0 if none does."""
        if random.random() >= self._start_probability:
            return 0
        low, high = self._burst
        return int(random.integers(low, high + 1))


def check_noise(rate: float, burst: tuple[int, int], random_start: int = 0) -> None:
    """Raise ValueError for settings that `NoisyExpert` does not take."""
    low, high = burst
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"noise rate {rate} is not in [0, 1]")
    if not 1 <= low <= high:
        raise ValueError(f"burst {burst}: expected 1 <= low <= high")
    if random_start < 0:
        raise ValueError(f"random_start {random_start} is negative")


class NoisyExpert:
    """An expert whose actions are replaced by bursts of random legal ones, and those of the start.

    `last_expert_action` always is the expert's own action for the observation just acted on: the
    training target, while the random action is context only. Half of the bursts hold one random
    action; the others draw one at each step (discrete) or shift the expert's by a constant
    (continuous).
    The k-th episode after construction depends on (seed, k) and the settings only.

    Args:
        expert: the clean agent.
        rate: the expected fraction of steps inside bursts, in [0, 1].
        seed: of the noise.
        burst: smallest and largest length of a burst, in steps.
        random_start: an episode begins with 0 to so many random actions, each number as likely.
    """

    def __init__(
        self,
        expert: Agent,
        rate: float,
        seed: int,
        burst: tuple[int, int] = DEFAULT_BURST,
        random_start: int = 0,
    ) -> None:
        check_noise(rate, burst, random_start)
        self.expert, self.rate, self.seed, self.burst = expert, rate, seed, burst
        self.random_start = random_start
        self._bursts = Bursts(rate, burst)
        self._episode = 0
        self._space: gymnasium.Space | None = None
        self.last_expert_action: Any = None

    def reset(self, env: gymnasium.Env) -> None:
        """Reset the expert and start this episode's own noise stream."""
        self.expert.reset(env)
        self._space = env.action_space
        self._random = np.random.default_rng([self.seed, self._episode])
        # A stream of its own: the bursts are the same with and without a random start.
        self._start_random = np.random.default_rng([self.seed, self._episode, _START])
        self._start_left = int(self._start_random.integers(self.random_start + 1))
        self._episode += 1
        self._steps_left = 0
        self._held: Any = None
        self.last_expert_action = None

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """The expert's action, or a random one during a burst."""
        assert self._space is not None, "call reset(env) first"
        clean = self.expert.act(obs, deterministic=deterministic)
        self.last_expert_action = clean
        if self._start_left:
            self._start_left -= 1
            return _random_action(self._space, self._start_random)
        if self._steps_left == 0 and (steps := self._bursts.begin(self._random)):
            self._steps_left = steps
            self._holds = bool(self._random.random() < 0.5)
            self._held = _random_action(self._space, self._random)
        if self._steps_left == 0:
            return clean
        self._steps_left -= 1
        if self._holds:
            return self._held
        if isinstance(self._space, spaces.Box):
            # Half the random action as an offset keeps the expert's correction visible.
            moved = np.asarray(clean) + 0.5 * self._held
            return np.clip(moved, self._space.low, self._space.high).astype(self._space.dtype)
        return _random_action(self._space, self._random)


def _random_action(space: gymnasium.Space, random: np.random.Generator) -> Any:
    # Not space.sample(): its generator belongs to the environment and would tie episodes together.
    if isinstance(space, spaces.Discrete):
        return np.int64(space.start + random.integers(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return (space.start + random.integers(space.nvec)).astype(space.dtype)
    if isinstance(space, spaces.MultiBinary):
        return random.integers(0, 2, space.shape).astype(space.dtype)
    if isinstance(space, spaces.Box) and space.is_bounded():
        return random.uniform(space.low, space.high).astype(space.dtype)
    raise UnsupportedSpaceError(
        f"no random action for {space}: expected Discrete, MultiDiscrete, MultiBinary or a bounded "
        "Box"
    )
