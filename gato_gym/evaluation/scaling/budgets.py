"""How large a scaling study is: one named set of numbers. No torch here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from gato_gym.config import ModelConfig, model_config

SPACINGS = ("even", "log")
LISTS = ("sizes", "seeds")
"""What a study may get more of; every other number makes another study."""
GRAIN = 200
"""Parts of a training between which its weights can be kept, where it has as many steps."""

_OVERRIDE = re.compile(r"(?P<preset>.+)@(?P<width>\d+)(x(?P<layers>\d+))?")


def size_config(name: str) -> ModelConfig:
    """The shape of a size: a preset, or PRESET@WIDTH or PRESET@WIDTHxLAYERS.

    Heads keep the preset's size, the feed-forward part its ratio to the width.

    Raises:
        ValueError: no such preset, or a width that its heads do not divide.
    """
    found = _OVERRIDE.fullmatch(name)
    if found is None:
        return model_config(name)
    preset = model_config(found["preset"])
    width, key = int(found["width"]), preset.width // preset.heads
    if width < key or width % key:
        raise ValueError(
            f"size {name!r}: the width must be a multiple of {key}, the size of a head of "
            f"{preset.size!r}"
        )
    layers = int(found["layers"] or preset.layers)
    if layers < 1:
        raise ValueError(f"size {name!r}: at least 1 layer")
    hidden = preset.hidden * width // preset.width
    return replace(preset, size=name, width=width, layers=layers, heads=width // key, hidden=hidden)


@dataclass(frozen=True)
class ScalingBudget:
    """The numbers of a study. All networks get the same rows of tokens and the same recipe.

    name            of the budget that it began as
    sizes           of the networks, see `size_config`
    tasks           that they learn and play; none = all of the corpus, or all of the catalogue that
                    an expert plays, as far as they can be scored
    demonstrations  episodes of each task's expert; 0 where a corpus is given
    corpus          folder of one that is there; "" = the study collects its own
    tokens          that each network is trained on, padding included
    points          how often a network is kept and played on the way
    spacing         of these: "even" in tokens, or "log", each at twice the tokens of the one before
    episodes        that are played of each task at each point
    seeds           trainings of each size, with weights and sample order of their own; those of one
                    seed see the same rows in the same order
    batch           rows of one context in a step
    learning_rate   peak
    """

    name: str
    sizes: tuple[str, ...]
    tasks: tuple[str, ...]
    demonstrations: int
    tokens: int
    points: int
    episodes: int
    batch: int
    learning_rate: float
    spacing: str = "log"
    seeds: int = 1
    corpus: str = ""

    def __post_init__(self) -> None:
        for name in ("tokens", "points", "episodes", "batch", "seeds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.demonstrations < (not self.corpus):
            raise ValueError(f"demonstrations must be at least 1, got {self.demonstrations}")
        if self.spacing not in SPACINGS:
            raise ValueError(f"spacing {self.spacing!r} must be one of {SPACINGS}")
        if not self.sizes:
            raise ValueError("a scaling study needs at least one size")
        shapes = {name: size_config(name) for name in self.sizes}
        for what in ("context", "text_size"):
            found = {name: getattr(shape, what) for name, shape in shapes.items()}
            if len(set(found.values())) > 1:
                told = ", ".join(f"{name} {value}" for name, value in found.items())
                raise ValueError(
                    f"the sizes must have one {what} to see the same rows of tokens, got {told}"
                )

    @property
    def context(self) -> int:
        """Tokens of a row."""
        return size_config(self.sizes[0]).context

    @property
    def steps(self) -> int:
        """Optimiser steps of each training."""
        return -(-self.tokens // (self.batch * self.context))

    @property
    def grain(self) -> int:
        """Steps whose multiples a training can be stopped at to look at it; also the last is."""
        return max(1, self.steps // GRAIN)

    def point_steps(self) -> tuple[int, ...]:
        """The steps after which the network plays, rising; the last is the last of training.

        They are fewer than `points` where a training is too short for so many.
        """
        steps, grain = self.steps, self.grain
        if self.spacing == "log":
            shares = [2.0 ** -(self.points - 1 - number) for number in range(self.points)]
        else:
            shares = [(number + 1) / self.points for number in range(self.points)]
        found = {min(steps, max(grain, grain * round(share * steps / grain))) for share in shares}
        return tuple(sorted(found | {steps}))

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; `ScalingBudget.from_json` is its inverse."""
        return asdict(self) | {"sizes": list(self.sizes), "tasks": list(self.tasks)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScalingBudget:
        """Inverse of `to_json`."""
        return cls(**{**data, "sizes": tuple(data["sizes"]), "tasks": tuple(data["tasks"])})


BUDGETS = {
    budget.name: budget
    for budget in (
        ScalingBudget(
            name="smoke",
            sizes=("tiny@16", "tiny", "tiny@64x1"),
            tasks=("CartPole-v1", "MountainCar-v0"),
            demonstrations=2,
            tokens=4 * 2 * 96,
            points=2,
            episodes=2,
            batch=2,
            learning_rate=1e-3,
        ),
        ScalingBudget(
            name="small",
            sizes=("bundle@64", "bundle@128", "bundle"),
            # One of each kind of observation and action, none with long episodes of many tokens.
            tasks=(
                "CartPole-v1",
                "Acrobot-v1",
                "MountainCar-v0",
                "Reacher-v5",
                "gato_gym/BabyAI-GoToObj-pixels-v0",
            ),
            demonstrations=300,
            tokens=1_500_000,
            points=6,
            episodes=20,
            batch=8,
            learning_rate=1e-3,
        ),
        ScalingBudget(
            name="paper",
            sizes=("79m", "364m", "1.2b"),
            tasks=(),
            demonstrations=1000,
            tokens=1_000_000 * 512 * 1024,
            points=10,
            spacing="even",
            episodes=50,
            batch=512,
            learning_rate=1e-4,
        ),
    )
}
"""smoke: seconds, for tests. small: under half an hour of two cores. paper: the sizes and tokens of
its section 5.1 on all that our experts play, with the lowest of the rates that its sizes had."""


def budget(
    name: str,
    *,
    sizes: Sequence[str] = (),
    tasks: Sequence[str] = (),
    corpus: str = "",
    **numbers: Any,
) -> ScalingBudget:
    """A named budget, with some of its numbers replaced.

    Args:
        name: of `BUDGETS`.
        sizes, tasks: instead of the budget's.
        corpus: a folder of episodes; all its tasks, if none are named.
        numbers: other fields of `ScalingBudget`; None leaves them as they are.

    Raises:
        ValueError: no such budget or size, or numbers that do not fit each other.
    """
    if name not in BUDGETS:
        near = difflib.get_close_matches(name, BUDGETS, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown budget {name!r}: choose one of {', '.join(BUDGETS)}{hint}")
    changes = {field: value for field, value in numbers.items() if value is not None}
    if sizes:
        changes["sizes"] = tuple(dict.fromkeys(sizes))
    if tasks or corpus:
        changes["tasks"] = tuple(dict.fromkeys(tasks))
    if corpus:
        if changes.get("demonstrations"):
            raise ValueError("a study of a corpus collects nothing: leave out the demonstrations")
        changes |= {"corpus": corpus, "demonstrations": 0}
    return replace(BUDGETS[name], **changes)


def changed_numbers(before: ScalingBudget, now: ScalingBudget) -> list[str]:
    """What differs besides `LISTS`, in words."""
    return [
        f"{one.name} {_told(getattr(before, one.name))}, not {_told(getattr(now, one.name))}"
        for one in fields(ScalingBudget)
        if one.name not in LISTS and getattr(before, one.name) != getattr(now, one.name)
    ]


def _told(value: Any) -> str:
    return " ".join(value) or "all" if isinstance(value, tuple) else str(value) or "none"


def together(before: ScalingBudget, now: ScalingBudget) -> ScalingBudget:
    """A budget with the sizes and seeds of both."""
    return replace(
        now,
        sizes=tuple(dict.fromkeys((*before.sizes, *now.sizes))),
        seeds=max(before.seeds, now.seeds),
    )
