"""How large a transfer study is: one named set of numbers. No torch here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from gato_gym.config import MODELS, ModelConfig, model_config
from gato_gym.evaluation.transfer.sources import (
    SMOKE_SOURCES,
    SOURCES,
    TARGETS,
    Source,
    Target,
    find_target,
)
from gato_gym.training.finetune import DRAWN, SIZES, FineTuneConfig

LISTS = ("targets", "episodes", "draws")
"""What a study may get more of; every other number makes another study."""


@dataclass(frozen=True)
class Budget:
    """The numbers of a study. All regimes get the same tokens, shape and recipe.

    name           of the budget that it began as
    size           of the model, see `gato_gym.config.MODELS`
    targets        names of the held-out tasks, see `sources.TARGETS`
    episodes       to learn each of them from
    draws          of these episodes
    pool           episodes that are collected of each target, to draw from
    amount         of pretraining data: times `Source.episodes`
    every_task     learn all tasks of the domains that have an expert, not a handful
    tokens         of each pretraining, padding included
    batch          rows of one context in a pretraining step
    learning_rate  peak of the pretraining
    tuning         the few-shot protocol
    seed           of weights and sample order of the pretraining; data begins with
                   `COLLECTION_SEED`
    """

    name: str
    size: str
    targets: tuple[str, ...]
    episodes: tuple[int, ...]
    draws: int
    pool: int
    amount: float
    tokens: int
    batch: int
    learning_rate: float
    tuning: FineTuneConfig = field(default_factory=FineTuneConfig)
    every_task: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        model_config(self.size)
        for name in ("draws", "pool", "tokens", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.targets or not self.episodes:
            raise ValueError("a study needs at least one target and one number of episodes")
        for name in self.targets:
            if find_target(name).source not in self.sources:
                raise ValueError(
                    f"the budget {self.name!r} has no pretraining data of the domain of {name!r}"
                )
        for count in self.episodes:
            if not 1 <= count <= min(self.pool, DRAWN):
                raise ValueError(
                    f"{count} episodes: at least 1, and at most the {min(self.pool, DRAWN)} that "
                    f"the budget {self.name!r} draws from"
                )

    @property
    def sources(self) -> Mapping[str, Source]:
        """Domain -> what is learned before of it."""
        return SMOKE_SOURCES if self.name == "smoke" else SOURCES

    @property
    def model(self) -> ModelConfig:
        """The shape of all models."""
        return model_config(self.size)

    @property
    def steps(self) -> int:
        """Optimiser steps of each pretraining."""
        return -(-self.tokens // (self.batch * self.model.context))

    def chosen(self) -> tuple[Target, ...]:
        """The targets themselves."""
        return tuple(find_target(name) for name in self.targets)

    def all_targets(self) -> tuple[Target, ...]:
        """All that is ever held out with these sources, whichever the study looks at: a target
        that is added later finds its data held out, too."""
        return tuple(target for target in TARGETS.values() if target.source in self.sources)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; `Budget.from_json` is its inverse."""
        told = asdict(self)
        return told | {name: list(told[name]) for name in ("targets", "episodes")}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Budget:
        """Inverse of `to_json`."""
        lists = {name: tuple(data[name]) for name in ("targets", "episodes")}
        return cls(**{**data, **lists, "tuning": FineTuneConfig(**data["tuning"])})


_FOUR = ("cartpole-swingup", "assembly", "order-of-apples", "boxing")

BUDGETS = {
    budget.name: budget
    for budget in (
        Budget(
            name="smoke",
            size="tiny",
            targets=("cart-pole",),
            episodes=(1, 2),
            draws=2,
            pool=3,
            amount=1.0,
            tokens=2 * 2 * 96,
            batch=2,
            learning_rate=1e-3,
            tuning=FineTuneConfig(
                steps=2,
                batch=2,
                learning_rate=1e-2,
                stochastic_depth=0.0,
                evaluate_every=1,
                evaluate_episodes=2,
                smooth=1,
            ),
        ),
        Budget(
            name="small",
            size="bundle",
            targets=_FOUR,
            episodes=(10, 100),
            draws=3,
            pool=200,
            amount=1.0,
            tokens=2_000_000,
            batch=16,
            learning_rate=1e-3,
            # Fewer and larger steps than the paper's 10,000 at 1e-5: a small network has little to
            # unlearn, and the whole study three hours.
            tuning=FineTuneConfig(
                steps=500,
                batch=4,
                learning_rate=1e-3,
                clip=1.0,
                stochastic_depth=0.0,
                evaluate_every=250,
                evaluate_episodes=3,
                smooth=2,
            ),
        ),
        Budget(
            name="paper",
            size="364m",
            targets=(*_FOUR, "block-stacking"),
            episodes=SIZES,
            draws=3,
            pool=2000,
            amount=100.0,
            every_task=True,
            tokens=1_000_000 * 512 * 1024,
            batch=512,
            learning_rate=2e-4,
        ),
    )
}
"""smoke: seconds, for tests. small: hours of two cores. paper: its numbers (section 4, appendix E),
with our tasks."""


def budget(
    name: str,
    *,
    size: str | None = None,
    targets: Sequence[str] = (),
    episodes: Sequence[int] = (),
    draws: int | None = None,
) -> Budget:
    """A named budget, with some of its numbers replaced.

    Raises:
        ValueError: no such budget or size, or numbers that do not fit each other.
        UnknownTaskError: no such target.
    """
    if name not in BUDGETS:
        near = difflib.get_close_matches(name, BUDGETS, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown budget {name!r}: choose one of {', '.join(BUDGETS)}{hint}")
    changes: dict[str, Any] = {}
    if size is not None:
        if size not in MODELS:
            model_config(size)  # raises, and names the nearest
        changes["size"] = size
    if targets:
        changes["targets"] = tuple(dict.fromkeys(targets))
    if episodes:
        changes["episodes"] = tuple(sorted(set(episodes)))
    if draws is not None:
        changes["draws"] = draws
    return replace(BUDGETS[name], **changes)


def changed_numbers(before: Budget, now: Budget) -> list[str]:
    """What differs besides `LISTS`, in words."""
    told = []
    for one in fields(Budget):
        if one.name in LISTS:
            continue
        old, new = getattr(before, one.name), getattr(now, one.name)
        if old == new:
            continue
        if one.name == "tuning":
            kept, asked = old.to_json(), new.to_json()
            told += [f"tuning {k} {kept[k]}, not {asked[k]}" for k in kept if kept[k] != asked[k]]
        else:
            told.append(f"{one.name} {old}, not {new}")
    return told


def together(before: Budget, now: Budget) -> Budget:
    """A budget with the lists of both."""
    return replace(
        now,
        targets=tuple(dict.fromkeys((*before.targets, *now.targets))),
        episodes=tuple(sorted({*before.episodes, *now.episodes})),
        draws=max(before.draws, now.draws),
    )
