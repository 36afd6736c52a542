"""An episode as the bytes of one corpus record, and back, lossless.

    magic "GGEP" | version u16 | header length u32 | header crc32c u32 | header (JSON) | blocks

Every array is cut along time into chunks, a megabyte of images (68 frames of 64x80) or at least 128
steps of numbers; each chunk is one zstd block with its own crc32c, so that a training window
decompresses only what it needs. Text is a JSON list of strings. Nothing here can run
code.
"""

from __future__ import annotations

import json
import math
import re
import struct
import threading
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import zstandard

from gato_gym.errors import CorruptShardError, InvalidEpisodeError
from gato_gym.types import Episode

_PREFIX = struct.Struct("<4sHII")
_MAGIC = b"GGEP"
_VERSION = 1
_CHUNK_BYTES = 1 << 20
# Of numbers, which shorter chunks compress little worse.
_NUMBERS_BYTES, _NUMBERS_ROWS = 1 << 14, 128
_MAX_ROW_BYTES = 1 << 26
# Measured on 1,786 Boxing frames: level 9 writes 270 MB/s and is 18 % smaller than level 3; reading
# costs the same.
_ZSTD_LEVEL = 9
_NUMERIC = re.compile(r"[<>|][biuf]\d{1,2}")
_TEXT = re.compile(r"<U\d{1,9}|\|O")
_OBSERVATION = "observations/"
_local = threading.local()


class Leaf(NamedTuple):
    """What one observation key holds at every step; `kind` as in `ObservationSpec`."""

    kind: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, values: np.ndarray) -> Leaf:
        """The leaf of a (T, ...) array."""
        kinds = {"f": "continuous", "U": "text", "O": "text"}
        kind = kinds.get(values.dtype.kind, "discrete")
        if values.dtype == np.uint8 and values.ndim == 4:
            kind = "image"
        return cls(kind, values.dtype.str, tuple(values.shape[1:]))


class _Array(NamedTuple):
    """One row of the block table."""

    dtype: str
    shape: tuple[int, ...]
    rows: int  # per block
    blocks: tuple[tuple[int, int, int], ...]  # offset, size, crc32c


