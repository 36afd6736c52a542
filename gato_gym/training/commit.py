"""How a checkpoint becomes one, and what kills leave: written, listed, renamed.

A folder `step-NNNNNNNN` with a manifest is complete. A hidden one is not a checkpoint: `.tmp` is
being written, `.gone` is being deleted.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gato_gym.errors import CorruptCheckpointError, TrainingError
from gato_gym.training.manifest import MANIFEST, check_manifest, fingerprint, fsync, write_json

STATE = "state.json"


def checkpoints(root: Path) -> list[Path]:
    """Committed checkpoints, oldest first."""
    found = (path for path in root.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name))
    return sorted((path for path in found if (path / MANIFEST).is_file()), key=step_of)


def step_of(folder: Path) -> int:
    """Of a checkpoint, by its name."""
    return int(folder.name.rpartition("-")[2])


def commit(
    temporary: Path, final: Path, files: dict[str, dict[str, int]], state: Mapping[str, Any]
) -> None:
    """Manifest, then the name; `files` are on the disk already."""
    for name, expected in files.items():
        path = temporary / name
        if not path.is_file() or path.stat().st_size != expected["size"]:
            raise TrainingError(
                f"{path} was written by another rank and is not here: the run's folder must be one "
                "that all machines share"
            )
    write_json(temporary / STATE, state)
    files[STATE] = fingerprint(temporary / STATE)
    write_json(temporary / MANIFEST, files)
    fsync(temporary)
    _give_name(temporary, final)


def _give_name(temporary: Path, final: Path) -> None:
    """What had the name goes; a kill between the two renames leaves the new one to `tidy`."""
    gone = final.with_name(f".{final.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    if final.exists():
        os.rename(final, gone)
    os.rename(temporary, final)
    fsync(final.parent)
    shutil.rmtree(gone, ignore_errors=True)


def remove(folder: Path) -> None:
    """Take the name first: a kill in between must not leave half a checkpoint under it."""
    gone = folder.with_name(f".{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    os.rename(folder, gone)
    shutil.rmtree(gone, ignore_errors=True)


def tidy(root: Path) -> None:
    """After a kill: finish a checkpoint that lacks only its name, delete what was not finished."""
    for temporary in root.glob(".step-*.tmp"):
        try:
            check_manifest(temporary, [STATE], complete=True)
        except CorruptCheckpointError:
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            _give_name(temporary, root / temporary.name[1:].removesuffix(".tmp"))
    for gone in root.glob(".step-*.gone"):
        shutil.rmtree(gone, ignore_errors=True)
