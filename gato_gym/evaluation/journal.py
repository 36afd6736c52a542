"""What an evaluation of many tasks has finished so far, in a file that survives a kill.

    FILE.journal    JSON lines, each with the crc32c of its text: first the settings, then one line
                    per finished task, with a name where a task is played in several ways

A line counts once its newline is there, so a kill loses at most the task that was being played.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import google_crc32c

from gato_gym.errors import GatoGymError
from gato_gym.evaluation.scores import Score

logger = logging.getLogger(__name__)

SUFFIX = ".journal"


class Journal:
    """The finished tasks of an evaluation; use it as a context manager, which holds the file.

    Args:
        out: where the result will be written; the journal is beside it.
        settings: JSON values on which the scores depend. A journal of other settings is not gone
            on with.

    Attributes:
        finished: name -> score, of this run and of the ones before it; a score's name is its task
            unless it was given another.

    Raises:
        GatoGymError: the journal is of other settings, is no journal, or another process has it.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.path = out.with_name(out.name + SUFFIX)
        self.finished: dict[str, Score] = {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self._lock()
            self._read(json.loads(json.dumps(settings)))
        except BaseException:
            os.close(self._descriptor)
            raise

    def add(self, score: Score, name: str | None = None) -> None:
        """Keep a score, of the task or of that name; on the disk when this returns."""
        row = {"score": score.to_json()} | ({} if name is None else {"name": name})
        self._append(row)
        self.finished[score.task if name is None else name] = score

    def remove(self) -> None:
        """Delete the file: the result holds all of it."""
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._descriptor)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise GatoGymError(
                f"{str(self.path)!r} is being written by another evaluation: wait for it, or pass "
                "another --out"
            ) from error

    def _read(self, settings: dict[str, Any]) -> None:
        """Take in what is there; a file without a first line begins here."""
        with open(self.path, "rb") as file:
            *lines, torn = file.read().split(b"\n")
        if torn:  # an append that was killed, and nothing may be appended to it
            os.ftruncate(self._descriptor, sum(len(line) + 1 for line in lines))
        if not lines:
            self._append({"settings": settings})
            return
        first = _decode(lines[0])
        if first is None or not isinstance(first.get("settings"), dict):
            raise GatoGymError(
                f"{str(self.path)!r} is no journal of an evaluation, or its first line has "
                "changed: pass another --out, or delete it"
            )
        for number, line in enumerate(lines[1:], start=2):
            try:
                content = _decode(line) or {}
                score = Score.from_json(content["score"])
            except (KeyError, TypeError):
                logger.warning(
                    "%s: line %d has changed, its task is played again", self.path, number
                )
                continue
            self.finished[content.get("name", score.task)] = score
        kept = first["settings"]
        if kept == settings:
            return
        if self.finished:
            names = [name for name in {**settings, **kept} if kept.get(name) != settings.get(name)]
            told = "; ".join(
                f"{name} {kept.get(name)!r}, now {settings.get(name)!r}" for name in names
            )
            raise GatoGymError(
                f"{str(self.path)!r} holds the finished tasks of another evaluation ({told}): pass "
                "another --out, or delete it to begin anew"
            )
        os.ftruncate(self._descriptor, 0)  # nothing is lost
        self._append({"settings": settings})

    def _append(self, content: Mapping[str, Any]) -> None:
        left = memoryview(_encode(content))
        while left:
            left = left[os.write(self._descriptor, left) :]
        os.fsync(self._descriptor)


def _text(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, allow_nan=False).encode()


def _encode(content: Mapping[str, Any]) -> bytes:
    checksum = google_crc32c.value(_text(content))
    return _text({"crc32c": f"{checksum:08x}", **content}) + b"\n"


def _decode(line: bytes) -> dict[str, Any] | None:
    """The content of a line, None where it is not what was written."""
    try:
        content = json.loads(line)
        told = content.pop("crc32c")
        return content if told == f"{google_crc32c.value(_text(content)):08x}" else None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
