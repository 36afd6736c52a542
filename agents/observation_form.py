"""The form that a task's observations must have, checked before they become tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gato_gym.envs.spaces import named
from gato_gym.errors import InvalidObservationError
from gato_gym.tokenizers.timestep import StepTokenizer
from gato_gym.tokenizers.vocabulary import BINS, DISCRETE_VALUES, PAD, PATCH
from gato_gym.types import PATCH_SIDE, ROOT_KEY, TaskSpec, flatten_observation


class ObservationForm:
    """Of raw observations, single or stacked."""

    def __init__(self, spec: TaskSpec) -> None:
        self._task, self._leaves = spec.id, {item.key: item for item in spec.observations}
        parts = [part for key in self._leaves for part in key.split("/")]
        self._may_be_tuple = any(part.isdigit() for part in parts)
        self._is_bare = list(self._leaves) == [ROOT_KEY]
        """One array or sentence, no mapping."""
        self.fix = f"pass what an environment of {spec.id} returns, or reset the agent with yours"

    def is_tokenized(self, obs: Any) -> bool:
        """Whether it is of an environment that `gato_gym.make` tokenises."""
        return isinstance(obs, Mapping) and "ids" in obs and "ids" not in self._leaves

    def checked(self, obs: Any, step: int) -> dict[str, Any]:
        """The leaves of one observation by key; channels that stand first are put last.

        Raises:
            InvalidObservationError: a missing or unknown key, or numbers, integers or text where
                something else belongs. Values and shapes are left to the tokenizer.
        """
        flat = self._flatten(obs)
        for key, item in self._leaves.items():
            value = flat[key]
            if item.kind == "text":
                if not isinstance(value, str) and (
                    np.ndim(value) or np.asarray(value).dtype.kind != "U"
                ):
                    self._refuse(key, step, f"must be a string, got {_called(value)}")
            elif item.kind == "image":
                flat[key] = _channels_last(value)
            else:
                numbers = flat[key] = np.asarray(value)
                if numbers.dtype.kind not in "biuf":
                    self._refuse(key, step, f"must be numbers, got {_called(value)}")
                if item.kind == "discrete" and numbers.dtype.kind == "f":
                    self._refuse(key, step, f"must be integers, got {numbers.dtype}")
        return flat

    def split(self, observation: Any) -> tuple[list[Any], bool]:
        """See `Role.split`."""
        if self.is_tokenized(observation):
            flat, ranks = dict(observation), {"ids": 1, "patches": 4, "positions": 2}
            ranks = {key: rank for key, rank in ranks.items() if key in flat}
        else:
            flat = self._flatten(observation)
            ranks = {key: len(item.shape) for key, item in self._leaves.items()}
        shapes = {key: self._shape(key, flat[key]) for key in ranks}
        counts = {key: shape[0] for key, shape in shapes.items() if len(shape) == ranks[key] + 1}
        if not counts:
            # A single one. If its shape is wrong, reading it says so.
            return [observation], False
        if len(counts) < len(ranks) or len(set(counts.values())) > 1 or 0 in counts.values():
            told = ", ".join(f"{key!r} {shape}" for key, shape in shapes.items())
            raise InvalidObservationError(
                f"{self._task}: the parts of the observation have shapes {told}: all must be of "
                "the same number of environments, at least one"
            )
        count = next(iter(counts.values()))
        if self._is_bare and not self.is_tokenized(observation):
            return list(flat[ROOT_KEY]), True
        return [{key: flat[key][row] for key in ranks} for row in range(count)], True

    def _flatten(self, obs: Any) -> dict[str, Any]:
        flat = flatten_observation(self._without_tuples(obs) if self._may_be_tuple else obs)
        if flat.keys() != self._leaves.keys():
            missing = [key for key in self._leaves if key not in flat]
            unknown = [key for key in flat if key not in self._leaves]
            problem = f"has no {missing[0]!r}" if missing else f"has a foreign {unknown[0]!r}"
            raise InvalidObservationError(
                f"{self._task}: observation {problem}; it has {sorted(flat)}, expected "
                f"{list(self._leaves)}: {self.fix}"
            )
        return flat

    def _without_tuples(self, obs: Any, prefix: str = "") -> Any:
        if isinstance(obs, tuple) and (prefix or ROOT_KEY) not in self._leaves:
            obs = named(obs)
        if isinstance(obs, Mapping):
            return {
                name: self._without_tuples(child, f"{prefix}/{name}" if prefix else str(name))
                for name, child in obs.items()
            }
        return obs

    def _shape(self, key: str, value: Any) -> tuple[int, ...]:
        try:
            return np.shape(value)
        except ValueError as error:
            raise InvalidObservationError(
                f"{self._task}: {key!r} is not one array: {error}; {self.fix}"
            ) from None

    def _refuse(self, key: str, step: int, problem: str) -> None:
        raise InvalidObservationError(f"{self._task}: {key!r} at step {step} {problem}")


class TokenForm:
    """Of tokenised observations."""

    def __init__(self, tokenizer: StepTokenizer) -> None:
        self._task, self._vocabulary = tokenizer.spec.id, tokenizer.vocabulary
        start = self._vocabulary.continuous_start
        ranges = {
            "text": (PAD, self._vocabulary.text_size),
            "image": (PATCH, PATCH + 1),
            "discrete": (0, DISCRETE_VALUES),
            "continuous": (start, start + BINS),
        }
        lows, highs = [], []
        for item in sorted(tokenizer.spec.observations, key=lambda item: item.key):
            width = int(np.prod(item.shape, dtype=int))
            slots = {"text": tokenizer.text_slot, "image": width // 3 // PATCH_SIDE**2}
            width = slots.get(item.kind, width)
            low, high = ranges[item.kind]
            lows += [low] * width
            highs += [high] * width
        self._low = np.array([*lows, self._vocabulary.separator])
        self._high = np.array([*highs, self._vocabulary.separator + 1])
        self._patches = (tokenizer.patches_per_step, PATCH_SIDE, PATCH_SIDE, 3)

    def checked(self, obs: Mapping[str, Any], step: int) -> tuple[np.ndarray, np.ndarray]:
        """(N,) ids and (P, 16, 16, 3) patches of one observation.

        Raises:
            InvalidObservationError: they are of another task or of another vocabulary.
        """
        ids = np.asarray(obs["ids"])
        patches = np.asarray(obs.get("patches", np.zeros((0, *self._patches[1:]), np.uint8)))
        if (ids.shape, patches.shape) != (self._low.shape, self._patches):
            raise InvalidObservationError(
                f"{self._task}: tokens at step {step} have {ids.shape} ids and patches of shape "
                f"{patches.shape}, expected {self._low.shape} and {self._patches}: reset the agent "
                "with this env"
            )
        wrong = (ids < self._low) | (ids >= self._high)
        if wrong.any() or ids.dtype.kind not in "iu" or patches.dtype != np.uint8:
            slot = int(wrong.argmax())
            raise InvalidObservationError(
                f"{self._task}: token {slot} at step {step} is {ids[slot]}, expected one in "
                f"[{self._low[slot]}, {self._high[slot]}), of {ids.dtype} and {patches.dtype}: it "
                f"is of another task, or of another vocabulary than {self._vocabulary}: "
                "gato_gym.make(id, vocabulary=agent.vocabulary)"
            )
        return ids, patches


def _channels_last(image: Any) -> Any:
    """(3, height, width) as (height, width, 3): Stable-Baselines3 turns images for its networks.

    No image of a task is three pixels high or wide, so the two cannot be confused.
    """
    if np.ndim(image) == 3 and np.shape(image)[0] == 3 and np.shape(image)[2] != 3:
        return np.ascontiguousarray(np.moveaxis(np.asarray(image), 0, -1))
    return image


def _called(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return type(value).__name__
