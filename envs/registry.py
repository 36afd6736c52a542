"""The catalogue of tasks, and how an id is found: the task, its package, or the nearest names."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym

from gato_gym.envs.ale import register_ale
from gato_gym.errors import MissingExtraError, UnknownTaskError
from gato_gym.types import ActionSpec, ObservationSpec, TaskSpec

SCORES_PATH = Path(__file__).with_name("scores.json")
"""{task id: {"random", "random_source", "expert", "expert_source"}}, written by a command."""

# The Python module behind each extra of setup.py that tasks need.
EXTRA_MODULES = {"atari": "ale_py", "mujoco": "mujoco"}


@dataclass(frozen=True)
class Package:
    """A package whose ids share a namespace.

    register: imports the package and registers its ids; run when one is first asked for.
    image_size: (height, width) of the images of all its tasks.
    """

    extra: str
    register: Callable[[], None]
    image_size: tuple[int, int] | None = None


NAMESPACES = {"ALE": Package("atari", register_ale, image_size=(64, 80))}

# Tasks that draw their images at any size themselves, which is sharper than resizing.
RENDERS_ANY_SIZE = frozenset({"gato_gym/BlockStacking-v0"})

_TASKS = {
    spec.id: spec
    for spec in (
        TaskSpec(
            id="CartPole-v1",
            domain="classic",
            family="classic_control",
            observations=(ObservationSpec("observation", "continuous", (4,)),),
            action=ActionSpec("discrete", 1, (2,)),
            horizon=500,
            expert="sb3/CartPole-v1",
        ),
        TaskSpec(
            id="ALE/Boxing-v5",
            domain="atari",
            family="ale",
            observations=(ObservationSpec("observation", "image", (64, 80, 3)),),
            action=ActionSpec("discrete", 1, (18,)),
            horizon=27_000,  # 108,000 frames, 4 per step; a round of Boxing ends after 1,800 steps
            expert="sb3/ALE/Boxing-v5",
            extra="atari",
        ),
        TaskSpec(
            id="gato_gym/BlockStacking-v0",
            domain="manipulation",
            family="block_stacking",
            observations=(
                ObservationSpec("blue", "continuous", (7,)),
                ObservationSpec("proprioception", "continuous", (8,)),
                ObservationSpec("red", "continuous", (7,)),
            ),
            action=ActionSpec("continuous", 5),
            horizon=400,
            expert="scripted/stacker",
            extra="mujoco",
            has_success=True,
        ),
    )
}


def registered(task: str) -> TaskSpec | None:
    """The catalogue's entry with its scores, None for an id that is not in it."""
    spec = _TASKS.get(task)
    if spec is None:
        return None
    scores = load_scores().get(task, {})
    return replace(
        spec,
        random_score=scores.get("random"),
        random_source=scores.get("random_source", ""),
        expert_score=scores.get("expert"),
        expert_source=scores.get("expert_source", ""),
    )


def tasks(domain: str | None = None, *, available: bool = True) -> tuple[TaskSpec, ...]:
    """The catalogue.

    Args:
        domain: only tasks of this domain.
        available: only tasks whose package is installed.
    """
    specs = (registered(task) for task in _TASKS)
    return tuple(
        spec
        for spec in specs
        if spec is not None
        and (domain is None or spec.domain == domain)
        and (not available or is_available(spec))
    )


def is_available(spec: TaskSpec) -> bool:
    """Whether the package a task needs is installed."""
    return not spec.extra or importlib.util.find_spec(EXTRA_MODULES[spec.extra]) is not None


@cache
def load_scores(path: Path = SCORES_PATH) -> dict[str, dict[str, Any]]:
    """The measured scores by task id; read once per process."""
    return json.loads(path.read_text(encoding="utf-8"))


def package_of(task: str) -> Package | None:
    """The package that an id's namespace belongs to, e.g. ale-py for "ALE/Pong-v5"."""
    namespace, slash, _ = task.rpartition("/")
    return NAMESPACES.get(namespace) if slash else None


def resolve(task: str) -> str:
    """Make an id known to Gymnasium and return it without its "module:" prefix.

    Raises:
        MissingExtraError: the package of the task is not installed.
        UnknownTaskError: no such id.
    """
    module, _, name = task.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise UnknownTaskError(
                f"task {task!r}: no module {error.name!r}; install the package that registers it"
            ) from error
    package, spec = package_of(name), _TASKS.get(name)
    if package is not None:
        _import_extra(name, package.extra, package.register)
    elif spec is not None and spec.extra:
        module_name = EXTRA_MODULES[spec.extra]
        _import_extra(name, spec.extra, lambda: importlib.import_module(module_name))
    if name not in gym.registry:
        raise UnknownTaskError(_unknown(name))
    return name


def missing_extra(task: str, extra: str) -> MissingExtraError:
    """The error for a task whose package is not installed."""
    return MissingExtraError(
        f"{task} needs {EXTRA_MODULES[extra]}, which is not installed: "
        f'pip install "gato-gym[{extra}]"'
    )


def _import_extra(task: str, extra: str, run: Callable[[], Any]) -> None:
    try:
        run()
    except ModuleNotFoundError as error:
        # Any other missing module is a broken install, which the plain error tells better.
        if error.name != EXTRA_MODULES[extra]:
            raise
        raise missing_extra(task, extra) from error


def _unknown(task: str) -> str:
    near = nearest(task, [*_TASKS, *gym.registry])
    hint = f"did you mean {', '.join(map(repr, near))}?" if near else "see `gato-gym tasks`"
    extra = next((_TASKS[name].extra for name in near if name in _TASKS), "")
    if extra:
        hint += f' ({near[0]} needs: pip install "gato-gym[{extra}]")'
    return f"unknown task {task!r}: {hint}"


def nearest(name: str, candidates: list[str], count: int = 3) -> list[str]:
    """The candidates most like `name`, best first; case and namespace may be forgotten."""

    def likeness(candidate: str) -> float:
        forms = (candidate.lower(), candidate.rpartition("/")[2].lower())
        return max(difflib.SequenceMatcher(None, form, name.lower()).ratio() for form in forms)

    scored = sorted(((likeness(c), c) for c in dict.fromkeys(candidates)), key=lambda s: -s[0])
    return [candidate for score, candidate in scored[:count] if score >= 0.6]
