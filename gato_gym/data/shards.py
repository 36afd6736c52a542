"""One shard file: written once, checked whole before its first record is read."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import google_crc32c
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from gato_gym.data.manifest import ShardEntry
from gato_gym.errors import CorruptShardError

# Blocks are compressed already; one record per group makes random access touch only that record.
_WRITER_OPTIONS = "group_size:1,uncompressed"
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"


def write_shard(path: Path, name: str, records: list[bytes]) -> ShardEntry:
    """Write records to `path`, durably; the entry is for the final `name`.

    Raises:
        OSError: the disk refused or lost something.
    """
    try:
        writer = ArrayRecordWriter(str(path), _WRITER_OPTIONS)
        for record in records:
            writer.write(record)
        writer.close()
        fsync(path)
        # Read back before anyone relies on it: a writer that hid an I/O error is found here.
        reader = open_shard(path)
        intact = reader.read_all() == records
        reader.close()
    except RuntimeError as e:
        raise OSError(errno.EIO, str(e), str(path)) from e
    if not intact:
        raise OSError(errno.EIO, "the file does not read back as written", str(path))
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return ShardEntry(name, len(data), google_crc32c.value(data), sha256)


def open_shard(path: Path) -> ArrayRecordReader:
    """A reader for random access; RuntimeError where the file is not a readable shard."""
    return ArrayRecordReader(str(path), _READER_OPTIONS)


def check_shard(path: Path, shard: ShardEntry, digest: bool = False) -> None:
    """Compare a file with its manifest entry: size, crc32c and, on request, sha256.

    Raises:
        CorruptShardError: it differs, is missing, or is a link.
    """
    if path.is_symlink() or path.parent.is_symlink():
        raise _damaged(path, "a link; shards must lie in the corpus folder")
    try:
        data = path.read_bytes()
    except OSError as e:
        raise _damaged(path, f"cannot be read: {e.strerror}") from e
    if len(data) != shard.size:
        raise _damaged(path, f"has {len(data)} bytes, {shard.size} were committed")
    if google_crc32c.value(data) != shard.crc32c:
        raise _damaged(path, "its crc32c has changed")
    if digest and hashlib.sha256(data).hexdigest() != shard.sha256:
        raise _damaged(path, "its sha256 has changed")


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
