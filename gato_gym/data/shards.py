"""One shard file: written once, checked whole before its first record is read.

A shard has a temporary name until its manifest line is durable. So a shard with its own name has a
line; where there is none, the line was lost. And where a line has only a shard with the temporary
name, the writer was killed in between: readers take that one, the next collection renames it.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import google_crc32c
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from gato_gym.data.manifest import SHARD_SUFFIX, ShardEntry
from gato_gym.errors import CorruptShardError

PENDING_SUFFIX = ".tmp"
# Blocks are compressed already; one record per group makes random access touch only that record.
_WRITER_OPTIONS = "group_size:1,uncompressed"
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)

_T = TypeVar("_T")


def pending(path: Path) -> Path:
    """The temporary name of the shard `path`."""
    return path.with_name(f".{path.name}{PENDING_SUFFIX}")


def named_shards(folder: Path) -> set[str]:
    """The files in `folder` that have the name of a committed shard."""
    return {n for n in os.listdir(folder) if n.endswith(SHARD_SUFFIX) and not n.startswith(".")}


def write_shard(path: Path, records: list[bytes]) -> ShardEntry:
    """Write records under the temporary name of `path`, durably; the entry is for its own name.

    Raises:
        OSError: the disk refused or lost something.
    """
    temporary = pending(path)
    try:
        writer = ArrayRecordWriter(str(temporary), _WRITER_OPTIONS)
        for record in records:
            writer.write(record)
        writer.close()
        _make_durable(temporary)
        # Read back before anyone relies on it: a writer that hid an I/O error is found here.
        reader = _open(temporary)
        intact = reader.read_all() == records
        reader.close()
    except RuntimeError as e:  # ArrayRecord has the system's words in a longer text
        code = next((code for code in _DISK_ERRORS if os.strerror(code) in str(e)), None)
        what = str(e) if code is None else os.strerror(code)
        raise OSError(code or errno.EIO, what, str(temporary)) from e
    if not intact:
        raise OSError(errno.EIO, "the file does not read back as written", str(temporary))
    data = temporary.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return ShardEntry(path.name, len(data), google_crc32c.value(data), sha256)


def _make_durable(path: Path) -> None:
    # The bytes and the name at once: most disks need the time of one of them for both.
    with ThreadPoolExecutor(1) as pool:
        name = pool.submit(fsync, path.parent)
        fsync(path)
        name.result()


def open_shard(path: Path) -> ArrayRecordReader:
    """A reader for random access; its reads raise RuntimeError where the file is no shard."""
    return _under_either_name(path, _open)


def check_shard(path: Path, shard: ShardEntry, digest: bool = False) -> None:
    """Compare a file with its manifest entry: size, crc32c and, on request, sha256.

    Raises:
        CorruptShardError: it differs, is missing, or is a link.
    """
    try:
        data = _under_either_name(path, _read)
    except OSError as e:
        raise _damaged(path, f"cannot be read: {e.strerror}") from e
    if len(data) != shard.size:
        raise _damaged(path, f"has {len(data)} bytes, {shard.size} were committed")
    if google_crc32c.value(data) != shard.crc32c:
        raise _damaged(path, "its crc32c has changed")
    if digest and hashlib.sha256(data).hexdigest() != shard.sha256:
        raise _damaged(path, "its sha256 has changed")


def _under_either_name(path: Path, use: Callable[[Path], _T]) -> _T:
    for candidate in (path, pending(path)):
        with suppress(FileNotFoundError):
            return use(candidate)
    return use(path)  # it may have been renamed between the two looks


def _open(path: Path) -> ArrayRecordReader:
    reader = ArrayRecordReader(str(path), _READER_OPTIONS)
    if not reader.ok() and not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return reader


def _read(path: Path) -> bytes:
    if path.is_symlink() or path.parent.is_symlink():
        raise _damaged(path, "a link; shards must lie in the corpus folder")
    return path.read_bytes()


def _damaged(path: Path, what: str) -> CorruptShardError:
    fix = "restore this file from a copy, or collect again into a new corpus"
    return CorruptShardError(f"{path}: {what}: {fix}")


def fsync(path: Path) -> None:
    """Make a file's bytes, or a folder's names, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
