"""The logs of a run as JSON lines, which outlive a crash and a resume.

    train.jsonl         a `StepLog` per line
    validation.jsonl    a `ValidationLog`
    rollouts.jsonl      what the weights of a step reached, see `cli/rollouts.py`

Lines after the step that training resumes from are dropped: the resumed run writes them again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gato_gym.training.progress import StepLog, ValidationLog

NAME = "train.jsonl"
VALIDATION = "validation.jsonl"
ROLLOUTS = "rollouts.jsonl"
_GROUPS = {
    "loss": "losses",
    "accuracy": "accuracy",
    "loss_domain": "domain_losses",
    "accuracy_domain": "domain_accuracy",
}
"""Group of TensorBoard's names -> the field of a line that maps names to such values."""


class LinesFile:
    """JSON lines with a step each, up to `step`; further ones are appended.

    Args:
        path: where; it need not exist.
        step: that the run resumes from.
        lines: what the file holds, if it is not to be read.
    """

    def __init__(self, path: Path, step: int, lines: list[dict[str, Any]] | None = None) -> None:
        self.path = path
        if lines is None:
            lines = read_lines(path)
        self.lines = [line for line in lines if line["step"] <= step]
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.lines or path.exists():
            part = path.with_name(f".{path.name}.part")
            part.write_text("".join(_encode(line) for line in self.lines))
            os.replace(part, path)

    def add(self, line: Mapping[str, Any]) -> None:
        """Append one line."""
        self.lines.append(dict(line))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_encode(line))


class RunLog:
    """The logs of the run in `folder`, up to `step`; further ones are appended.

    A run that was started without train.jsonl gets its lines from its TensorBoard files.
    """

    def __init__(self, folder: Path, step: int) -> None:
        path = folder / NAME
        known = None if path.exists() else _from_tensorboard(folder)
        self._train = LinesFile(path, step, known)
        self._validation = LinesFile(folder / VALIDATION, step)
        self._rollouts = LinesFile(folder / ROLLOUTS, step)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Of train.jsonl; those of older runs have fewer keys, but step, losses and accuracy."""
        return self._train.lines

    @property
    def validation(self) -> list[dict[str, Any]]:
        """Of validation.jsonl."""
        return self._validation.lines

    @property
    def rollouts(self) -> list[dict[str, Any]]:
        """Of rollouts.jsonl."""
        return self._rollouts.lines

    def add(self, log: StepLog | ValidationLog) -> None:
        """Append one log to its file."""
        file = self._validation if isinstance(log, ValidationLog) else self._train
        file.add(asdict(log))

    def add_rollouts(self, line: Mapping[str, Any]) -> None:
        """Append the result of rollouts."""
        self._rollouts.add(line)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, none where there is no file.

    A line that a crash cut off ends it: what follows, if anything, is not of this run's order.
    """
    lines: list[dict[str, Any]] = []
    if not path.exists():
        return lines
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            break
        if not isinstance(line, dict) or "step" not in line:
            break
        lines.append(line)
    return lines


def _encode(line: Mapping[str, Any]) -> str:
    return json.dumps(line) + "\n"


def _from_tensorboard(folder: Path) -> list[dict[str, Any]]:
    if not (folder / "tensorboard").is_dir():
        return []
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    lines: dict[int, dict[str, Any]] = {}
    for tag in events.Tags()["scalars"]:
        group, _, name = tag.partition("/")
        if group != "train" and group not in _GROUPS:
            continue
        for event in events.Scalars(tag):
            line = lines.setdefault(event.step, {"step": event.step, "losses": {}, "accuracy": {}})
            if group == "train":
                line[name] = event.value
            else:
                line.setdefault(_GROUPS[group], {})[name] = event.value
    return [lines[step] for step in sorted(lines)]
