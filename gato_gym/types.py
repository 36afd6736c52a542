"""The data that flows through the project: task specs and episodes. No torch here.

An observation is what a Gymnasium environment returns: an array, a string, or a (nested) mapping of
these. `flatten_observation` gives the one canonical flat form, sorted by key (paper section 2.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from gato_gym.errors import InvalidEpisodeError, InvalidObservationError

ObservationKind = Literal["image", "continuous", "discrete", "text"]
ActionKind = Literal["discrete", "continuous", "text"]

# The key of an observation that is not a mapping.
ROOT_KEY = "observation"
PATCH_SIDE = 16


@dataclass(frozen=True)
class ObservationSpec:
    """One leaf of an observation: its key ("a/b" for nested mappings), kind and shape.

    For images the shape is (height, width, 3), sides multiples of 16. For text it is ().
    """

    key: str
    kind: ObservationKind
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.kind == "image":
            sides_fit = len(self.shape) == 3 and all(
                s and s % PATCH_SIDE == 0 for s in self.shape[:2]
            )
            if not sides_fit or self.shape[2] != 3:
                raise InvalidObservationError(
                    f"image {self.key!r} has shape {self.shape}; expected (height, width, 3) with "
                    f"sides that are multiples of {PATCH_SIDE}: pass image_size= to gato_gym.make"
                )


@dataclass(frozen=True)
class ActionSpec:
    """What an action is made of.

    discrete: `size` numbers (1 for Discrete), the i-th in [0, n[i]).
    continuous: `size` floats in [-1, 1]; `n` is empty.
    text: a string of at most `size` tokens, the end of the text included; `n` is empty.
    """

    kind: ActionKind
    size: int
    n: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "discrete" and (len(self.n) != self.size or min(self.n, default=0) < 1):
            raise ValueError(
                f"a discrete action of {self.size} numbers needs as many sizes, got {self.n}"
            )
        if self.kind != "discrete" and self.n:
            raise ValueError(f"a {self.kind} action has no n")


@dataclass(frozen=True)
class TaskSpec:
    """All that collecting, training and acting must know about a task.

    `random_score` and `expert_score` are mean undiscounted returns; `*_source` says who measured
    them. `expert` is the id of the expert in `gato_gym.agents.experts` that makes the task's data.
    `package` is the distribution that the task comes from, `extra` the pip extra that installs it
    ("" = core). `horizon` is the number of steps after which an episode is cut, None if nothing
    cuts it; `control_hz` the number of steps per simulated second, None where time has no unit.
    `has_success` says whether `info["success"]` is reported.
    """

    id: str
    domain: str
    family: str
    observations: tuple[ObservationSpec, ...]
    action: ActionSpec
    horizon: int | None = None
    random_score: float | None = None
    random_source: str = ""
    expert_score: float | None = None
    expert_source: str = ""
    expert: str | None = None
    extra: str = ""
    has_success: bool = False
    package: str = ""
    control_hz: float | None = None

    @property
    def has_text(self) -> bool:
        """Whether an observation or the action is text, which needs a text model."""
        return self.speaks or any(leaf.kind == "text" for leaf in self.observations)

    @property
    def speaks(self) -> bool:
        """Whether the action is text."""
        return self.action.kind == "text"

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; `TaskSpec.from_json` is its inverse."""
        return {
            **{
                k: getattr(self, k)
                for k in self.__dataclass_fields__
                if k not in ("observations", "action")
            },
            "observations": [
                {"key": o.key, "kind": o.kind, "shape": list(o.shape)} for o in self.observations
            ],
            "action": {
                "kind": self.action.kind,
                "size": self.action.size,
                "n": list(self.action.n),
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TaskSpec:
        """Inverse of `to_json`."""
        plain = {k: v for k, v in data.items() if k not in ("observations", "action")}
        observations = tuple(
            ObservationSpec(o["key"], o["kind"], tuple(o["shape"])) for o in data["observations"]
        )
        action = data["action"]
        return cls(
            observations=observations,
            action=ActionSpec(action["kind"], action["size"], tuple(action["n"])),
            **plain,
        )


def flatten_observation(observation: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of an observation by key, in lexicographic key order (paper section 2.1).

    A bare array or string gets the key "observation"; nested keys are joined by "/".
    """
    if not isinstance(observation, Mapping):
        return {prefix or ROOT_KEY: observation}
    flat: dict[str, Any] = {}
    for key in observation:
        flat.update(
            flatten_observation(observation[key], f"{prefix}/{key}" if prefix else str(key))
        )
    return dict(sorted(flat.items()))


def map_observation(observation: Any, change: Callable[[str, Any], Any], key: str = "") -> Any:
    """An observation of the same form with other leaves.

    Args:
        observation: is left as it is.
        change: of a leaf's key, as in `flatten_observation`, and the leaf, the new one.
        key: of the observation in a larger one.
    """
    if not isinstance(observation, Mapping):
        return change(key or ROOT_KEY, observation)
    prefix = f"{key}/" if key else ""
    return {
        name: map_observation(part, change, f"{prefix}{name}") for name, part in observation.items()
    }


@dataclass(frozen=True, repr=False)
class Episode:
    """One episode, immutable and checked when built. T steps:

    observations    key -> (T + 1, ...) array (uint8 images, floats, ints, or str for text); the
                    last entry is the observation after the last action
    actions         (T,) or (T, n) int64 for discrete, (T, n) float32 in [-1, 1] for continuous,
                    (T,) str for text:
                    what the environment executed (before any sticky repeat of its own)
    expert_actions  same shape: what the expert would have done; equal to `actions` unless noise was
                    injected. These are the training targets, `actions` are the context
    rewards         (T,) float64
    terminated      ended by the task; else cut by the time limit
    success         the task's own signal at the last step, None where it has none

    Raises:
        InvalidEpisodeError: lengths disagree, a float is not finite, an action is out of range.
    """

    task: str
    observations: Mapping[str, np.ndarray]
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    seed: int
    expert: str
    expert_actions: np.ndarray | None = None
    success: bool | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def fail(problem: str) -> None:
            raise InvalidEpisodeError(f"episode of {self.task} (seed {self.seed}): {problem}")

        steps = len(self.actions)
        if steps == 0:
            fail("it has no steps")
        if len(self.rewards) != steps:
            fail(f"{steps} actions but {len(self.rewards)} rewards")
        if not self.observations:
            fail("it has no observations")
        for key, values in self.observations.items():
            if len(values) != steps + 1:
                fail(f"observation {key!r} has {len(values)} entries, expected {steps + 1}")
            if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
                step = int(np.argwhere(~np.isfinite(values))[0][0])
                fail(f"observation {key!r} is not finite at step {step}")
        if not np.isfinite(self.rewards).all():
            fail(f"reward is not finite at step {int(np.argmin(np.isfinite(self.rewards)))}")
        experts = self.actions if self.expert_actions is None else self.expert_actions
        if experts.shape != self.actions.shape:
            fail(f"actions have shape {self.actions.shape}, expert_actions {experts.shape}")
        for name, values in (("actions", self.actions), ("expert_actions", experts)):
            if np.issubdtype(values.dtype, np.floating):
                # The comparison is false for NaN, so this also catches non-finite actions.
                if not (np.abs(values) <= 1.0).all():
                    fail(f"continuous {name} must lie in [-1, 1]")
            elif values.dtype.kind == "U":
                if values.ndim != 1:
                    fail(f"{name} of text have shape {values.shape}, expected one text per step")
            elif values.min() < 0:
                fail(f"discrete {name} must not be negative")
        object.__setattr__(self, "expert_actions", experts)
        object.__setattr__(
            self, "observations", MappingProxyType(dict(sorted(self.observations.items())))
        )
        object.__setattr__(self, "versions", MappingProxyType(dict(self.versions)))
        for values in (self.actions, experts, self.rewards, *self.observations.values()):
            values.setflags(write=False)

    def __len__(self) -> int:
        return len(self.actions)

    def first(self, steps: int) -> Episode:
        """Its first steps, as an episode that was cut after them; all of it where it has no more.

        Raises:
            InvalidEpisodeError: fewer than one step.
        """
        if steps >= len(self):
            return self
        assert self.expert_actions is not None  # set when it was built
        return replace(
            self,
            observations={key: values[: steps + 1] for key, values in self.observations.items()},
            actions=self.actions[:steps],
            rewards=self.rewards[:steps],
            expert_actions=self.expert_actions[:steps],
            terminated=False,
            success=None,
        )

    def __reduce__(self):  # mapping proxies cannot be pickled, worker processes need to
        plain = (dict(v) if isinstance(v, MappingProxyType) else v for v in vars(self).values())
        return Episode, tuple(plain)

    @property
    def episode_return(self) -> float:
        """Undiscounted sum of rewards."""
        return float(self.rewards.sum())

    def __repr__(self) -> str:
        keys = ", ".join(f"{k}: {v.dtype}{list(v.shape)}" for k, v in self.observations.items())
        return (
            f"Episode({self.task}, {len(self)} steps, return {self.episode_return:g}, "
            f"seed {self.seed}, expert {self.expert}, observations {{{keys}}}, "
            f"actions {self.actions.dtype}{list(self.actions.shape)})"
        )
