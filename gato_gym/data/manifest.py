"""The manifest of a corpus: which episodes exist.

`manifest.jsonl` is append-only. One line commits one shard; its newline is the last byte written,
so that a crash leaves at most an unterminated tail, which readers ignore and the next writer cuts
off. The checksum of a line covers the line and the checksum of the line before: a changed, removed
or reordered line is found. Lines lost at the end are found by their shards (shards.py).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import google_crc32c

from gato_gym.agents.experts.noise import DEFAULT_BURST
from gato_gym.data.records import Leaf
from gato_gym.errors import CorruptShardError
from gato_gym.types import Episode

logger = logging.getLogger(__name__)

_LINE = re.compile(rb'\{"crc32c":"([0-9a-f]{8})","shard":(\{.*\})\}', re.DOTALL)
_SCALARS: dict[str, Any] = {
    "task": str,
    "expert": str,
    "seed": int,
    "noise": float,
    "steps": int,
    "episode_return": float,
    "success": bool | None,
    "terminated": bool,
    "size": int,
}
SHARD_SUFFIX = ".array_record"
_DEFAULTS = {"burst": DEFAULT_BURST, "random_start": 0, "max_steps": 0, "learner": ""}
_SHARD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.array_record")

Injected = tuple[float, tuple[int, int], int, int, str]
"""Noise, burst, random start, most steps, learner: what makes an episode another one than the
expert's."""
Key = tuple[str, str, int, float, tuple[int, int], int, int, str]
"""Task, expert, seed, noise, burst, random start, most steps, learner."""


@dataclass(frozen=True)
class EpisodeEntry:
    """What the manifest knows of an episode, without opening its shard.

    `index` counts episodes in commit order, `record` within the shard; `noise` is the fraction of
    steps with injected random actions, `burst` the shortest and longest run of them; at the start
    came up to `random_start` random actions; it was cut at `max_steps`, 0 is the task's own end;
    `learner` names who played while the expert only told what it would do, "" is nobody; `size` is
    the record's bytes.
    """

    index: int
    shard: str
    record: int
    task: str
    expert: str
    seed: int
    noise: float
    steps: int
    episode_return: float
    success: bool | None
    terminated: bool
    size: int
    observations: Mapping[str, Leaf]
    actions: Leaf
    versions: Mapping[str, str]
    burst: tuple[int, int] = DEFAULT_BURST
    random_start: int = 0
    max_steps: int = 0
    learner: str = ""

    def __reduce__(self):  # mapping proxies cannot be pickled, worker processes need to
        plain = (dict(v) if isinstance(v, MappingProxyType) else v for v in vars(self).values())
        return EpisodeEntry, tuple(plain)

    @property
    def key(self) -> Key:
        """What a resumed collection compares: an episode is a function of these."""
        return self.task, self.expert, self.seed, *self.injected

    @property
    def injected(self) -> Injected:
        """How the episode was played, as `to_json` takes it."""
        return self.noise, self.burst, self.random_start, self.max_steps, self.learner

    @property
    def is_clean(self) -> bool:
        """Whether the expert played, without noise: an episode that demonstrates the task."""
        return self.noise == 0 and not self.learner

    @staticmethod
    def key_of(line: Mapping[str, Any]) -> Key:
        """The key of an episode by its manifest JSON."""
        burst = tuple(line.get("burst", DEFAULT_BURST))
        what = line["task"], line["expert"], line["seed"], line["noise"]
        rest = (
            line.get(name, _DEFAULTS[name]) for name in ("random_start", "max_steps", "learner")
        )
        return *what, burst, *rest

    def line(self) -> dict[str, Any]:
        """The manifest's JSON of this episode, wherever it lies; `from_json` reads it."""
        place = ("index", "shard", "record")
        kept = {name: value for name, value in vars(self).items() if name not in place}
        for name, default in _DEFAULTS.items():
            if kept[name] == default:
                del kept[name]
        return {k: dict(v) if isinstance(v, Mapping) else v for k, v in kept.items()}

    @staticmethod
    def to_json(
        episode: Episode,
        size: int,
        noise: float,
        burst: tuple[int, int] = DEFAULT_BURST,
        random_start: int = 0,
        max_steps: int = 0,
        learner: str = "",
    ) -> dict[str, Any]:
        """The manifest's JSON of an episode whose record has `size` bytes."""
        # What has its default is left out: such lines are those of the versions before.
        injected = {
            "burst": tuple(burst),
            "random_start": int(random_start),
            "max_steps": int(max_steps),
            "learner": learner,
        }
        return {
            "task": episode.task,
            "expert": episode.expert,
            "seed": int(episode.seed),
            "noise": float(noise),
            "steps": len(episode),
            "episode_return": episode.episode_return,
            "success": None if episode.success is None else bool(episode.success),
            "terminated": bool(episode.terminated),
            "size": size,
            "observations": {key: Leaf.of(values) for key, values in episode.observations.items()},
            "actions": Leaf.of(episode.actions),
            "versions": dict(episode.versions),
            **{name: value for name, value in injected.items() if value != _DEFAULTS[name]},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], index: int, shard: str, record: int) -> EpisodeEntry:
        """The inverse of `to_json`; KeyError, TypeError or ValueError on anything else."""
        rest = dict(data)
        for name, kind in _SCALARS.items():
            if not isinstance(rest[name], kind):
                raise TypeError(f"{name} is {rest[name]!r}")
        if rest["steps"] < 1 or rest["size"] < 1:
            raise ValueError(f"{rest['steps']} steps in {rest['size']} bytes")
        if "burst" in rest:
            low, high = rest["burst"]
            rest["burst"] = int(low), int(high)
        for name in ("random_start", "max_steps"):
            if not isinstance(rest.get(name, 0), int):
                raise TypeError(f"{name} is {rest[name]!r}")
        if not isinstance(rest.get("learner", ""), str):
            raise TypeError(f"learner is {rest['learner']!r}")
        for name, read in _SHARED.items():
            # Equal for most episodes of a task: reading it once makes a large corpus open quickly.
            text = repr(rest[name])
            if (name, text) not in _seen:
                if len(_seen) >= _MAX_SEEN:
                    _seen.clear()
                _seen[name, text] = read(rest[name])
            rest[name] = _seen[name, text]
        return cls(index=index, shard=shard, record=record, **rest)


