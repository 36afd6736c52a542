"""Data of the transfer study: the tasks that are held out, and those that are learned before.

Of each domain a handful of tasks is learned before whose experts ship with this package and are
quick: collecting must not cost more than training. No torch here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import gymnasium

from gato_gym import envs
from gato_gym.data.jobs import make_suite_env
from gato_gym.errors import GatoGymError, UnknownTaskError

TEXT = "text"
"""The domain that is no control data: text, and pictures with text."""


@dataclass(frozen=True)
class Target:
    """A task that is held out of pretraining and then learned from few episodes.

    name    of the task in commands and folders
    task    its id
    source  the domain of `SOURCES` that is "the same domain"
    title   over its panel
    steps   of an episode of an agent that plays badly, for estimates
    expert_steps  the same of the expert
    figure  of the paper
    """

    name: str
    task: str
    source: str
    title: str
    steps: int
    expert_steps: int
    figure: str = "figure-9"


TARGETS = {
    target.name: target
    for target in (
        Target(
            "cartpole-swingup",
            "dm_control/cartpole-swingup-v0",
            "dm_control",
            "cartpole swingup (DM Control)",
            1000,
            1000,
        ),
        Target(
            "assembly", "Meta-World/assembly-v3", "meta_world", "assembly (Meta-World)", 500, 500
        ),
        Target(
            "order-of-apples",
            "gato_gym/OrderOfApples-v0",
            "navigation",
            "order of apples (first person)",
            900,
            391,
        ),
        Target("boxing", "ALE/Boxing-v5", "atari", "boxing (ALE Atari)", 1785, 226),
        Target(
            "block-stacking",
            "gato_gym/BlockStacking-v0",
            "manipulation",
            "block stacking",
            400,
            101,
            "figure-19",
        ),
        # Of the budget `smoke`, so that a study takes seconds.
        Target("cart-pole", "CartPole-v1", "classic", "cart pole", 30, 500),
    )
}
"""The paper's four held-out tasks (section 5.2), block stacking (appendix I), and one for tests."""


@dataclass(frozen=True)
class Source:
    """What is learned before of a domain.

    tasks     ids, all with an expert
    domains   of the catalogue, where the budget asks for every task with an expert
    episodes  of each task at amount 1
    steps     of an episode, about, for estimates
    why       these
    """

    tasks: tuple[str, ...]
    domains: tuple[str, ...]
    episodes: int
    steps: int
    why: str


def _meta_world(*names: str) -> tuple[str, ...]:
    return tuple(f"Meta-World/{name}-v3" for name in names)


SOURCES: Mapping[str, Source] = {
    "dm_control": Source(
        tuple(
            f"dm_control/{name}-v0"
            for name in (
                *("cartpole-balance", "cheetah-run", "finger-spin", "pendulum-swingup"),
                "reacher-easy",
            )
        ),
        ("dm_control",),
        12,
        1000,
        "all tasks of the suite whose expert ships here, but for the held-out one",
    ),
    "meta_world": Source(
        _meta_world("reach", "push", "pick-place", "peg-insert-side", "disassemble", "drawer-open"),
        ("meta_world",),
        20,
        500,
        "three skills that assembly is made of, two of its neighbours, and one that is not",
    ),
    "navigation": Source(
        tuple(
            f"gato_gym/BabyAI-{name}-pixels-v0"
            for name in ("GoToObj", "GoToLocal", "GoToRedBall", "PickupLoc", "PutNextLocal")
        ),
        ("babyai_pixels",),
        500,
        6,
        "the suite has one first-person walk; its nearest neighbours are walks seen as pictures "
        "of what is before the walker, who turns, goes and picks up as there",
    ),
    "atari": Source(
        ("ALE/Pong-v5", "ALE/Breakout-v5", "ALE/Freeway-v5"),
        ("atari",),
        4,
        2700,
        "games whose expert ships here and ends within a few thousand steps",
    ),
    "manipulation": Source(
        tuple(
            f"gato_gym/BlockStacking-{name}-v0"
            for name in ("Reach", "Lift", "Pyramid", "StackThree")
        ),
        ("manipulation",),
        60,
        135,
        "the other tasks of the same arm, told by the same kinds of numbers",
    ),
    TEXT: Source(
        ("text/captioning", "text/vqa", "text/dialogue"),
        (TEXT,),
        300,
        5,
        "all that speaks; pictures are drawn by the simulators of blocks and grids only, as those "
        "of Atari show the held-out game",
    ),
}
"""What each domain's pretraining learns."""

SMOKE_SOURCES: Mapping[str, Source] = {
    "classic": Source(
        ("MountainCar-v0",), ("classic",), 2, 200, "short episodes, tiny observations"
    ),
    TEXT: Source(("text/dialogue",), (TEXT,), 2, 5, "needs no simulator"),
}
"""The same for the budget `smoke`."""

PICTURE_SOURCES = ("blocks", "grid")
_PICTURES = ("text/captioning", "text/vqa")


def make_environment(task: str) -> gymnasium.Env:
    """The environment that a task's pretraining data comes from."""
    if task in _PICTURES:
        return envs.make(task, sources=PICTURE_SOURCES)
    return make_suite_env(task)


def stem(task: str) -> str:
    """What a task is about, without the form that it is shown in: its version, pixels, extended
    game modes, random bodies or instructions."""
    name = re.sub(r"-v\d+$", "", task.rpartition("/")[2]).lower()
    name = re.sub(r"-(random-small|random-large|pixels|instructed)", "", name)
    return name.removesuffix("extended")


def held_out_names(tasks: Iterable[str], targets: Iterable[Target]) -> list[str]:
    """Those of the tasks that are a target, or one in another form."""
    stems = {stem(target.task) for target in targets}
    return [task for task in tasks if stem(task) in stems]


def refuse_held_out(tasks: Iterable[str], targets: Iterable[Target], where: str) -> None:
    """Raise GatoGymError where pretraining data has a held-out task.

    Args:
        tasks: of the data.
        targets: what is held out.
        where: the data is, for the message.
    """
    found = held_out_names(tasks, targets)
    if found:
        raise GatoGymError(
            f"{where} has episodes of {', '.join(found)}, which this study holds out: give the "
            "study a folder of its own"
        )


def find_target(name: str) -> Target:
    """The target of a name.

    Raises:
        UnknownTaskError: there is none; lists all.
    """
    if name not in TARGETS:
        raise UnknownTaskError(f"no target {name!r}: choose among {', '.join(TARGETS)}")
    return TARGETS[name]
