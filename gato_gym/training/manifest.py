"""A folder whose every byte is accounted for: size and crc32c of each file in manifest.json.

The manifest is written last, when all that it lists is on the disk: a folder without it does not
exist.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import google_crc32c

from gato_gym.errors import CorruptCheckpointError

MANIFEST = "manifest.json"


def write_manifest(folder: Path, skip: Iterable[str] = ()) -> None:
    """Record size and crc32c of every file below `folder`; fsync all, the manifest last."""
    files = {}
    unlisted = {MANIFEST, *skip}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in unlisted:
            files[path.relative_to(folder).as_posix()] = fingerprint(path)
        fsync(path)
    write_json(folder / MANIFEST, files)
    fsync(folder)


def check_manifest(
    folder: Path,
    required: Iterable[str] = (),
    *,
    follow_links: bool = False,
    complete: bool = False,
    part: tuple[int, int] = (0, 1),
) -> None:
    """Compare every file with the manifest.

    Args:
        folder: what to check.
        required: names that the manifest must list, or their bytes would go unchecked.
        follow_links: files may be links to elsewhere, as in the Hub's cache.
        complete: the folder must hold nothing else.
        part: (i, n): read only every n-th file, from the i-th; for n ranks that share the work.

    Raises:
        CorruptCheckpointError: a file is missing, changed, not listed, or lies outside the folder.
    """
    files = read_json(folder / MANIFEST)
    for name in required:
        if name not in files:
            raise CorruptCheckpointError(
                f"{folder / MANIFEST} does not list {name}: copy the whole folder again"
            )
    for name in files:
        _check_name(folder, name, follow_links)
    if complete:
        found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
        strangers = sorted(found - files.keys() - {MANIFEST})
        if strangers:
            raise CorruptCheckpointError(
                f"{folder / strangers[0]} was not there when the checkpoint was saved: move it away"
            )
    for name in sorted(files)[part[0] :: part[1]]:
        if fingerprint(folder / name) != files[name]:
            raise CorruptCheckpointError(
                f"{folder / name} is not the file that was saved (size or crc32c differ): copy it "
                "again"
            )


def _check_name(folder: Path, name: str, follow_links: bool) -> None:
    path = folder / name
    try:
        named_inside = not Path(name).is_absolute() and ".." not in Path(name).parts
        lies_inside = follow_links or path.resolve().is_relative_to(folder.resolve())
        there = path.is_file()
    except (ValueError, OSError, RuntimeError):  # a null byte, too long, a circle of links
        named_inside = there = lies_inside = False
    if not (named_inside and lies_inside):
        raise CorruptCheckpointError(f"{folder / MANIFEST} names a file outside it: {name!r}")
    if not there:
        raise CorruptCheckpointError(f"{path} is missing: copy the whole folder again")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file that may be damaged.

    Raises:
        CorruptCheckpointError: missing or not a JSON object.
    """
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CorruptCheckpointError(f"{path} is missing: this is no checkpoint folder") from error
    except (ValueError, RecursionError) as error:
        raise CorruptCheckpointError(f"{path} is not valid JSON: {error}") from error
    except OSError as error:
        raise CorruptCheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(data, dict):
        raise CorruptCheckpointError(f"{path} must hold a JSON object")
    return data


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write and fsync."""
    path.write_text(json.dumps(data, indent=1) + "\n")
    fsync(path)


def fingerprint(path: Path) -> dict[str, int]:
    """Size in bytes and crc32c of a file."""
    checksum, size = google_crc32c.Checksum(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum.update(block)
            size += len(block)
    return {"size": size, "crc32c": int.from_bytes(checksum.digest(), "big")}


def fsync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
