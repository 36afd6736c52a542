"""Bring the episodes of several corpora into one, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from gato_gym.data.corpus import Corpus
from gato_gym.data.folder import FORMAT_FILE
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.errors import MergeConflictError

SHARD_BYTES = 64 << 20
# A source is read once from its beginning to its end.
_CACHE_BYTES = 16 << 20

_Held = tuple[Corpus, EpisodeEntry]


@dataclass(frozen=True)
class MergeReport:
    """What a call of `merge` did; `skipped` episodes were there already, or in two sources."""

    corpus: Corpus
    episodes: int
    steps: int
    skipped: int


def merge(
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    shard_bytes: int = SHARD_BYTES,
    progress: bool | None = None,
) -> MergeReport:
    """Make the corpus at `out` hold every episode of the sources, once.

    Episodes are equal if their records are, byte for byte. A merge that was stopped goes on when it
    is called again: what was committed is compared, not copied.

    Args:
        sources: folders of corpora.
        out: a corpus, which keeps its own episodes, or a new folder. It may be one of the sources.
        shard_bytes: commit whenever so many bytes are together; an episode is never cut.
        progress: show a bar; None where stderr is a terminal.

    Raises:
        MergeConflictError: two different episodes have the same task, expert, seed and noise;
            nothing was written.
        CorpusPathError: a source is no corpus, or `out` is something else; nothing was written.
        CorruptShardError: a byte of a source has changed.
        OSError: the disk refuses; what was committed before stays.
        KeyboardInterrupt: after Ctrl-C, with a message that says what is safe.
    """
    if not sources:
        raise ValueError("name at least one corpus to merge")
    if shard_bytes < 1:
        raise ValueError(f"shard_bytes must be at least 1, got {shard_bytes}")
    opened = [_open(path) for path in sources]
    target = _open(out) if os.path.exists(os.path.join(out, FORMAT_FILE)) else None
    todo, skipped = _plan(opened, target)
    if target is None:
        target = Corpus.create(out)
    target.remove_leftovers()
    copied = steps = 0
    # tqdm's own "disable=None" means: silent unless stderr is a terminal.
    silent = None if progress is None else not progress
    try:
        with tqdm(total=len(todo), disable=silent, unit="episode", desc="merge") as bar:
            for batch in _batches(todo, shard_bytes):
                records = [(entry, corpus.read_record(entry)) for corpus, entry in batch]
                added = target.append_records(records)
                if len(added) < len(batch):  # somebody else committed the same keys meanwhile
                    _plan([target, *opened], None)
                copied += len(added)
                skipped += len(batch) - len(added)
                steps += sum(entry.steps for entry in added)
                bar.update(len(batch))
    except KeyboardInterrupt:
        target.refresh()
        raise KeyboardInterrupt(
            f"interrupted; {len(target)} episodes are safe in {str(target.path)!r}. Run the same "
            "command again to merge the others"
        ) from None
    return MergeReport(target, copied, steps, skipped)


def _open(path: str | os.PathLike[str]) -> Corpus:
    corpus = Corpus.open(path)
    corpus.cache_bytes = _CACHE_BYTES
    return corpus


def _plan(sources: Sequence[Corpus], target: Corpus | None) -> tuple[list[_Held], int]:
    """What is to be copied, in order, and how many episodes are there already.

    The episodes of a task stand together, so that training on one task opens few shards.
    """
    held: dict[tuple, _Held] = {}
    if target is not None:
        held = {entry.key: (target, entry) for entry in target.episodes()}
    todo, skipped = [], 0
    for corpus in sources:
        if target is not None and corpus.path.resolve() == target.path.resolve():
            continue
        for entry in sorted(corpus.episodes(), key=lambda entry: entry.task):
            other = held.setdefault(entry.key, (corpus, entry))
            if other[1] is entry:
                todo.append(other)
            else:
                _check_same(other, (corpus, entry))
                skipped += 1
    return todo, skipped


def _check_same(one: _Held, other: _Held) -> None:
    records = [corpus.read_record(entry) for corpus, entry in (one, other)]
    if records[0] != records[1]:
        first, second = (
            f"episode {entry.index} of {corpus.path}" for corpus, entry in (one, other)
        )
        same = one[1]
        raise MergeConflictError(
            f"{first} and {second} are both {same.task}, expert {same.expert}, seed {same.seed}, "
            f"noise {same.noise:g}, burst {same.burst}, random start {same.random_start}, "
            f"max steps {same.max_steps}, learner {same.learner!r}, "
            "but differ: other package versions, or another expert under the same name. Merge them "
            "into different corpora, or collect one of them again"
        )


def _batches(todo: Sequence[_Held], shard_bytes: int) -> Iterator[list[_Held]]:
    batch: list[_Held] = []
    size = 0
    for corpus, entry in todo:
        if batch and size + entry.size > shard_bytes:
            yield batch
            batch, size = [], 0
        batch.append((corpus, entry))
        size += entry.size
    if batch:
        yield batch
