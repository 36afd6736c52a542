"""The catalogue of tasks, and how an id is found: the task, its package, or the nearest names.

The catalogue is data: `tasks.json` holds what building every task showed (`gato-gym tasks
--build`), `scores.json` what playing it gave (`--measure`). Reading them imports no package.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym

from gato_gym.envs.families import base_name, families, family_of, family_of_spec
from gato_gym.errors import MissingExtraError, UnknownTaskError
from gato_gym.types import TaskSpec

TASKS_PATH = Path(__file__).with_name("tasks.json")
"""[TaskSpec as JSON, without scores], one per line, written by a command."""

SCORES_PATH = Path(__file__).with_name("scores.json")
"""{task id: {"random", "random_source", "expert", "expert_source"}}, written by a command."""


HELD_OUT = (
    "dm_control/cartpole-swingup-v0",
    "Meta-World/assembly-v3",
    "gato_gym/OrderOfApples-v0",
    "ALE/Boxing-v5",
)
"""The tasks whose data a transfer study keeps out of pretraining (paper section 5.2).

Order of apples is ours: DM Lab, from which the paper took it, has no maintained package.
"""


@cache
def load_tasks(path: Path = TASKS_PATH) -> Mapping[str, TaskSpec]:
    """The catalogue by task id, without scores; read once per process."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    return {entry["id"]: TaskSpec.from_json(entry) for entry in entries}


@cache
def load_scores(path: Path = SCORES_PATH) -> dict[str, dict[str, Any]]:
    """The measured scores by task id; read once per process."""
    return json.loads(path.read_text(encoding="utf-8"))


def registered(task: str) -> TaskSpec | None:
    """The catalogue's entry with its scores, None for an id that is not in it."""
    spec = load_tasks().get(task)
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


def domain_of(task: str) -> str:
    """The catalogue's domain of a task; of one that it does not have "other", of words "text"."""
    spec = registered(task)
    return spec.domain if spec else "text" if task.startswith("text/") else "other"


def tasks(domain: str | None = None, *, available: bool = True) -> tuple[TaskSpec, ...]:
    """The catalogue.

    Args:
        domain: only tasks of this domain.
        available: only tasks whose packages are installed.
    """
    here = {family.name: not family.missing for family in families()}
    return tuple(
        spec
        for spec in map(registered, load_tasks())
        if spec is not None
        and (domain is None or spec.domain == domain)
        and (not available or here[spec.family])
    )


def is_available(spec: TaskSpec) -> bool:
    """Whether the packages that a task needs are installed."""
    family = family_of(spec.id)
    return family is None or not family.missing


def hidden() -> dict[str, int]:
    """Extra -> how many tasks of the catalogue it would add here."""
    counts: dict[str, int] = {}
    for spec in load_tasks().values():
        if not is_available(spec):
            counts[spec.extra] = counts.get(spec.extra, 0) + 1
    return counts


def resolve(task: str) -> str:
    """Make an id known to Gymnasium and return it without its "module:" prefix.

    Raises:
        MissingExtraError: the package of the task is not installed.
        UnknownTaskError: no such id.
    """
    if not isinstance(task, str):
        raise TypeError(f"a task id is a string like 'CartPole-v1', got {task!r}")
    module, _, name = task.rpartition(":")
    if module:
        if not all(part.isidentifier() for part in module.split(".")):
            raise UnknownTaskError(f"task {task!r}: {module!r} is no module's name")
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise UnknownTaskError(
                f"task {task!r}: no module {error.name!r}; install the package that registers it"
            ) from error
    family = family_of(name)
    # Somebody else's id may look like one of a family's.
    if family is not None and (name not in gym.registry or family_of_spec(gym.spec(name))):
        if family.missing:
            raise missing_extra(name)
        family.register()
    if name not in gym.registry:
        raise UnknownTaskError(_unknown(name))
    return name


def named_by_data(task: str) -> str:
    """The same id, if it may be made although a file names it and not a person.

    Making "module:id" imports the module, and a file from elsewhere must not choose what is run.

    Raises:
        UnknownTaskError: it names a module that nobody has imported yet.
    """
    module = task.rpartition(":")[0]
    if module and module not in sys.modules:
        raise UnknownTaskError(
            f"task {task!r} is named by a file and would import the module {module!r}: import it "
            "yourself first, if you trust it"
        )
    return task


def missing_extra(task: str) -> MissingExtraError:
    """The error for a task whose package is not installed."""
    family = family_of(task)
    assert family is not None
    lacking = " and ".join(family.missing) or family.distribution
    return MissingExtraError(
        f'{task} needs {lacking}, which is not installed: pip install "gato-gym[{family.extra}]"'
    )


def current_version(task: str) -> str | None:
    """The id of the catalogue that is another version of a task, if there is one."""
    namespace, name = task.rpartition("/")[0], base_name(task)
    return next(
        (
            other
            for other in load_tasks()
            if other != task and (other.rpartition("/")[0], base_name(other)) == (namespace, name)
        ),
        None,
    )


def _unknown(task: str) -> str:
    near = nearest(task, [*load_tasks(), *gym.registry])
    hint = f"did you mean {', '.join(map(repr, near))}?" if near else "see `gato-gym tasks`"
    first = load_tasks().get(near[0]) if near else None
    if first is not None and first.extra and not is_available(first):
        hint += f' ({first.id} needs: pip install "gato-gym[{first.extra}]")'
    return f"unknown task {task!r}: {hint}"


def is_pattern(name: str) -> bool:
    """Whether a name means all tasks that match it, e.g. 'Meta-World/*'."""
    return not {"*", "?", "["}.isdisjoint(name)


def nearest(name: str, candidates: list[str], count: int = 3) -> list[str]:
    """The candidates most like `name`, best first; case and namespace may be forgotten."""
    wanted = difflib.SequenceMatcher(b=name.lower())

    def likeness(candidate: str) -> float:
        best = 0.0
        for form in {candidate.lower(), candidate.rpartition("/")[2].lower()}:
            wanted.set_seq1(form)
            # The cheap upper bounds first: there are thousands of registered ids.
            if wanted.real_quick_ratio() > best and wanted.quick_ratio() > best:
                best = max(best, wanted.ratio())
        return best

    scored = sorted(((likeness(c), c) for c in dict.fromkeys(candidates)), key=lambda s: -s[0])
    return [candidate for score, candidate in scored[:count] if score >= 0.6]
