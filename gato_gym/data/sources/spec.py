"""What a task is that no environment makes: its spec, from the episodes that a corpus has of it."""

from __future__ import annotations

from collections.abc import Iterable

from gato_gym.data.manifest import EpisodeEntry
from gato_gym.envs.registry import registered
from gato_gym.envs.spaces import MOST_REPLY
from gato_gym.errors import DatasetError
from gato_gym.types import ActionSpec, ObservationSpec, TaskSpec

DOMAIN, FAMILY, PREFIX = "text", "data", "text/"


def is_data_task(task: str) -> bool:
    """Whether an id is that of a task that a data set gave, and no environment's."""
    return task.startswith(PREFIX) and registered(task) is None


def corpus_spec(entries: Iterable[EpisodeEntry]) -> TaskSpec:
    """The spec of a task "text/NAME" that was read from a data set.

    Args:
        entries: its episodes.

    Raises:
        DatasetError: there are none, they are of several tasks or of one that is no such task, or
            their observations differ in form.
    """
    task: str | None = None
    leaves: dict[str, tuple[str, tuple[int, ...]]] = {}
    for entry in entries:
        found = {key: (leaf.kind, leaf.shape) for key, leaf in entry.observations.items()}
        if task is None:
            task, leaves = entry.task, found
            _check(entry)
        elif entry.task != task:
            raise DatasetError(f"episodes of two tasks: {task} and {entry.task}; expected one")
        elif found != leaves or entry.actions.kind != "text":
            raise DatasetError(
                f"episodes of {task} differ: {leaves} and {found} (number {entry.seed} of "
                f"{entry.expert}); expected one form: read the data sets as tasks of their own"
            )
    if task is None:
        raise DatasetError("no episodes to tell a task from; expected at least one")
    observations = tuple(
        ObservationSpec(key, kind, shape)  # type: ignore[arg-type]  # a leaf's kind is one
        for key, (kind, shape) in sorted(leaves.items())
    )
    action = ActionSpec("text", MOST_REPLY)
    return TaskSpec(task, DOMAIN, FAMILY, observations, action)


def _check(entry: EpisodeEntry) -> None:
    if not entry.task.startswith(PREFIX) or entry.actions.kind != "text":
        raise DatasetError(
            f"{entry.task} is no task of a data set: expected {PREFIX}NAME with text as actions"
        )
