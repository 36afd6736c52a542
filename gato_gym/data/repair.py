"""Make a damaged corpus whole again, without what is damaged.

Kept is every shard that is the one that was committed: by its manifest line where the manifest is
whole up to there, else by its own label and the checksums of its records. The others are moved
aside, so that the next collection makes their episodes anew.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gato_gym.data.commit import give_name, nobody_writing
from gato_gym.data.folder import check_folder
from gato_gym.data.manifest import (
    EpisodeEntry,
    Manifest,
    ShardEntry,
    encode_line,
    repair_hint,
)
from gato_gym.data.records import Record
from gato_gym.data.shards import (
    PENDING_SUFFIX,
    check_shard,
    fsync,
    named_shards,
    pending,
    read_labelled,
)
from gato_gym.errors import CorpusPathError, CorruptShardError

ASIDE = "set_aside"


@dataclass(frozen=True)
class RepairReport:
    """What `repair` found.

    `kept` shards have a whole manifest line, `recovered` ones got a new one from their own label.
    `set_aside` has what is wrong with each of the others, by name.
    """

    kept: int
    recovered: int
    set_aside: dict[str, str]

    @property
    def changed(self) -> bool:
        """Whether anything was wrong."""
        return bool(self.recovered or self.set_aside)


def repair(path: str | os.PathLike[str]) -> RepairReport:
    """Keep all that is whole of the corpus at `path`; the rest goes to its folder `set_aside`.

    Deletes nothing. Interrupted, it can be repeated.

    Raises:
        CorpusPathError: there is no corpus, or somebody is writing to it.
        CorruptShardError: the format file has changed: write it anew as the message says.
        OSError: the disk refuses; the corpus is as damaged as before.
    """
    root = Path(path).absolute()
    check_folder(root)
    with nobody_writing(root) as alone:
        if not alone:
            raise CorpusPathError(
                f"{str(root)!r}: another process is writing; repair it afterwards"
            )
        return _repair(root)


def _repair(root: Path) -> RepairReport:
    manifest, folder = Manifest(root / "manifest.jsonl"), root / "shards"
    if folder.is_symlink():
        raise CorruptShardError(f"{folder}: a link; shards must lie in the corpus folder")
    folder.mkdir(exist_ok=True)
    unnamed: set[str] = set()
    try:
        manifest.refresh()  # keeps what comes before the first damaged line
    except (FileNotFoundError, CorruptShardError):
        # The line of a shard without a name may be among the damaged ones.
        unnamed = {
            path.name[1 : -len(PENDING_SUFFIX)] for path in folder.glob(f".*{PENDING_SUFFIX}")
        }
    committed: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in manifest.episodes:
        committed[entry.shard].append(entry.line())
    aside: dict[str, str] = {}
    found: list[tuple[ShardEntry, list[dict[str, Any]]]] = []
    keys: set[Any] = set()
    for name, shard in manifest.shards.items():
        try:
            check_shard(folder / name, shard, digest=True)
        except CorruptShardError as e:
            aside[name] = str(e).removesuffix(f". {repair_hint(root)}")
        else:
            found.append((shard, committed[name]))
            keys.update(map(EpisodeEntry.key_of, committed[name]))
    kept = len(found)
    # The order of the lost lines is not known; that of writing comes near.
    named = named_shards(folder)
    for name in _by_age(folder, (named | unnamed) - manifest.shards.keys()):
        try:
            shard, lines = _labelled(folder / name)
            if not keys.isdisjoint(map(EpisodeEntry.key_of, lines)):
                raise CorruptShardError(f"{folder / name}: the corpus has its episodes already")
        except CorruptShardError as e:
            if name in named:  # else it was never committed
                aside[name] = str(e).removesuffix(f". {repair_hint(root)}")
        else:
            found.append((shard, lines))
            keys.update(map(EpisodeEntry.key_of, lines))
    report = RepairReport(kept, len(found) - kept, aside)
    _set_aside(root, aside)
    _write(root, found)
    for shard, _ in found:
        if pending(folder / shard.file).exists():
            give_name(folder / shard.file)
    return report


def _by_age(folder: Path, names: set[str]) -> list[str]:
    def written(name: str) -> tuple[int, str]:
        path = folder / name
        return (path if os.path.lexists(path) else pending(path)).lstat().st_mtime_ns, name

    return sorted(names, key=written)


def _labelled(path: Path) -> tuple[ShardEntry, list[dict[str, Any]]]:
    shard, records, lines = read_labelled(path)
    for number, (data, line) in enumerate(zip(records, lines, strict=True)):
        where = f"{path}, record {number}"
        episode = Record(data, where).episode()
        try:
            entry = EpisodeEntry.from_json(line, 0, path.name, number)
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise CorruptShardError(f"{where}: its label is wrong: {e}") from e
        again = EpisodeEntry.to_json(episode, len(data), *entry.injected)
        if EpisodeEntry.from_json(again, 0, path.name, number) != entry:
            raise CorruptShardError(f"{where}: differs from the shard's label")
    return shard, lines


def _set_aside(root: Path, names: Iterable[str]) -> None:
    for name in names:
        for path in (root / "shards" / name, pending(root / "shards" / name)):
            if os.path.lexists(path):
                (root / ASIDE).mkdir(exist_ok=True)
                target = root / ASIDE / name
                if os.path.lexists(target):  # from an earlier repair
                    target = target.with_name(f"{uuid.uuid4().hex}-{name}")
                os.rename(path, target)


def _write(root: Path, found: list[tuple[ShardEntry, list[dict[str, Any]]]]) -> None:
    chain, lines = 0, []
    for shard, episodes in found:
        line, chain = encode_line(chain, shard, episodes)
        lines.append(line)
    data, manifest = b"".join(lines), root / "manifest.jsonl"
    before = manifest.read_bytes() if manifest.exists() else None
    if data == before:
        return
    token = uuid.uuid4().hex
    if before is not None:
        (root / ASIDE).mkdir(exist_ok=True)
        shutil.copyfile(manifest, root / ASIDE / f"manifest.{token}.jsonl")
    temporary = root / f"manifest.{token}.tmp"
    temporary.write_bytes(data)
    fsync(temporary)
    os.replace(temporary, manifest)
    fsync(root / "shards")
    fsync(root)
