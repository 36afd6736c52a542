"""Which tasks are meant: ids, patterns like 'Meta-World/*', whole domains, a checkpoint's."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable

from gato_gym.data.sources.spec import is_data_task
from gato_gym.envs.registry import is_pattern, named_by_data, nearest, tasks
from gato_gym.errors import GatoGymError, UnknownTaskError
from gato_gym.types import TaskSpec


def choose_tasks(
    named: Iterable[str], domains: Iterable[str], suits: Callable[[TaskSpec], bool], what: str
) -> list[str]:
    """Task ids, each once: those named as they are, of patterns and domains those that suit.

    Args:
        named: ids, which need not be in the catalogue, and patterns.
        domains: domains of the catalogue.
        suits: which tasks of a pattern or domain are meant.
        what: what suiting means, for the message.

    Raises:
        UnknownTaskError: a pattern or domain without such a task.
    """
    chosen: list[str] = []
    here = tasks()
    for name in named:
        if not is_pattern(name):
            chosen.append(name)
            continue
        matching = [spec for spec in here if fnmatch.fnmatchcase(spec.id, name)]
        if not matching:
            near = nearest(name.rstrip("*?"), [spec.id for spec in here])
            hint = f"did you mean {', '.join(map(repr, near))}?" if near else "see gato-gym tasks"
            raise UnknownTaskError(f"no task matches {name!r}: {hint}")
        chosen += _suiting(matching, suits, f"no task that matches {name!r} {what}")
    for domain in domains:
        known = sorted({spec.domain for spec in here})
        if domain not in known:
            raise UnknownTaskError(f"no domain {domain!r}: one of {', '.join(known)}")
        matching = [spec for spec in here if spec.domain == domain]
        chosen += _suiting(matching, suits, f"no task of the domain {domain!r} {what}")
    return list(dict.fromkeys(chosen))


def _suiting(specs: list[TaskSpec], suits: Callable[[TaskSpec], bool], complaint: str) -> list[str]:
    found = [spec.id for spec in specs if suits(spec)]
    if not found:
        raise UnknownTaskError(complaint)
    return found


def playable(known: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """The tasks of a checkpoint that may be played, and of the others why not."""
    chosen: list[str] = []
    skipped: dict[str, str] = {}
    for task in known:
        if is_data_task(task):
            skipped[task] = "it is read from data sets, no environment plays it"
            continue
        try:
            chosen.append(named_by_data(task))
        except GatoGymError as error:
            skipped[task] = " ".join(str(error).split())
    return chosen, skipped


def named_of(named: Iterable[str], known: Iterable[str]) -> list[str]:
    """Those tasks of a checkpoint that are named.

    Args:
        named: ids and patterns; none is all of them.
        known: the checkpoint's.

    Raises:
        UnknownTaskError: the checkpoint does not know it; names the nearest that it knows.
    """
    here, chosen = list(known), list[str]()
    for name in named:
        matching = fnmatch.filter(here, name) if is_pattern(name) else [name] * (name in here)
        if not matching:
            near = nearest(name.rstrip("*?"), here)
            hint = f"did you mean {', '.join(map(repr, near))}?" if near else ", ".join(here)
            raise UnknownTaskError(f"the checkpoint does not know {name!r}: {hint}")
        chosen += matching
    return list(dict.fromkeys(chosen or here))


def choose_known(named: Iterable[str], known: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """See `named_of`; and of those that cannot be played why not."""
    return playable(named_of(named, known))
