"""One shard file: written once, checked whole before its first record is read.

A shard has a temporary name until its manifest line is durable. So a shard with its own name has a
line; where there is none, the line was lost. And where a line has only a shard with the temporary
name, the writer was killed in between: readers take that one, the next collection renames it.

The last record of a shard is its label: what the manifest says of its episodes, so that a manifest
can be made anew from the shards alone (repair.py).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import google_crc32c
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from gato_gym.data.manifest import SHARD_SUFFIX, ShardEntry, repair_hint
from gato_gym.errors import CorruptShardError

PENDING_SUFFIX = ".tmp"
# Blocks are compressed already; one record per group makes random access touch only that record.
_WRITER_OPTIONS = "group_size:1,uncompressed"
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"
_LABEL = struct.Struct("<4sI")  # and the crc32c of the JSON that follows
_LABEL_MAGIC = b"GGLB"
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)

_T = TypeVar("_T")


def pending(path: Path) -> Path:
    """The temporary name of the shard `path`."""
    return path.with_name(f".{path.name}{PENDING_SUFFIX}")


def named_shards(folder: Path) -> set[str]:
    """The files in `folder` that have the name of a committed shard."""
    return {n for n in os.listdir(folder) if n.endswith(SHARD_SUFFIX) and not n.startswith(".")}


def write_shard(path: Path, records: list[bytes], lines: list[dict[str, Any]]) -> ShardEntry:
    """Write a shard under the temporary name of `path`, durably; the entry is for its own name.

    Args:
        records: the episodes.
        lines: what the manifest will say of them.

    Raises:
        OSError: the disk refused or lost something.
    """
    temporary = pending(path)
    label = json.dumps(lines, separators=(",", ":")).encode()
    records = [*records, _LABEL.pack(_LABEL_MAGIC, google_crc32c.value(label)) + label]
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
    return _entry(path, temporary.read_bytes())


def _entry(path: Path, data: bytes) -> ShardEntry:
    sha256 = hashlib.sha256(data).hexdigest()
    return ShardEntry(path.name, len(data), google_crc32c.value(data), sha256)


def read_labelled(path: Path) -> tuple[ShardEntry, list[bytes], list[dict[str, Any]]]:
    """A shard that no manifest vouches for: its entry, records and manifest lines.

    Raises:
        CorruptShardError: it is no whole shard, or has no label.
    """
    try:
        data = _under_either_name(path, _read)
        *records, last = open_shard(path).read_all()
        magic, checksum = _LABEL.unpack_from(last)
        label = last[_LABEL.size :]
        if magic != _LABEL_MAGIC or google_crc32c.value(label) != checksum:
            raise ValueError("its last record is no label")
        lines = json.loads(label)
        if not isinstance(lines, list) or len(lines) != len(records) or not records:
            raise ValueError(f"its label does not fit {len(records)} records")
    except (OSError, RuntimeError, ValueError, struct.error, RecursionError) as e:
        if isinstance(e, CorruptShardError):
            raise
        raise CorruptShardError(f"{path}: not a whole shard: {e}") from e
    return _entry(path, data), records, lines


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
    # A reader does not raise. One that found no file is of no use even if the writer has given the
    # shard this name since.
    reader = ArrayRecordReader(str(path), _READER_OPTIONS)
    if reader.ok():
        return reader
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return ArrayRecordReader(str(path), _READER_OPTIONS)


def _read(path: Path) -> bytes:
    if path.is_symlink() or path.parent.is_symlink():
        raise _damaged(path, "a link; shards must lie in the corpus folder")
    return path.read_bytes()


def _damaged(path: Path, what: str) -> CorruptShardError:
    return CorruptShardError(f"{path}: {what}. {repair_hint(path.parent.parent)}")


def fsync(path: Path) -> None:
    """Make a file's bytes, or a folder's names, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
