"""`train.jsonl` of a run: one JSON line per log, which outlives a crash and a resume.

Lines after the step that training resumes from are dropped: the resumed run writes them again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gato_gym.training.trainer import StepLog

NAME = "train.jsonl"


class RunLog:
    """The log of the run in `folder`, up to `step`; further lines are appended.

    A run that was started without one gets its lines from the run's TensorBoard files.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / NAME
        lines = _read(self.path) if self.path.exists() else _from_tensorboard(folder)
        self.lines = [line for line in lines if line["step"] <= step]
        folder.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f".{NAME}.part")
        part.write_text("".join(_encode(line) for line in self.lines))
        os.replace(part, self.path)

    def add(self, log: StepLog) -> None:
        """Append one line."""
        self.lines.append(asdict(log))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_encode(self.lines[-1]))


def _encode(line: Mapping[str, Any]) -> str:
    return json.dumps(line) + "\n"


def _read(path: Path) -> list[dict[str, Any]]:
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            break  # a crash cut it off; what follows, if anything, is not of this run's order
        lines.append(line)
    return lines


def _from_tensorboard(folder: Path) -> list[dict[str, Any]]:
    if not (folder / "tensorboard").is_dir():
        return []
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    lines: dict[int, dict[str, Any]] = {}
    for tag in events.Tags()["scalars"]:
        group, _, name = tag.partition("/")
        for event in events.Scalars(tag):
            line = lines.setdefault(event.step, {"step": event.step, "losses": {}, "accuracy": {}})
            if group == "train":
                line[name] = event.value
            else:
                line["losses" if group == "loss" else "accuracy"][name] = event.value
    return [lines[step] for step in sorted(lines)]
