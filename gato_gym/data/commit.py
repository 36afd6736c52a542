"""How episodes become part of a corpus, and what is left where a writer was killed.

Write the shard under a temporary name, fsync it and its folder, append the manifest line, fsync,
rename the shard. Writers in parallel have disjoint shard names and take turns, by a file lock, at
the manifest only.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gato_gym.data.folder import FORMAT_FILE
from gato_gym.data.manifest import SHARD_SUFFIX, EpisodeEntry, Manifest
from gato_gym.data.shards import PENDING_SUFFIX, pending, write_shard

logger = logging.getLogger(__name__)

_STALE_SECONDS = 3600


def commit(
    root: Path,
    manifest: Manifest,
    payloads: list[bytes],
    lines: list[dict[str, Any]],
    skip_committed: bool,
) -> tuple[EpisodeEntry, ...]:
    """Add records, with their manifest lines, to the corpus at `root` as one shard.

    Args:
        skip_committed: leave out those whose key is there already.

    Raises:
        OSError: nothing was committed, e.g. the disk is full; names the file.
    """
    if not payloads:
        raise ValueError("a shard needs at least one episode")
    slug = re.sub(r"[^A-Za-z0-9]+", "-", lines[0]["task"]).strip("-")[:60] or "task"
    path = root / "shards" / f"{slug}-{uuid.uuid4().hex}{SHARD_SUFFIX}"
    try:
        with _writing(root):
            shard = write_shard(path, payloads, lines)
            with manifest.locked() as descriptor:
                first = len(manifest.episodes)
                known = manifest.keys if skip_committed else set()
                fresh = [
                    i for i, line in enumerate(lines) if EpisodeEntry.key_of(line) not in known
                ]
                if len(fresh) == len(lines):
                    manifest.append(descriptor, shard, lines)
                    give_name(path)
                    return tuple(manifest.episodes[first : first + len(lines)])
            pending(path).unlink()
    except BaseException as e:
        _discard(manifest, path)
        if isinstance(e, OSError):
            raise OSError(e.errno, f"nothing was committed: {e.strerror}", str(path)) from e
        raise
    if not fresh:
        return ()
    return commit(root, manifest, [payloads[i] for i in fresh], [lines[i] for i in fresh], True)


def give_name(path: Path) -> None:
    """Rename a shard whose line is durable."""
    try:
        os.rename(pending(path), path)
    except OSError as e:  # it is committed all the same: readers know both names
        logger.warning("%s keeps its temporary name: %s", path, e.strerror)


def _discard(manifest: Manifest, path: Path) -> None:
    with contextlib.suppress(OSError):
        # An interrupt may arrive after the line was written: then the shard must stay.
        if path.name.encode() not in manifest.path.read_bytes():
            pending(path).unlink(missing_ok=True)


def remove_leftovers(root: Path, manifest: Manifest) -> int:
    """Tidy up after killed writers; returns how many files were deleted.

    Shards that were committed get their names. Temporary files that were not are deleted, but while
    another process is writing only those that are older than an hour.
    """
    removed = 0
    with nobody_writing(root) as alone, manifest.locked():
        for temporary in (root / "shards").glob(f".*{PENDING_SUFFIX}"):
            name = temporary.name.removeprefix(".").removesuffix(PENDING_SUFFIX)
            if name in manifest.shards:
                give_name(temporary.with_name(name))
            elif alone or time.time() - temporary.stat().st_mtime > _STALE_SECONDS:
                logger.warning("removing %s, left by an interrupted writer", temporary)
                temporary.unlink(missing_ok=True)
                removed += 1
    return removed


# Every writer holds a shared lock on the format file: who gets it exclusively knows that no
# temporary file is in use.


@contextlib.contextmanager
def _writing(root: Path) -> Iterator[None]:
    descriptor = os.open(root / FORMAT_FILE, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def nobody_writing(root: Path) -> Iterator[bool]:
    """Whether no other process writes to the corpus; if so, none begins before this ends."""
    descriptor = os.open(root / FORMAT_FILE, os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            alone = False
        else:
            alone = True
        yield alone
    finally:
        os.close(descriptor)
