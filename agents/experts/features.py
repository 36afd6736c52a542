"""What a learned expert sees: a float32 vector of the observation or of the emulator's RAM.

Training and acting share these classes, so the two cannot drift apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from gato_gym.envs.spaces import observation_specs
from gato_gym.types import flatten_observation


class Features(Protocol):
    """A function of the episode so far."""

    def reset(self, env: gym.Env) -> None:
        """Begin an episode of `env`."""
        ...

    def size(self, env: gym.Env) -> int:
        """Length of the vector."""
        ...

    def __call__(self, observation: Any) -> np.ndarray:
        """The (size,) float32 vector at this step; to be called once per step, in order."""
        ...


class ObservationFeatures:
    """The observation itself, flattened row-major; of a mapping its leaves in order of their keys.

    Integers are numbers here: an environment of labels needs features of its own.
    """

    def reset(self, env: gym.Env) -> None:
        """Nothing to forget."""

    def size(self, env: gym.Env) -> int:
        """Numbers in one observation."""
        return sum(math.prod(leaf.shape) for leaf in observation_specs(env.observation_space))

    def __call__(self, observation: Any) -> np.ndarray:
        """The observation as a vector."""
        if isinstance(observation, np.ndarray):
            return observation.astype(np.float32).reshape(-1)
        leaves = flatten_observation(observation).values()
        return np.concatenate([np.asarray(leaf, np.float32).reshape(-1) for leaf in leaves])


class DmControlState:
    """The state that dm_control's own task reports, where the environment shows pixels."""

    def __init__(self) -> None:
        self._env: Any = None
        self._flat = ObservationFeatures()

    def reset(self, env: gym.Env) -> None:
        """Begin an episode of a dm_control environment."""
        self._env = env.unwrapped

    def size(self, env: gym.Env) -> int:
        """Numbers in one observation of the state."""
        self.reset(env)
        return len(self(None))

    def __call__(self, observation: Any) -> np.ndarray:
        """The state as a vector: the observation, unless that is an image."""
        shown = isinstance(observation, Mapping)
        return self._flat(observation if shown else self._env.state_observation())


RAM_BYTES = 128


@dataclass(frozen=True)
class RamLayout:
    """Which bytes of a console's RAM matter.

    addresses: the bytes, in order.
    player, opponent: addresses, one for each direction; their differences are features, too.
    """

    addresses: tuple[int, ...] = tuple(range(RAM_BYTES))
    player: tuple[int, ...] = ()
    opponent: tuple[int, ...] = ()


# Boxing, addresses in decimal. 32, 33: x of the white player and of the opponent; 34, 35: their y.
# The others are bytes that change while the two fight; what each one means is not documented. The
# clock (17) and the score (18, 19) are left out: the best punch does not depend on them.
BOXING = RamLayout(
    addresses=(
        *(32, 33, 34, 35),
        *(47, 49, 51, 53, 55, 57, 59, 61),
        *(73, 74, 75, 77, 78, 79),
        *(99, 101, 103, 105, 107, 109, 111, 113),
        *(56, 60),
    ),
    player=(32, 34),
    opponent=(33, 35),
)


# Games in which all depends on how one thing stands to another; the addresses are those that the
# Atari Annotated RAM Interface names (arXiv 1906.08226).
PONG = RamLayout(player=(51, 50, 46), opponent=(54, 54, 49))  # paddles and ball, y; paddle, ball, x
BREAKOUT = RamLayout(player=(72,), opponent=(99,))  # paddle and ball, x


class RamFeatures:
    """Bytes of the emulator's RAM, their change since the last step, and where the opponent is.

    The change is what a single frame hides: the direction in which a fist moves. It is 0 at the
    first step of an episode. Reads the emulator, so it works on the RGB environment too.
    """

    def __init__(self, layout: RamLayout) -> None:
        self._addresses = np.array(layout.addresses)
        position = {address: i for i, address in enumerate(layout.addresses)}
        self._player = [position[a] for a in layout.player]
        self._opponent = [position[a] for a in layout.opponent]
        self._previous: np.ndarray | None = None
        self._ale: Any = None

    def reset(self, env: gym.Env) -> None:
        """Begin an episode of an ALE environment."""
        self._ale = env.unwrapped.ale  # type: ignore[attr-defined]
        self._previous = None

    def size(self, env: gym.Env) -> int:
        """Bytes, changes, and three numbers for each relative position."""
        return 2 * len(self._addresses) + 3 * len(self._player)

    def __call__(self, observation: Any) -> np.ndarray:
        """The vector at this step; the observation is not looked at."""
        return self.compute(self._ale.getRAM())

    def compute(self, ram: np.ndarray) -> np.ndarray:
        """The vector of a (128,) uint8 RAM, given the one before."""
        values = ram[self._addresses].astype(np.float32)
        previous = values if self._previous is None else self._previous
        change = np.clip(values - previous, -16, 16) / 16
        self._previous = values
        offset = values[self._opponent] - values[self._player]
        return np.concatenate(
            [values / 128 - 0.5, change, offset / 32, np.abs(offset) / 32, np.sign(offset)]
        ).astype(np.float32)


class FeatureEnv(gym.Wrapper):
    """The environment a learned expert is trained in: `features` in place of the observation.

    Each action is held for `action_repeat` steps, or until the episode ends; their rewards are
    summed. The features see every step, as they do when the expert acts.
    """

    def __init__(self, env: gym.Env, features: Features, action_repeat: int = 1) -> None:
        super().__init__(env)
        self._features, self._action_repeat = features, action_repeat
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (features.size(env),), np.float32)

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset the environment and the features."""
        observation, info = self.env.reset(**kwargs)
        self._features.reset(self.env)
        return self._features(observation), info

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """Step the environment, once for each time the action is held."""
        total = 0.0
        for _ in range(self._action_repeat):
            observation, reward, terminated, truncated, info = self.env.step(action)
            seen = self._features(observation)
            total += float(reward)
            if terminated or truncated:
                break
        return seen, total, terminated, truncated, info


FEATURES: dict[str, Callable[[], Features]] = {
    "observation": ObservationFeatures,
    "dm_control_state": DmControlState,
    "ram": lambda: RamFeatures(RamLayout()),
    "boxing_ram": lambda: RamFeatures(BOXING),
    "breakout_ram": lambda: RamFeatures(BREAKOUT),
    "pong_ram": lambda: RamFeatures(PONG),
}
