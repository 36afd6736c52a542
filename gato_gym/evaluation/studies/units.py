"""What a study has to do, cut into units that are cached and run by themselves. No torch here.

A unit's name is its folder below the study's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from gato_gym.envs.registry import is_available, registered
from gato_gym.errors import GatoGymError

COLLECTION_SEED = 20_000
"""Of the first episode that is collected; evaluations play others, see `few_shot.free_seed`."""


@dataclass(frozen=True)
class Work:
    """What a unit costs.

    trained  tokens, padding included
    acted    tokens of the steps that an agent plays
    passes   of the network while it plays, each over all episodes that are played at once
    played   steps of experts
    """

    trained: int = 0
    acted: int = 0
    passes: int = 0
    played: int = 0


@dataclass(frozen=True)
class Unit:
    """One thing to do; `settings` is all that its result depends on, JSON-ready."""

    key: str
    stage: str
    settings: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    work: Work = field(default_factory=Work)


@dataclass(frozen=True)
class Units:
    """All units of a study, each after what it needs."""

    units: tuple[Unit, ...]

    def unit(self, key: str) -> Unit:
        """The unit of a name."""
        return self._by_key[key]

    @cached_property
    def _by_key(self) -> dict[str, Unit]:
        return {unit.key: unit for unit in self.units}

    def choose(self, patterns: Iterable[str]) -> list[Unit]:
        """The units that a pattern names, in their order; all without a pattern.

        Args:
            patterns: STAGE, STAGE/REGIME, STAGE/REGIME/TASK, ...; `*` stands for anything.

        Raises:
            GatoGymError: a pattern names none.
        """
        patterns = list(patterns)
        chosen: set[str] = set()
        for pattern in patterns:
            whole = pattern.rstrip("/")
            found = {
                unit.key
                for unit in self.units
                if fnmatchcase(unit.key, whole) or fnmatchcase(unit.key, f"{whole}/*")
            }
            if not found:
                first = ", ".join(sorted({unit.key.rsplit("/", 1)[0] for unit in self.units}))
                raise GatoGymError(f"--only {pattern}: the study has no such unit; it has {first}")
            chosen |= found
        return [unit for unit in self.units if not patterns or unit.key in chosen]


def missing_package(task: str) -> str | None:
    """Why a task cannot be played on this machine, None where it can."""
    spec = registered(task)
    if spec is None or is_available(spec):
        return None
    return f'its package is not installed: pip install "gato-gym[{spec.extra}]"'


def folder_name(task: str) -> str:
    """A task's id as one part of a unit's name."""
    return task.replace("/", "__")