def _leaf(data: list[Any]) -> Leaf:
    kind, dtype, shape = data
    return Leaf(str(kind), str(dtype), tuple(int(n) for n in shape))


def _leaves(data: dict[str, Any]) -> Mapping[str, Leaf]:
    return MappingProxyType({key: _leaf(leaf) for key, leaf in data.items()})


_SHARED: dict[str, Callable[[Any], Any]] = {
    "observations": _leaves,
    "actions": _leaf,
    "versions": lambda data: MappingProxyType(dict(data)),
}
_seen: dict[tuple[str, str], Any] = {}
_MAX_SEEN = 10_000


@dataclass(frozen=True)
class ShardEntry:
    """A committed shard file: its name inside `shards/`, size and checksums."""

    file: str
    size: int
    crc32c: int
    sha256: str


def repair_hint(root: Path) -> str:
    """What to do about damage."""
    return (
        "Restore the file from a copy; or keep what is whole: gato-gym corpus repair "
        f"{shlex.quote(str(root))}"
    )


def encode_line(chain: int, shard: ShardEntry, episodes: list[dict[str, Any]]) -> tuple[bytes, int]:
    """The line that commits a shard, and its checksum, from that of the line before."""
    body = json.dumps({**vars(shard), "episodes": episodes}, separators=(",", ":")).encode()
    checksum = google_crc32c.extend(chain, body)
    return b'{"crc32c":"%08x","shard":%s}\n' % (checksum, body), checksum


