"""The folder of a study: what it is, what is done, and who is at what.

    STUDY/study.json              the budget; its folder takes no other one
    STUDY/<unit>/settings.json    all that the unit's result depends on
    STUDY/<unit>/result.json      it is done; written last, completely or not at all
    STUDY/<unit>/failure.txt      why it failed when it was tried last
    STUDY/<unit>/lock             held by the process that is at it

Several machines may share a study: a unit is done by the one that holds its lock, which the system
takes back from a process that dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from gato_gym.errors import GatoGymError
from gato_gym.evaluation.studies.units import Unit

NAME, FORMAT = "study.json", 1

Stop = Callable[[], bool]
Stage = Callable[[Unit, Any, Stop], "dict[str, Any] | None"]
"""Does a unit of a study: its result, JSON-ready, or None where it was asked to stop on the way."""


class Numbers(Protocol):
    """What a study is made of, see `budgets.Budget`."""

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""


N = TypeVar("N", bound=Numbers)


class StudyFolder(ABC, Generic[N]):
    """A study's folder, whatever it studies.

    Args:
        folder: made by `create`.

    Attributes:
        kind: what it studies, in a word; in study.json.
        command: that makes one, without its folder.
        budget: its numbers.

    Raises:
        FileNotFoundError: there is no study.
        GatoGymError: its study.json cannot be read, or is of another kind.
    """

    kind: ClassVar[str]
    command: ClassVar[str]

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / NAME
        if not path.is_file():
            raise FileNotFoundError(
                f"{self.folder} holds no {self.kind} study: {self.command} --out {self.folder}"
            )
        told = _read(path)
        # Transfer studies came first and say nothing.
        kind = told.get("kind", "transfer")
        if kind != self.kind:
            raise GatoGymError(
                f"{self.folder} holds a {kind} study, not a {self.kind} study: choose another --out"
            )
        try:
            if told["format"] != FORMAT:
                raise ValueError(f"format {told['format']}, not {FORMAT}")
            self.budget: N = self.read_numbers(told["budget"])
        except (KeyError, TypeError, ValueError) as error:
            raise GatoGymError(f"{path} is not readable here: {error}") from error

    @classmethod
    def create(cls, folder: str | Path, budget: N) -> Self:
        """The study in a folder, begun or gone on with; what is a list of a budget may be added to.

        Raises:
            GatoGymError: the folder holds a study with other numbers; names them.
            FileExistsError: the folder holds something else.
        """
        folder = Path(folder)
        if (folder / NAME).is_file():
            known = cls(folder).budget
            changed = cls.changed(known, budget)
            if changed:
                raise GatoGymError(
                    f"{folder} holds a study with {'; '.join(changed)}: choose another --out, or "
                    "the same settings"
                )
            budget = cls.together(known, budget)
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(
                f"{folder} is not empty and holds no {cls.kind} study: choose another --out"
            )
        folder.mkdir(parents=True, exist_ok=True)
        told = {"format": FORMAT, "kind": cls.kind, "budget": budget.to_json()}
        write(folder / NAME, told)
        return cls(folder)

    @property
    @abstractmethod
    def stages(self) -> Mapping[str, Stage]:
        """What does the units of each stage."""

    @staticmethod
    @abstractmethod
    def read_numbers(told: Mapping[str, Any]) -> N:
        """Inverse of the budget's `to_json`."""

    @staticmethod
    @abstractmethod
    def changed(before: N, now: N) -> list[str]:
        """What makes another study of it, in words."""

    @staticmethod
    @abstractmethod
    def together(before: N, now: N) -> N:
        """A budget with the lists of both."""

    def path(self, unit: Unit | str) -> Path:
        """The folder of a unit."""
        return self.folder / (unit if isinstance(unit, str) else unit.key)

    def result(self, unit: Unit) -> dict[str, Any] | None:
        """What a unit gave; None where it is not done.

        Raises:
            GatoGymError: it was done with other settings; names them.
        """
        told = self.record(unit)
        return None if told is None else told["result"]

    def record(self, unit: Unit) -> dict[str, Any] | None:
        """A unit's result and what was noted beside it, e.g. seconds, machine and versions.

        Raises:
            GatoGymError: see `result`.
        """
        path = self.path(unit) / "result.json"
        if not path.is_file():
            return None
        told = _read(path)
        self._compare(unit, told.get("settings", {}))
        return told

    def done(self, unit: Unit) -> bool:
        """Whether its result is there, of these settings."""
        return self.result(unit) is not None

    def begin(self, unit: Unit) -> Path:
        """The unit's folder, made, with its settings.

        Raises:
            GatoGymError: it was begun with other settings; names them.
        """
        folder = self.path(unit)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "settings.json"
        if path.is_file():
            self._compare(unit, _read(path))
        else:
            write(path, unit.settings)
        (folder / "failure.txt").unlink(missing_ok=True)
        return folder

    def finish(self, unit: Unit, result: Mapping[str, Any], **beside: Any) -> None:
        """Write a unit's result. From here on it is done."""
        told = {"unit": unit.key, "settings": unit.settings, **beside, "result": result}
        write(self.path(unit) / "result.json", told)

    def fail(self, unit: Unit, why: str) -> None:
        """Keep what went wrong; the unit is tried again the next time."""
        folder = self.path(unit)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "failure.txt").write_text(why, encoding="utf-8")

    def tidy(self, unit: Unit) -> None:
        """Delete what a unit that is done needed only to be resumed: its checkpoints, several times
        the size of the network."""
        # Another process may be at the same.
        shutil.rmtree(self.path(unit) / "run", ignore_errors=True)

    @contextlib.contextmanager
    def claimed(self, unit: Unit) -> Iterator[bool]:
        """Hold the unit's lock; False where another process holds it."""
        folder = self.path(unit)
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def _compare(self, unit: Unit, known: Mapping[str, Any]) -> None:
        # As JSON has it: lists for tuples.
        now = json.loads(json.dumps(unit.settings))
        names = [name for name in {**now, **known} if now.get(name) != known.get(name)]
        if names:
            told = "; ".join(f"{name} {known.get(name)}, not {now.get(name)}" for name in names)
            raise GatoGymError(
                f"{self.path(unit)} was made with {told}: delete it to make it again, or give "
                "another --out"
            )


def write(path: Path, value: Mapping[str, Any]) -> None:
    """JSON, completely or not at all, on the disk when this returns."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(json.dumps(value, indent=1, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GatoGymError(f"{path} is not valid JSON: {error}; delete it") from error
    if not isinstance(told, dict):
        raise GatoGymError(f"{path} must hold a JSON object; delete it")
    return told
