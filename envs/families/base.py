"""What a family of tasks must tell the rest of the package."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import gymnasium as gym

from gato_gym.types import TaskSpec


def unchanged(env: gym.Env) -> gym.Env:
    """The `adapt` of a family whose environments already keep every promise."""
    return env


def no_facts(env: gym.Env) -> dict[str, object]:
    """The `facts` of a family about which an environment's spec says everything."""
    return {}


@dataclass(frozen=True)
class Family:
    """Tasks that come from one package and are made the same way.

    A family's module imports its package only inside of its functions: the catalogue lists tasks
    whose package is not installed.

    Args:
        name: as in `TaskSpec.family`, e.g. "dm_control".
        distribution: the package on PyPI, e.g. "dm-control".
        extra: the pip extra that installs it; "" for what the core installs.
        modules: the importable modules it needs; all must be there for its tasks to be available.
        owns: whether an id is of this family, from its name alone (the id may not exist).
        register: imports the package and registers its ids with Gymnasium, silently; called once
            before one of its tasks is made; calling it again changes nothing.
        ids: the ids of the catalogue, distinct tasks only; called after `register`, and only by
            the command that writes the catalogue.
        domain: the group that a task is counted and averaged in, from its id.
        adapt: mends what the package leaves open, around `gymnasium.make(id)`: `reset(seed=s)`
            twice gives the same episode, observations lie in their space,
            `info["success"]` is a bool where the task has a success signal.
        facts: fields of the task's `TaskSpec` that only the built (adapted) environment knows:
            any of horizon, control_hz (control steps per simulated second), has_success.
        build: makes the bare environment from an id and keyword arguments, in the place of
            `gymnasium.make`, for arguments that the package does not know; None is
            `gymnasium.make`.
        image_size: (height, width) of the images of all its tasks; None leaves it to the space.
        any_size: its environments take `image_size=` and draw at that size themselves.
    """

    name: str
    distribution: str
    extra: str
    modules: tuple[str, ...]
    owns: Callable[[str], bool]
    register: Callable[[], None]
    ids: Callable[[], list[str]]
    domain: Callable[[str], str]
    adapt: Callable[[gym.Env], gym.Env] = unchanged
    facts: Callable[[gym.Env], dict[str, object]] = no_facts
    build: Callable[..., gym.Env] | None = None
    image_size: tuple[int, int] | None = None
    any_size: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """Its modules that are not installed; nothing is imported to find out."""
        return tuple(name for name in self.modules if importlib.util.find_spec(name) is None)


def base_name(task: str) -> str:
    """What a task is called without its namespace and version: "ALE/Pong-v5" -> "Pong"."""
    name = task.rpartition("/")[2]
    stem, dash, version = name.rpartition("-v")
    return stem if dash and version.isdigit() else name


def state_twin(task: str) -> str:
    """The task with the same dynamics and rewards that observes numbers instead of pixels."""
    stem, dash, version = task.rpartition("-v")
    return f"{stem.removesuffix('-pixels')}{dash}{version}"


def observation_kind(spec: TaskSpec) -> str:
    """ "pixels" if any part of the observation is an image, else "state"."""
    return "pixels" if any(leaf.kind == "image" for leaf in spec.observations) else "state"
