"""The folder of a run, read with care: what it is, and its files, none from outside of it.

    RUN/train.jsonl, validation.jsonl, rollouts.jsonl    a training run, see cli/runlog.py
    RUN/finetune.json, curve.jsonl, result.json          a fine-tuning run, see few_shot.py
    RUN/agent/                                           its agent, see training/bundle.py

What is damaged is left out and told in `problems`; a page is worth more than a refusal.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gato_gym.evaluation.report.values import number, printable
from gato_gym.training.bundled import BUNDLED, means_bundled

TRAIN, VALIDATION, ROLLOUTS = "train.jsonl", "validation.jsonl", "rollouts.jsonl"
FINETUNE, CURVE, RESULT = "finetune.json", "curve.jsonl", "result.json"
CONFIG, TASKS, CARD = "config.json", "tasks.json", "card.json"
README, SCORECARD, MANIFEST = "README.md", "scorecard.json", "manifest.json"
WEIGHTS = "model.safetensors"
STUDY = "study.json"

_MIB = 1 << 20
DOCUMENT_LIMIT, LOG_LIMIT = 16 * _MIB, 512 * _MIB


@dataclass(frozen=True)
class FileRead:
    """A file that the page is made of: its name in the run, size in bytes, SHA-256."""

    name: str
    size: int
    sha256: str


class RunFolder:
    """A training run, a fine-tuning run, or an agent alone.

    kind      which of them, in words
    agent     the agent's folder within the run: "" is the run itself; None where there is none yet
    problems  what could not be read and why, in the order it was found
    files     what was read

    Args:
        path: the folder; "bundled" is the agent that comes with the package, where no folder of
            that name is there.

    Raises:
        FileNotFoundError: there is nothing.
        NotADirectoryError: it is a file.
        ValueError: the folder holds no run and no agent; of a transfer study it says what to do.
    """

    def __init__(self, path: str | Path) -> None:
        root = BUNDLED if means_bundled(path) else Path(path)
        if not root.exists():
            raise FileNotFoundError(
                f"{path} does not exist: pass the --out folder of gato-gym train or finetune, or "
                "an agent's folder"
            )
        if not root.is_dir():
            raise NotADirectoryError(f"{path} is a file: pass the folder of a run or of an agent")
        self.root = root
        self.problems: list[str] = []
        self.files: list[FileRead] = []
        self.agent = next((f for f in ("", "agent/", "best/") if self._is_agent(f)), None)
        self.kind = self._kind(path)
        own = root.resolve()
        self.bundled = own == BUNDLED.resolve()
        self.name = "bundled" if self.bundled else own.name
        if own.name in ("agent", "best"):  # of a run, which says more
            self.name = f"{own.parent.name}/{own.name}"

    def _is_agent(self, place: str) -> bool:
        folder = self.root / place
        return (folder / CONFIG).is_file() and (folder / TASKS).is_file()

    def _kind(self, path: str | Path) -> str:
        if self.agent == "":
            return "agent"
        if (self.root / FINETUNE).is_file():
            return "fine-tuning run"
        if self.agent is not None or (self.root / TRAIN).is_file():
            return "training run"
        if (self.root / STUDY).is_file():
            agents = sorted(self.root.glob("pretrain/*/agent"))
            told = f"; a page of one of its agents: gato-gym report {agents[0]}" if agents else ""
            raise ValueError(
                f"{path} is a study of gato-gym transfer, which draws its own table and figures: "
                f"gato-gym transfer show {path} --figures figures{told}"
            )
        expected = f"expected {TRAIN}, {FINETUNE}, an agent/ folder, or an agent's {CONFIG}"
        if any(self.root.glob("step-*")):
            raise ValueError(
                f"{path} has checkpoints but no {TRAIN} and no agent/, so nothing to show: run "
                "gato-gym train once more, which reads them"
            )
        raise ValueError(f"{path} holds no run of gato-gym train or finetune: {expected}")

    @property
    def agent_folder(self) -> Path | None:
        """Where the agent is."""
        return None if self.agent is None else self.root / self.agent

    # Reading

    def of_agent(self, name: str) -> dict[str, Any]:
        """A JSON object of the agent's folder, {} where there is none."""
        return {} if self.agent is None else self.document(self.agent + name)

    def document(self, name: str) -> dict[str, Any]:
        """A JSON object, {} where there is none that can be read."""
        text = self.text(name)
        if text is None:
            return {}
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            self.problems.append(f"{name} is not valid JSON and left out: {error}")
            return {}
        if isinstance(found, dict):
            return found
        self.problems.append(f"{name} holds no JSON object and is left out")
        return {}

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The lines of a log, each with a "step", up to one that cannot be read."""
        text = self.text(name, LOG_LIMIT)
        found: list[dict[str, Any]] = []
        if text is None:
            return found
        rows = text.splitlines()
        for place, row in enumerate(rows, 1):
            try:
                line = json.loads(row)
            except (ValueError, RecursionError):
                line = None
            if not isinstance(line, dict) or number(line.get("step")) is None:
                rest = len(rows) - place
                told = f"and the {rest} after it " if rest else ""
                self.problems.append(
                    f"{name}: line {place} is cut off or damaged; it {told}"
                    f"{'are' if rest else 'is'} left out"
                )
                break
            found.append(line)
        return found

    def text(self, name: str, limit: int = DOCUMENT_LIMIT) -> str | None:
        """A file's text, None where there is none that may be read."""
        path = self.root / name
        if not path.is_file():
            return None
        if not self._inside(path):
            self.problems.append(f"{name} is a link to outside of the run's folder and left out")
            return None
        count = path.stat().st_size
        if count > limit:
            self.problems.append(
                f"{name} has {count:,} bytes, more than {limit:,}: it is something else and left "
                "out"
            )
            return None
        try:
            data = path.read_bytes()
        except OSError as error:
            self.problems.append(f"{name} cannot be read and is left out: {error.strerror}")
            return None
        self.keep(name, data)
        return data.decode("utf-8", "replace")

    def keep(self, name: str, data: bytes) -> None:
        """Note a file as one that the page is made of."""
        self.files.append(FileRead(printable(name), len(data), hashlib.sha256(data).hexdigest()))

    def _inside(self, path: Path) -> bool:
        # In the Hub's cache an agent's files are links into a folder beside the snapshots.
        root, real = self.root, path.resolve()
        homes = [root.resolve()]
        if root.parent.name == "snapshots":
            homes.append(root.parent.with_name("blobs").resolve())
        return any(real.is_relative_to(home) for home in homes)


def read_scores(path: Path) -> dict[str, Any]:
    """A scorecard of `gato-gym eval --all --out` or `eval --task --out` that a person names.

    Raises:
        FileNotFoundError, IsADirectoryError: see the message.
        ValueError: it is no scorecard.
    """
    if not path.exists():
        raise FileNotFoundError(f"no scores at {path}: gato-gym eval --all --out {path.name}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: pass the file of gato-gym eval --all --out")
    expected = 'expected the JSON of gato-gym eval --all --out, with "tasks"'
    if path.stat().st_size > DOCUMENT_LIMIT:
        raise ValueError(f"{path} has more than {DOCUMENT_LIMIT:,} bytes: {expected}")
    try:
        found = json.loads(path.read_bytes().decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}): {expected}") from error
    if isinstance(found, dict) and "task" in found and "mean_return" in found:
        found = {"tasks": [found], "checkpoint": found.get("checkpoint")}
    if not isinstance(found, dict) or not isinstance(found.get("tasks"), list):
        raise ValueError(f"{path} is no scorecard: {expected}")
    return found