class Manifest:
    """The parsed manifest; `refresh` reads only what was appended since."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shards: dict[str, ShardEntry] = {}
        self.episodes: list[EpisodeEntry] = []
        self.keys: set[Key] = set()
        self.by_task: dict[str, list[EpisodeEntry]] = {}
        self.torn_bytes = 0
        self._views: dict[str | None, tuple[EpisodeEntry, ...]] = {}
        self._offset = 0
        self._chain = 0
        self._lines = 0

    def refresh(self) -> None:
        """Read the lines that were committed since the last call.

        Raises:
            CorruptShardError: a line is damaged, or the file lost bytes that had been committed.
        """
        with open(self.path, "rb") as file:
            if os.fstat(file.fileno()).st_size < self._offset:
                raise CorruptShardError(f"{self.path}: committed lines are missing from its end")
            file.seek(self._offset)
            *lines, tail = file.read().split(b"\n")
        for line in lines:
            self._add(line)
        # A torn append is a proper prefix of a line. A whole line plus one byte is not: there the
        # newline itself has changed, and ignoring the tail would lose a committed shard.
        if tail and self._parse(tail[:-1]):
            raise CorruptShardError(f"{self.path}: line {self._lines + 1} has a changed last byte")
        self.torn_bytes = len(tail)

    def view(self, task: str | None = None) -> tuple[EpisodeEntry, ...]:
        """The episodes in commit order, of one task or of all; made anew only when there are more.

        Empty for an unknown task.
        """
        entries = self.episodes if task is None else self.by_task.get(task, [])
        if len(self._views.get(task, ())) != len(entries):
            self._views[task] = tuple(entries)
        return self._views.get(task, ())

    def check_complete(self, shards: set[str]) -> None:
        """Compare with the named shards that were there before the last `refresh`.

        Raises:
            CorruptShardError: one has no line.
        """
        if lost := sorted(shards - self.shards.keys()):
            raise CorruptShardError(
                f"{self.path}: {len(lost)} files in shards/ have no line here, e.g. {lost[0]}: it "
                "lost lines, was copied while it was written, or they come from elsewhere. "
                f"{repair_hint(self.path.parent)}"
            )

    def _parse(self, line: bytes) -> tuple[int, bytes] | None:
        match = _LINE.fullmatch(line)
        if match is None or google_crc32c.extend(self._chain, match[2]) != int(match[1], 16):
            return None
        return int(match[1], 16), match[2]

    def _add(self, line: bytes) -> None:
        where = f"{self.path}: line {self._lines + 1}"
        parsed = self._parse(line)
        if parsed is None:
            raise CorruptShardError(
                f"{where} has changed: its checksum does not fit. {repair_hint(self.path.parent)}"
            )
        chain, body = parsed
        try:
            data = json.loads(body.decode())
            file, size, crc32c = data["file"], data["size"], data["crc32c"]
            shard = ShardEntry(file, int(size), int(crc32c), str(data["sha256"]))
            if not isinstance(file, str) or not _SHARD_NAME.fullmatch(file) or file in self.shards:
                raise ValueError(f"{file!r} is not a new file name inside the corpus")
            first = len(self.episodes)
            episodes = [
                EpisodeEntry.from_json(episode, first + record, file, record)
                for record, episode in enumerate(data["episodes"])
            ]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
            raise CorruptShardError(f"{where} is not a shard: {e}") from e
        self.shards[file] = shard
        self.episodes += episodes
        for episode in episodes:
            self.keys.add(episode.key)
            self.by_task.setdefault(episode.task, []).append(episode)
        self._offset += len(line) + 1
        self._chain, self._lines = chain, self._lines + 1

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the writers' lock, up to date; yields the file descriptor to append through."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self.refresh()
            yield descriptor
        finally:
            os.close(descriptor)

    def append(self, descriptor: int, shard: ShardEntry, episodes: list[dict[str, Any]]) -> None:
        """Commit a shard: returns once its line is on the disk. Needs the lock of `locked`."""
        line, _ = encode_line(self._chain, shard, episodes)
        if self.torn_bytes:
            logger.warning(
                "%s: cut off %d bytes that an interrupted writer left", self.path, self.torn_bytes
            )
            os.ftruncate(descriptor, self._offset)
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        except BaseException as e:
            # An interrupt after the last byte comes too late: a reader may have seen the line.
            if left or isinstance(e, OSError):
                os.ftruncate(descriptor, self._offset)
            raise
        self.refresh()
