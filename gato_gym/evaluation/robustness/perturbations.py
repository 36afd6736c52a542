"""What may be different from training: each kind with its strengths and the tasks that it suits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import gymnasium as gym

from gato_gym import envs
from gato_gym.envs.block_stacking.palettes import PALETTES, SAME_NAMES, STANDARD
from gato_gym.envs.block_stacking.tasks import TASKS
from gato_gym.envs.registry import nearest, resolve
from gato_gym.evaluation.robustness import wrappers
from gato_gym.evaluation.robustness.spread import spread
from gato_gym.types import TaskSpec

Strength = float | str
MOST_VARIANTS = 6
"""Modes and difficulties of a game that are played unless some are named: a few have hundreds."""


@dataclass(frozen=True)
class Perturbation(ABC):
    """One kind.

    name       of it on the command line
    told       what is different, in words
    unit       of its strengths
    strengths  those that are played unless others are named; empty where the task decides
    """

    name: str
    told: str
    unit: str
    strengths: tuple[Strength, ...] = ()

    @abstractmethod
    def unsuited(self, spec: TaskSpec) -> str | None:
        """Why it does not apply to a task; None where it does."""

    @abstractmethod
    def make(self, task: str, strength: Strength) -> gym.Env:
        """The perturbed environment."""

    @abstractmethod
    def read(self, text: str) -> Strength:
        """A strength that somebody wrote.

        Raises:
            ValueError: it is none; says which there are.
        """

    def of_task(self, spec: TaskSpec) -> tuple[tuple[Strength, ...], str | None]:
        """The strengths that are played unless others are named, and a word on what is left out."""
        return self.strengths, None

    def refuses(self, spec: TaskSpec, strength: Strength) -> str | None:
        """Why a task that it suits is not played with a strength; None where it is."""
        return None


@dataclass(frozen=True)
class Wrapped(Perturbation):
    """A wrapper around the task.

    kind     of observation that it needs; None: it changes actions, which may be all but texts
    wrap     of an environment, its task's id and a strength, the perturbed one
    low, high  between which strengths lie
    whole    whether they are whole numbers
    """

    kind: str | None = None
    wrap: Callable[[gym.Env, str, Any], gym.Env] = lambda env, task, strength: env
    low: float = 0.0
    high: float = 1.0
    whole: bool = False

    def unsuited(self, spec: TaskSpec) -> str | None:
        """See `Perturbation`."""
        if self.kind is None:
            return "its actions are texts" if spec.speaks else None
        kinds = {leaf.kind for leaf in spec.observations}
        if self.kind in kinds:
            return None
        what = {"continuous": "no continuous numbers", "image": "no pictures"}[self.kind]
        return f"it observes {what}"

    def make(self, task: str, strength: Strength) -> gym.Env:
        """See `Perturbation`."""
        return self.wrap(envs.make(task), task, strength)

    def read(self, text: str) -> Strength:
        """See `Perturbation`."""
        wanted = f"a {'whole ' * self.whole}number from {self.low:g} to {self.high:g}: {self.unit}"
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            raise ValueError(f"{self.name}={text}: expected {wanted}") from None
        if not self.low <= value <= self.high:
            raise ValueError(f"{self.name}={text}: expected {wanted}")
        return value


@dataclass(frozen=True)
class Sticky(Wrapped):
    """Sticky actions; the emulator's own where it has them, which repeat frames and not steps."""

    def make(self, task: str, strength: Strength) -> gym.Env:
        """See `Perturbation`."""
        if _own_stickiness(task) is None:
            return super().make(task, strength)
        return envs.make(task, repeat_action_probability=strength)

    def refuses(self, spec: TaskSpec, strength: Strength) -> str | None:
        """See `Perturbation`."""
        own = _own_stickiness(spec.id) or 0.0
        return f"the task has {own:g} itself" if strength == own else None


@dataclass(frozen=True)
class Colours(Perturbation):
    """Block stacking in other paint."""

    def unsuited(self, spec: TaskSpec) -> str | None:
        """See `Perturbation`."""
        if spec.family != "block_stacking":
            return "it has no blocks"
        if all(leaf.kind != "image" for leaf in spec.observations):
            return "it observes where the blocks are, not how they look"
        return None

    def make(self, task: str, strength: Strength) -> gym.Env:
        """See `Perturbation`."""
        return envs.make(task, palette=strength)

    def read(self, text: str) -> Strength:
        """See `Perturbation`."""
        if text not in self.strengths:
            raise ValueError(f"{self.name}={text}: expected {', '.join(map(str, self.strengths))}")
        return text

    def refuses(self, spec: TaskSpec, strength: Strength) -> str | None:
        """See `Perturbation`."""
        instructed = any(task.instructed and spec.id == task.pixel_id for task in TASKS.values())
        if instructed and strength not in SAME_NAMES:
            return "its instructions would name colours that are not there"
        return None