def encode(episode: Episode) -> bytes:
    """The record of an episode.

    Raises:
        InvalidEpisodeError: an observation has a dtype that is neither numeric nor text.
    """
    arrays = {_OBSERVATION + key: values for key, values in episode.observations.items()}
    arrays |= {"actions": episode.actions, "rewards": episode.rewards}
    experts = episode.expert_actions
    assert experts is not None  # Episode fills it in
    if experts is not episode.actions and not _same(experts, episode.actions):
        arrays["expert_actions"] = experts
    table, blocks = [], []
    for name, values in arrays.items():
        rows, raws = _chunks(episode, name, values)
        packed = [_compressor().compress(raw) for raw in raws]
        blocks += packed
        table.append(
            {
                "name": name,
                "dtype": values.dtype.str,
                "shape": list(values.shape),
                "rows": rows,
                "blocks": [[len(block), google_crc32c.value(block)] for block in packed],
            }
        )
    header = json.dumps(
        {
            "task": episode.task,
            "expert": episode.expert,
            "seed": int(episode.seed),
            "terminated": bool(episode.terminated),
            "success": None if episode.success is None else bool(episode.success),
            "versions": dict(episode.versions),
            "arrays": table,
        },
        separators=(",", ":"),
    ).encode()
    prefix = _PREFIX.pack(_MAGIC, _VERSION, len(header), google_crc32c.value(header))
    return b"".join([prefix, header, *blocks])


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    # By bytes: -0.0 == 0.0 would not survive a comparison of values.
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _chunks(episode: Episode, name: str, values: np.ndarray) -> tuple[int, list[bytes]]:
    kind = values.dtype.str
    if _TEXT.fullmatch(kind):
        texts = values.tolist()
        if not all(isinstance(text, str) for text in values.ravel().tolist()):
            raise InvalidEpisodeError(
                f"episode of {episode.task} (seed {episode.seed}): {name} holds objects that are "
                "not text; use an array of str or of numbers"
            )
        return len(values), [json.dumps(texts, separators=(",", ":")).encode()]
    if not _NUMERIC.fullmatch(kind):
        raise InvalidEpisodeError(
            f"episode of {episode.task} (seed {episode.seed}): {name} has dtype {values.dtype}, "
            "expected bool, int, uint, float or str"
        )
    values = np.ascontiguousarray(values)
    row_bytes = values.itemsize * math.prod(values.shape[1:])
    most = max(1, _CHUNK_BYTES // max(1, row_bytes))
    if Leaf.of(values).kind != "image":
        most = min(most, max(_NUMBERS_ROWS, _NUMBERS_BYTES // max(1, row_bytes)))
    rows = min(len(values), most)
    return rows, [values[i : i + rows].tobytes() for i in range(0, len(values), rows)]


class Record:
    """The parsed header of a record over its compressed bytes; arrays decompress on request."""

    def __init__(self, data: bytes, where: str) -> None:
        """Parse and check the header.

        Raises:
            CorruptShardError: the bytes are not a record; the message begins with `where`.
        """
        self.data, self._where = data, where
        try:
            magic, version, size, checksum = _PREFIX.unpack_from(data)
            header_bytes = data[_PREFIX.size : _PREFIX.size + size]
            if (magic, version) != (_MAGIC, _VERSION):
                raise ValueError(f"it starts with {magic!r} version {version}")
            if google_crc32c.value(header_bytes) != checksum:
                raise ValueError("the checksum of its header is wrong")
            header = json.loads(header_bytes)
            self._arrays = self._table(header.pop("arrays"), _PREFIX.size + size)
            self._header: dict[str, Any] = header
            self.steps = self._arrays["actions"].shape[0]
        except (ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as e:
            raise CorruptShardError(f"{where}: not a readable episode record: {e}") from e

    @property
    def size(self) -> int:
        """Bytes held in memory."""
        return len(self.data)

    def _table(self, table: list[dict[str, Any]], offset: int) -> dict[str, _Array]:
        arrays = {}
        for row in table:
            shape = tuple(int(n) for n in row["shape"])
            rows, dtype, blocks = int(row["rows"]), str(row["dtype"]), []
            if min(shape) < 0 or rows < 1 or len(row["blocks"]) != -(-shape[0] // rows):
                raise ValueError(f"array {row['name']!r} has a wrong block table")
            if _NUMERIC.fullmatch(dtype):
                row_bytes = np.dtype(dtype).itemsize * math.prod(shape[1:])
                if row_bytes > _MAX_ROW_BYTES or row_bytes * rows > max(_CHUNK_BYTES, row_bytes):
                    raise ValueError(f"array {row['name']!r} has blocks that are too large")
            elif not _TEXT.fullmatch(dtype):
                raise ValueError(f"array {row['name']!r} has dtype {dtype!r}")
            for size, checksum in row["blocks"]:
                blocks.append((offset, int(size), int(checksum)))
                offset += int(size)
            arrays[str(row["name"])] = _Array(dtype, shape, rows, tuple(blocks))
        if offset != len(self.data):
            raise ValueError(f"it has {len(self.data)} bytes, its table says {offset}")
        return arrays

    def observations(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Every observation key's rows [start, stop)."""
        return {
            name.removeprefix(_OBSERVATION): self.array(name, start, stop)
            for name in self._arrays
            if name.startswith(_OBSERVATION)
        }

    def observation(self, key: str) -> np.ndarray:
        """Every row of one observation key."""
        return self.array(_OBSERVATION + key, 0, self.steps + 1)

    def actions(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Executed and expert actions [start, stop); the same array where no noise was injected."""
        actions = self.array("actions", start, stop)
        if "expert_actions" not in self._arrays:
            return actions, actions
        return actions, self.array("expert_actions", start, stop)

    def array(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of one array; only the blocks that hold them are decompressed."""
        table = self._arrays[name]
        if _TEXT.fullmatch(table.dtype):
            return self._text(name, table)[start:stop]
        dtype = np.dtype(table.dtype)
        rows, tail = table.rows, table.shape[1:]
        out = np.empty((stop - start, *tail), dtype)
        row_bytes = dtype.itemsize * math.prod(tail)
        for number in range(start // rows, -(-stop // rows)):
            first = number * rows
            count = min(rows, table.shape[0] - first)
            raw = self._block(name, number, count * row_bytes)
            chunk = np.frombuffer(raw, dtype).reshape(count, *tail)
            low, high = max(start, first), min(stop, first + count)
            out[low - start : high - start] = chunk[low - first : high - first]
        return out

    def _text(self, name: str, table: _Array) -> np.ndarray:
        raw = self._block(name, 0, None)
        try:
            texts = json.loads(raw)
            return np.array(texts, dtype=np.dtype(table.dtype)).reshape(table.shape)
        except (ValueError, TypeError, RecursionError) as e:
            raise CorruptShardError(f"{self._where}: {name!r} is not readable text: {e}") from e

    def _block(self, name: str, number: int, size: int | None) -> bytes:
        offset, packed_size, checksum = self._arrays[name].blocks[number]
        packed = self.data[offset : offset + packed_size]
        if google_crc32c.value(packed) != checksum:
            raise CorruptShardError(f"{self._where}: block {number} of {name!r} has changed")
        try:
            real = zstandard.get_frame_parameters(packed).content_size
            if size is not None and real != size:
                raise CorruptShardError(
                    f"{self._where}: block {number} of {name!r} holds {real} bytes, expected {size}"
                )
            return _decompressor().decompress(packed)
        except zstandard.ZstdError as e:
            raise CorruptShardError(f"{self._where}: block {number} of {name!r}: {e}") from e

    def episode(self) -> Episode:
        """The whole episode.

        Raises:
            CorruptShardError: its parts contradict each other.
        """
        actions, expert_actions = self.actions(0, self.steps)
        try:
            return Episode(
                observations=self.observations(0, self.steps + 1),
                actions=actions,
                expert_actions=expert_actions,
                rewards=self.array("rewards", 0, self.steps),
                **self._header,
            )
        except (InvalidEpisodeError, TypeError, ValueError, KeyError, IndexError) as e:
            if isinstance(e, CorruptShardError):
                raise
            raise CorruptShardError(f"{self._where}: {e}") from e


def decode(data: bytes, where: str = "record") -> Episode:
    """The episode of a record; the inverse of `encode`.

    Raises:
        CorruptShardError: the bytes are not those that `encode` made.
    """
    return Record(data, where).episode()


# One per thread: zstd contexts must not be shared, and making one costs more than a block.


def _compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
    return _local.compressor


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    return _local.decompressor
