"""A corpus: a folder of episodes that survives crashes and finds every wrong byte.

    corpus.json      format version
    manifest.jsonl   one line per shard: its checksums and what its episodes are (manifest.py)
    shards/          ArrayRecord files, one record per episode (records.py)

An episode exists when its line is on the disk; until then no reader sees any of it. How it gets
there is in commit.py. A shard that has its name but no line tells that the manifest lost its end.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gato_gym.data.commit import commit, remove_leftovers
from gato_gym.data.folder import FORMAT_FILE, check_folder, create_folder
from gato_gym.data.manifest import EpisodeEntry, Manifest
from gato_gym.data.records import Record, encode
from gato_gym.data.shards import check_shard, named_shards, open_shard, pending
from gato_gym.errors import CorpusPathError, CorruptShardError, UnknownTaskError
from gato_gym.types import Episode

logger = logging.getLogger(__name__)

_OPEN_READERS = 16


@dataclass(frozen=True)
class VerifyReport:
    """What `Corpus.verify` read. `orphans` are files that no manifest line names: of a writer that
    is at work or was killed before its commit, or foreign."""

    shards: int
    episodes: int
    steps: int
    bytes: int
    orphans: tuple[str, ...]
    torn_bytes: int


class Corpus:
    """Episodes on disk. Make one with `Corpus.create` or `Corpus.open`.

    Safe to use from threads; a pickled copy (for worker processes) sees the same episodes in the
    same order. `cache_bytes` bounds the compressed records kept in memory for random windows.
    """

    def __init__(self, path: Path, cache_bytes: int = 512 << 20) -> None:
        self.path = path
        self.cache_bytes = cache_bytes
        self._manifest = Manifest(path / "manifest.jsonl")
        self._start_cache()

    def _start_cache(self) -> None:
        self._lock = threading.RLock()
        self._checked: set[str] = set()
        self._readers: OrderedDict[str, Any] = OrderedDict()
        self._records: OrderedDict[tuple[str, int], Record] = OrderedDict()
        self._cached_bytes = 0

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            kept = ("path", "cache_bytes", "_manifest")
            return {name: value for name, value in vars(self).items() if name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start_cache()

    def __len__(self) -> int:
        return len(self._manifest.episodes)

    def __repr__(self) -> str:
        return f"Corpus({str(self.path)!r}, {len(self)} episodes of {len(self.tasks())} tasks)"

    @classmethod
    def create(cls, path: str | os.PathLike[str], exist_ok: bool = True) -> Corpus:
        """An empty corpus at `path`, or the one that is there.

        Raises:
            CorpusPathError: the folder holds something else, or a corpus and `exist_ok` is False.
        """
        root = Path(path).absolute()
        if (root / FORMAT_FILE).exists():
            if not exist_ok:
                raise CorpusPathError(f"{str(root)!r} is a corpus already: choose another folder")
            return cls.open(root)
        create_folder(root)
        return cls.open(root)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Corpus:
        """The corpus at `path`, with the episodes committed so far.

        Raises:
            CorpusPathError: there is none, or this version cannot read it.
            CorruptShardError: its manifest has changed.
        """
        root = Path(path).absolute()
        check_folder(root)
        corpus = cls(root)
        corpus._load()
        return corpus

    def _load(self) -> None:
        try:
            # Listed first: a shard that has its name by now has its line by now.
            names = named_shards(self.path / "shards")
            self.refresh()
        except FileNotFoundError as e:
            raise CorruptShardError(f"{e.filename} is missing") from e
        self._manifest.check_complete(names)

    # Reading

    def refresh(self) -> None:
        """Take in what other writers committed since."""
        with self._lock:
            self._manifest.refresh()

    def episodes(self, task: str | None = None) -> Sequence[EpisodeEntry]:
        """The episodes in commit order, of one task or of all.

        Raises:
            UnknownTaskError: the corpus holds no episode of `task`.
        """
        chosen = self._manifest.view(task)
        if task is not None and not chosen:
            present = ", ".join(self.tasks()) or "nothing"
            raise UnknownTaskError(
                f"{str(self.path)!r} has no episode of {task!r}; it holds {present}. "
                f"Collect some: gato-gym collect {task} --out {self.path}"
            )
        return chosen

    def tasks(self) -> tuple[str, ...]:
        """The ids of the tasks that have episodes, sorted."""
        return tuple(sorted(self._manifest.by_task))

    def stats(self) -> dict[str, Any]:
        """Episodes, tasks, steps and bytes, in total and by task; JSON-ready."""
        by_task: dict[str, dict[str, Any]] = {}
        for entry in self._manifest.episodes:
            row = by_task.setdefault(
                entry.task, {"episodes": 0, "steps": 0, "bytes": 0, "mean_return": 0.0}
            )
            row["episodes"] += 1
            row["steps"] += entry.steps
            row["bytes"] += entry.size
            row["mean_return"] += (entry.episode_return - row["mean_return"]) / row["episodes"]
        return {
            "episodes": len(self),
            "tasks": len(by_task),
            "steps": sum(row["steps"] for row in by_task.values()),
            "bytes": sum(shard.size for shard in self._manifest.shards.values()),
            "by_task": dict(sorted(by_task.items())),
        }

    def read(self, entry: EpisodeEntry) -> Episode:
        """The whole episode.

        Raises:
            CorruptShardError: any byte is not the one that was committed.
        """
        return self._episode(entry, self._record(entry))

    def _episode(self, entry: EpisodeEntry, record: Record) -> Episode:
        episode = record.episode()
        found = (episode.task, episode.expert, episode.seed, len(episode))
        expected = (entry.task, entry.expert, entry.seed, entry.steps)
        if found != expected:
            raise CorruptShardError(
                f"{self._where(entry)}: holds {found}, the manifest says {expected}"
            )
        return episode

    def read_steps(self, entry: EpisodeEntry, start: int, stop: int) -> dict[str, Any]:
        """Steps [start, stop): {"observations": {key: array}, "actions", "expert_actions"}.

        Decompresses only the blocks that hold these steps.

        Raises:
            IndexError: the range is empty or leaves the episode.
            CorruptShardError: any byte that is read is not the one that was committed.
        """
        record = self._record(entry)
        if not 0 <= start < stop <= record.steps:
            raise IndexError(f"steps [{start}, {stop}) of an episode of {record.steps} steps")
        actions, expert_actions = record.actions(start, stop)
        return {
            "observations": record.observations(start, stop),
            "actions": actions,
            "expert_actions": expert_actions,
        }

    def read_observation(self, entry: EpisodeEntry, key: str) -> np.ndarray:
        """One observation key of the whole episode, (T + 1, ...); the others stay compressed.

        Raises:
            CorruptShardError: any byte that is read is not the one that was committed.
        """
        return self._record(entry).observation(key)

    def read_record(self, entry: EpisodeEntry) -> bytes:
        """The episode's bytes as `append_records` takes them, every one of them checked.

        Raises:
            CorruptShardError: any byte is not the one that was committed, or the manifest says
                something else than the episode.
        """
        record = self._record(entry)
        again = EpisodeEntry.to_json(self._episode(entry, record), entry.size, *entry.injected)
        if EpisodeEntry.from_json(again, entry.index, entry.shard, entry.record) != entry:
            raise CorruptShardError(f"{self._where(entry)}: differs from its manifest line")
        return record.data

    def verify(self) -> VerifyReport:
        """Read everything from the disk again and compare it with its checksums.

        Raises:
            CorruptShardError: something has changed; names the file and, where known, the record.
        """
        fresh = Corpus(self.path, cache_bytes=0)
        fresh._load()
        for shard in fresh._manifest.shards.values():
            check_shard(self._file(shard.file), shard, digest=True)
        for entry in fresh.episodes():
            fresh.read_record(entry)
        present = {path.name for path in (self.path / "shards").iterdir()}
        committed = set(fresh._manifest.shards)
        committed |= {pending(self._file(name)).name for name in committed}
        return VerifyReport(
            shards=len(fresh._manifest.shards),
            episodes=len(fresh),
            steps=sum(entry.steps for entry in fresh.episodes()),
            bytes=sum(shard.size for shard in fresh._manifest.shards.values()),
            orphans=tuple(sorted(present - committed)),
            torn_bytes=fresh._manifest.torn_bytes,
        )

    def check(self, tasks: Iterable[str], part: tuple[int, int] = (0, 1)) -> None:
        """Compare the shards of these tasks with their crc32c now, not at their first reading.

        Args:
            tasks: of which tasks.
            part: (i, n): only every n-th shard, from the i-th; for n ranks that share the work.

        Raises:
            CorruptShardError: a file has changed or is missing.
        """
        chosen = set(tasks)
        with self._lock:
            names = sorted({e.shard for e in self.episodes() if e.task in chosen})
            for name in names[part[0] :: part[1]]:
                self._check(name)

    def _file(self, name: str) -> Path:
        return self.path / "shards" / name

    def _where(self, entry: EpisodeEntry) -> str:
        return f"{self.path}/shards/{entry.shard}, record {entry.record}"

    def _record(self, entry: EpisodeEntry) -> Record:
        key = (entry.shard, entry.record)
        with self._lock:
            if key in self._records:
                self._records.move_to_end(key)
                return self._records[key]
            where = self._where(entry)
            self._check(entry.shard)
            try:
                (data,) = self._reader(entry.shard).read([entry.record])
            except (RuntimeError, ValueError, IndexError, OSError) as e:
                self._readers.pop(entry.shard, None)
                raise CorruptShardError(f"{where}: {e}") from e
            record = Record(data, where)
            if record.size != entry.size or record.steps != entry.steps:
                raise CorruptShardError(
                    f"{where}: {record.size} bytes and {record.steps} steps, the manifest says "
                    f"{entry.size} and {entry.steps}"
                )
            self._records[key] = record
            self._cached_bytes += record.size
            while self._cached_bytes > self.cache_bytes:
                self._cached_bytes -= self._records.popitem(last=False)[1].size
            return record

    def _check(self, name: str) -> None:
        shard = self._manifest.shards.get(name)
        if shard is None:
            raise CorruptShardError(f"{self._file(name)} is not in the manifest of this corpus")
        if name not in self._checked:
            check_shard(self._file(name), shard)
            self._checked.add(name)

    def _reader(self, name: str) -> Any:
        if name not in self._readers:
            self._readers[name] = open_shard(self._file(name))
            if len(self._readers) > _OPEN_READERS:
                self._readers.popitem(last=False)[1].close()
        self._readers.move_to_end(name)
        return self._readers[name]

    # Writing

    def append_shard(
        self, episodes: Iterable[Episode], *, noise: float = 0.0, skip_committed: bool = False
    ) -> tuple[EpisodeEntry, ...]:
        """Commit episodes together as one shard; all of them exist when this returns, or none.

        A shard file is at least 128 KiB (two ArrayRecord blocks), so put short episodes together.

        Args:
            episodes: at least one.
            noise: the fraction of noisy steps they were collected with.
            skip_committed: leave out those whose (task, expert, seed, noise) is there already,
                decided under the writers' lock; the result then has the others only.

        Raises:
            OSError: nothing was committed, e.g. the disk is full; names the file.
        """
        episodes = list(episodes)
        payloads = [encode(episode) for episode in episodes]
        lines = [
            EpisodeEntry.to_json(episode, len(payload), noise)
            for episode, payload in zip(episodes, payloads, strict=True)
        ]
        return self._commit(payloads, lines, skip_committed)

    def append_records(
        self, records: Iterable[tuple[EpisodeEntry, bytes]]
    ) -> tuple[EpisodeEntry, ...]:
        """Commit another corpus' episodes, byte for byte, together as one shard.

        Those whose key is there already are left out, decided under the writers' lock; the result
        has the others only.

        Args:
            records: at least one entry with what `read_record` gave for it.

        Raises:
            OSError: as in `append_shard`.
        """
        pairs = list(records)
        lines = [entry.line() for entry, _ in pairs]
        return self._commit([data for _, data in pairs], lines, skip_committed=True)

    def _commit(
        self, payloads: list[bytes], lines: list[dict[str, Any]], skip_committed: bool
    ) -> tuple[EpisodeEntry, ...]:
        with self._lock:
            return commit(self.path, self._manifest, payloads, lines, skip_committed)

    def remove_leftovers(self) -> int:
        """Tidy up after killed writers; returns how many files were deleted.

        Shards that were committed get their names. Temporary files that were not are deleted, but
        while another process is writing only those that are older than an hour.
        """
        with self._lock:
            return remove_leftovers(self.path, self._manifest)