@dataclass(frozen=True)
class Variants(Perturbation):
    """Other modes and difficulties of an Atari game, as the cartridge has them."""

    def unsuited(self, spec: TaskSpec) -> str | None:
        """See `Perturbation`."""
        if spec.family == "ale_extended":
            return "each episode draws its mode and difficulty itself"
        if spec.family != "ale":
            return "it has no modes and difficulties"
        return None if len(_variants(spec.id)) > 1 else "the game has one mode and one difficulty"

    def make(self, task: str, strength: Strength) -> gym.Env:
        """See `Perturbation`."""
        mode, difficulty = _pair(str(strength))
        return envs.make(task, mode=mode, difficulty=difficulty)

    def read(self, text: str) -> Strength:
        """See `Perturbation`."""
        try:
            mode, difficulty = _pair(text)
        except ValueError:
            raise ValueError(f"{self.name}={text}: expected {self.unit}, e.g. 0/1") from None
        return f"{mode}/{difficulty}"

    def of_task(self, spec: TaskSpec) -> tuple[tuple[Strength, ...], str | None]:
        """Those that differ from the task's own in one of the two, difficulties first."""
        own, *others = _variants(spec.id)
        mode, difficulty = _pair(own)
        near = [one for one in others if _pair(one)[0] == mode]
        near += [one for one in others if _pair(one)[1] == difficulty]
        taken = tuple(near[:MOST_VARIANTS])
        left = len(others) - len(taken)
        if not left:
            return taken, None
        return taken, f"{left} of its {len(others)} other variants, unless named"

    def refuses(self, spec: TaskSpec, strength: Strength) -> str | None:
        """See `Perturbation`."""
        own, *others = _variants(spec.id)
        if strength == own:
            return "it is the task's own"
        return None if strength in others else f"the game has {own} and {', '.join(others)}"


PERTURBATIONS: Mapping[str, Perturbation] = {
    one.name: one
    for one in (
        Colours(
            "block-colours",
            "blocks in colours that no data shows",
            "a palette",
            tuple(name for name in PALETTES if name != STANDARD),
        ),
        Sticky(
            "sticky-actions",
            "the last action is repeated now and then",
            "the probability of a repeat",
            (0.0, 0.25, 0.5),
            wrap=lambda env, task, strength: wrappers.StickyActions(env, strength),
            high=0.99,
        ),
        Variants("game-variants", "another mode or difficulty of the game", "MODE/DIFFICULTY"),
        Wrapped(
            "observation-noise",
            "Gaussian noise on observed numbers",
            "standard deviations of each number in random play",
            (0.1, 0.3, 1.0),
            kind="continuous",
            wrap=lambda env, task, strength: wrappers.NoisyNumbers(env, strength, spread(task)),
            low=0.001,
            high=100.0,
        ),
        Wrapped(
            "pixel-noise",
            "Gaussian noise on pictures",
            "standard deviation in grey levels of 255",
            (8.0, 32.0),
            kind="image",
            wrap=lambda env, task, strength: wrappers.NoisyPixels(env, strength),
            low=0.1,
            high=255.0,
        ),
        Wrapped(
            "occlusion",
            "a grey patch on pictures",
            "the share of the area that it covers",
            (0.05, 0.2),
            kind="image",
            wrap=lambda env, task, strength: wrappers.CoveredPixels(env, strength),
            low=0.001,
        ),
        Wrapped(
            "delayed-actions",
            "actions are executed later than decided",
            "steps",
            (1, 2, 4),
            wrap=lambda env, task, strength: wrappers.DelayedActions(env, strength),
            low=1,
            high=100,
            whole=True,
        ),
    )
}


def read_perturbations(
    wanted: Sequence[str],
) -> dict[Perturbation, tuple[Strength, ...] | None]:
    """What was asked for, and how strong where that was said.

    Args:
        wanted: NAME or NAME=STRENGTH,STRENGTH; none is all of them.

    Raises:
        ValueError: an unknown perturbation or strength; names what there is.
    """
    found: dict[Perturbation, tuple[Strength, ...] | None] = {}
    for text in wanted or PERTURBATIONS:
        name, equals, listed = text.partition("=")
        one = PERTURBATIONS.get(name)
        if one is None:
            near = nearest(name, list(PERTURBATIONS), count=1)
            hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(PERTURBATIONS)}"
            raise ValueError(f"unknown perturbation {name!r}: {hint}")
        found[one] = tuple(dict.fromkeys(map(one.read, listed.split(",")))) if equals else None
    return found


def told(strength: Strength) -> str:
    """A strength as it is written on the command line."""
    return strength if isinstance(strength, str) else f"{strength:g}"


def _own_stickiness(task: str) -> float | None:
    """Of a task that may repeat actions itself; None of all others."""
    own: float | None = gym.spec(resolve(task)).kwargs.get("repeat_action_probability")
    return own


@cache
def _variants(task: str) -> tuple[str, ...]:
    """All of a game, the task's own first."""
    from gato_gym.envs.families.ale_env import variants

    kwargs = gym.spec(resolve(task)).kwargs
    found = variants(kwargs["game"])
    # What a cartridge starts with when nobody sets its switches.
    mode, difficulty = kwargs.get("mode"), kwargs.get("difficulty")
    own = (found[0][0] if mode is None else mode, found[0][1] if difficulty is None else difficulty)
    return tuple(f"{m}/{d}" for m, d in (own, *(one for one in found if one != own)))


def _pair(text: str) -> tuple[int, int]:
    mode, difficulty = map(int, text.split("/"))
    return mode, difficulty
