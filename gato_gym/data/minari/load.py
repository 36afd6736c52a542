"""Minari data sets -> a corpus, one episode at a time.

What `export_minari` wrote comes back to the last bit. Any other data set is played again through
the wrappers of `gato_gym.envs.make` (replay.py), with the expert "minari/<data set id>".
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
from tqdm import tqdm

import gato_gym
from gato_gym import envs
from gato_gym.data.corpus import Corpus
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.data.merge import SHARD_BYTES
from gato_gym.data.minari.note import entry_of
from gato_gym.data.minari.place import default_root, find_dataset, require_minari
from gato_gym.data.minari.reader import Dataset, open_dataset
from gato_gym.data.minari.replay import Replayer
from gato_gym.envs.factory import observed_leaves
from gato_gym.envs.registry import named_by_data
from gato_gym.envs.spaces import action_spec
from gato_gym.errors import (
    DatasetError,
    GatoGymError,
    InvalidEpisodeError,
    UnsupportedSpaceError,
)
from gato_gym.types import TaskSpec

_Record = tuple[EpisodeEntry, bytes]


@dataclass(frozen=True)
class Imported:
    """What a call of `import_minari` did.

    skipped  episodes that the corpus had already
    invalid  episodes that were left out on request
    seeds    "recorded", or "numbered" where the data set has none, or the same one twice: then an
             episode's seed is its number in the data set
    """

    id: str
    task: str
    episodes: int
    steps: int
    skipped: int
    invalid: int
    seeds: str


def import_minari(
    dataset: str,
    out: str | os.PathLike[str],
    *,
    task: str | None = None,
    root: str | os.PathLike[str] | None = None,
    clip_actions: bool = False,
    skip_invalid: bool = False,
    shard_bytes: int = SHARD_BYTES,
    progress: bool | None = None,
) -> Imported:
    """Add the episodes of a Minari data set to the corpus at `out`.

    Those that it has already are skipped, so that a call that was stopped may be repeated.

    Args:
        dataset: an id below `root`, or a folder.
        out: the folder of a corpus; created where there is none.
        task: the task they become episodes of; None for the id of the environment in the data set.
            Where the task is known here, the spaces must be those of the task.
        root: Minari's folder of data sets; its own if None.
        clip_actions: clip actions that leave the action space, instead of refusing them.
        skip_invalid: leave out episodes that are not valid, instead of refusing them.
        shard_bytes: commit whenever so many bytes are together.
        progress: show a bar; None where stderr is a terminal.

    Raises:
        MissingExtraError: Minari is not installed.
        DatasetError: there is no such data set, or it is damaged; what came before it is committed.
        UnsupportedSpaceError: a space that has no tokens; nothing was written.
        InvalidEpisodeError: an episode has a NaN, an illegal action or no steps; names it. Those
            before it are committed.
        OSError: the disk refuses; what was committed before stays.
        KeyboardInterrupt: after Ctrl-C, with a message that says what is safe.
    """
    if shard_bytes < 1:
        raise ValueError(f"shard_bytes must be at least 1, got {shard_bytes}")
    require_minari()
    name, folder = find_dataset(dataset, default_root() if root is None else Path(root))
    source = open_dataset(name, folder)
    try:
        noted = source.count > 0 and source.note(0) is not None
        if noted and task is not None:
            raise ValueError(f"{source.id} was exported by gato_gym and knows its task: drop task=")
        reader = _Noted(source) if noted else _Foreign(source, task, clip_actions)
        corpus = Corpus.create(out)
        corpus.remove_leftovers()
        job = _Import(corpus, shard_bytes, skip_invalid)
        try:
            job.run(reader, source.count, None if progress is None else not progress)
        except KeyboardInterrupt:
            corpus.refresh()
            raise KeyboardInterrupt(
                f"interrupted; {len(corpus)} episodes are safe in {str(corpus.path)!r}. Run the "
                "same command again to import the others"
            ) from None
    finally:
        source.close()
    counts = job.episodes, job.steps, job.skipped, job.invalid
    return Imported(source.id, reader.task, *counts, reader.seeds)


class _Import:
    """Counts, and episodes on their way to a shard."""

    def __init__(self, corpus: Corpus, shard_bytes: int, skip_invalid: bool) -> None:
        self.corpus, self.shard_bytes, self.skip_invalid = corpus, shard_bytes, skip_invalid
        self.episodes = self.steps = self.skipped = self.invalid = 0
        self._waiting: list[_Record] = []
        self._have = {entry.key for entry in corpus.episodes()}

    def run(self, reader: _Noted | _Foreign, count: int, silent: bool | None) -> None:
        try:
            for index in tqdm(range(count), disable=silent, unit="episode", desc=reader.source.id):
                if reader.seen(index, self._have):
                    self.skipped += 1
                    continue
                try:
                    record = reader.record(index)
                except InvalidEpisodeError:
                    if not self.skip_invalid:
                        raise
                    self.invalid += 1
                    continue
                if record[0].key in self._have:
                    self.skipped += 1
                    continue
                self._have.add(record[0].key)
                self._waiting.append(record)
                if sum(len(data) for _, data in self._waiting) >= self.shard_bytes:
                    self._commit()
        except GatoGymError:
            self._commit()  # the episodes before the wrong one
            raise
        self._commit()

    def _commit(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        added = self.corpus.append_records(waiting)
        self.episodes += len(added)
        self.steps += sum(entry.steps for entry in added)
        self.skipped += len(waiting) - len(added)


class _Noted:
    """Reads what we exported."""

    seeds = "recorded"

    def __init__(self, source: Dataset) -> None:
        self.source = source
        self.task = self.record(0)[0].task

    def seen(self, index: int, keys: set) -> bool:
        # Known only when it is read: the note is covered by the checksum of the whole episode.
        return False

    def record(self, index: int) -> _Record:
        return self.source.exported(index)


class _Foreign:
    """Reads what others recorded."""

    def __init__(self, source: Dataset, task: str | None, clip: bool) -> None:
        self.source = source
        self.task = task or named_by_data(source.env_id or "")
        if not self.task:
            raise DatasetError(
                f"{source.id} does not say which environment it was made with: pass --task ID "
                "(task=)"
            )
        self.expert = f"minari/{source.id}"
        recorded = [source.seed(index) for index in range(source.count)]
        distinct = None not in recorded and len(set(recorded)) == len(recorded)
        self.seeds = "recorded" if distinct else "numbered"
        self._seeds = [s if distinct and s is not None else i for i, s in enumerate(recorded)]
        versions = {"gato_gym": gato_gym.__version__, "minari": source.version}
        spaces = source.observation_space, source.action_space
        try:
            self._replayer = Replayer(self.task, self.expert, versions, *spaces, clip)
            self._check_task()
        except UnsupportedSpaceError as error:
            raise UnsupportedSpaceError(f"{source.id}: {error}") from error
        except gym.error.Error as error:
            raise DatasetError(f"{source.id}: {error}") from error

    def _check_task(self) -> None:
        known = _known(self.task)
        env = self._replayer.env
        found = (observed_leaves(env), action_spec(env.action_space))
        if known is None or found == (known.observations, known.action):
            return
        for ours, theirs in zip((known.observations, known.action), found, strict=True):
            if ours != theirs:
                raise DatasetError(
                    f"{self.source.id} is not of the task {self.task}: it has {theirs}, the task "
                    f"has {ours}. Pass another --task (task=), e.g. a name of your own"
                )

    def seen(self, index: int, keys: set) -> bool:
        line = {"task": self.task, "expert": self.expert, "seed": self._seeds[index], "noise": 0.0}
        return EpisodeEntry.key_of(line) in keys

    def record(self, index: int) -> _Record:
        read = self.source.read(index)
        try:
            episode = self._replayer.episode(read, self._seeds[index])
        except InvalidEpisodeError as error:
            raise InvalidEpisodeError(f"{self.source.where(index)}: {error}") from error
        return entry_of(episode, 0.0)


def _known(task: str) -> TaskSpec | None:
    """What a task is here; None for one that nobody registered, or that is not installed."""
    try:
        return envs.task_spec(named_by_data(task))
    except (GatoGymError, gym.error.Error):
        return None
