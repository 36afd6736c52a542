"""A corpus -> Minari data sets, one per task, lossless.

A data set is complete or absent: it is written beside its place, read back and compared, renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec
from tqdm import tqdm

import gato_gym
from gato_gym.data.corpus import Corpus
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.data.minari.note import ATTRIBUTE, write_note
from gato_gym.data.minari.place import (
    METADATA,
    NAMESPACE,
    checked_id,
    default_id,
    default_root,
    require_minari,
)
from gato_gym.data.minari.reader import Dataset, open_dataset
from gato_gym.data.minari.spaces import Spaces, find_spaces, nested
from gato_gym.data.records import Leaf
from gato_gym.data.shards import fsync
from gato_gym.envs.registry import registered
from gato_gym.errors import DatasetError
from gato_gym.types import Episode

_NAMESPACE_FILE = "namespace_metadata.json"
_STALE_SECONDS = 3600


@dataclass(frozen=True)
class Exported:
    """A data set of one task; `skipped` where an earlier call had written it."""

    id: str
    task: str
    episodes: int
    steps: int
    path: str
    skipped: bool


def export_minari(
    corpus: Corpus,
    *,
    tasks: Sequence[str] = (),
    dataset_id: str | None = None,
    root: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> list[Exported]:
    """Write one Minari data set per task.

    Data sets that an earlier call wrote from the same episodes are skipped, so that a call that was
    stopped may be repeated.

    Args:
        corpus: the corpus; its every byte is checked on the way.
        tasks: only these; all if empty.
        dataset_id: for the data set of a single task; default "gato_gym/<task>-v0".
        root: Minari's folder of data sets; its own if None.
        progress: show a bar; None where stderr is a terminal.

    Raises:
        MissingExtraError: Minari is not installed.
        UnknownTaskError: the corpus holds no episode of a task.
        DatasetError: a data set of that id exists and is another, or Minari cannot hold the data;
            nothing was written for that task.
        OSError: the disk refuses; the data sets before are complete.
    """
    require_minari()
    chosen = list(dict.fromkeys(tasks)) or list(corpus.tasks())
    if dataset_id is not None and len(chosen) != 1:
        raise ValueError(f"one id for {len(chosen)} tasks: name one task with it")
    ids = {task: checked_id(dataset_id or default_id(task)) for task in chosen}
    for task, name in ids.items():
        twin = next(other for other in chosen if ids[other] == name)
        if twin != task:
            raise DatasetError(f"{twin} and {task} would both be {name!r}: export them one by one")
    base = default_root() if root is None else Path(root)
    jobs = [_Job(corpus, task, name, base / name) for task, name in ids.items()]
    done = [job.is_done() for job in jobs]  # before anything is written
    base.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(base)
    silent = None if progress is None else not progress
    exported = []
    for job, skipped in zip(jobs, done, strict=True):
        if not skipped:
            job.write(base, silent)
        steps = sum(entry.steps for entry in job.entries)
        path = str(job.folder)
        exported.append(Exported(job.id, job.task, len(job.entries), steps, path, skipped))
    return exported


class _Job:
    """One task on its way into a folder."""

    def __init__(self, corpus: Corpus, task: str, dataset_id: str, folder: Path) -> None:
        self.corpus, self.task, self.id, self.folder = corpus, task, dataset_id, folder
        self.entries = corpus.episodes(task)
        lines = [entry.line() for entry in self.entries]
        self.source = {
            "task": task,
            "episodes": len(lines),
            "sha256": hashlib.sha256(json.dumps(lines).encode()).hexdigest(),
        }

    def is_done(self) -> bool:
        """Whether the folder holds these very episodes.

        Raises:
            DatasetError: it holds something else.
        """
        if not self.folder.exists():
            return False
        try:
            found = json.loads((self.folder / "data" / METADATA).read_bytes())[ATTRIBUTE]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            found = None
        if found == self.source:
            return True
        what = "something else" if found is None else "other episodes"
        raise DatasetError(
            f"a data set {self.id!r} exists in {str(self.folder)!r} and holds {what}: delete it "
            f"(minari delete {self.id}), or choose another --id or --root"
        )

    def write(self, base: Path, silent: bool | None) -> None:
        """Write beside the folder, read back, rename."""
        temporary = base / f".{self.folder.name}.{uuid.uuid4().hex}.tmp"
        try:
            (temporary / "data").mkdir(parents=True)
            self._fill(temporary / "data", silent)
            for path in (*(temporary / "data").iterdir(), temporary / "data", temporary):
                fsync(path)
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            _name_namespaces(base, self.folder.parent)
            os.rename(temporary, self.folder)
            fsync(self.folder.parent)
        except RuntimeError as error:  # of HDF5 when it closes a file it could not write
            raise OSError(f"{self.id} was not written: {error}") from error
        except OSError as error:
            raise OSError(
                error.errno, f"{self.id} was not written: {error.strerror or error}"
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _fill(self, data: Path, silent: bool | None) -> None:
        from minari import EpisodeMetadataCallback
        from minari.dataset.minari_storage import MinariStorage

        leaves, actions = self._leaves()
        found = find_spaces(self.task, leaves, actions, self._texts)
        storage = MinariStorage.new(
            data,
            observation_space=found.observation,
            action_space=found.action,
            env_spec=EnvSpec.from_json(found.env_spec) if found.env_spec else None,
            data_format="hdf5",
            jpeg_encoding=False,
        )
        storage.update_metadata(self._metadata())
        statistics, notes = EpisodeMetadataCallback(), []

        def buffers() -> Iterator[Any]:
            bar = tqdm(self.entries, disable=silent, unit="episode", desc=self.id)
            for entry in bar:
                self.corpus.read_record(entry)  # every byte of it is checked
                episode = self.corpus.read(entry)
                notes.append(
                    statistics({"rewards": episode.rewards})
                    | {"expert": entry.expert, "noise": entry.noise}
                    | ({} if entry.success is None else {"success": entry.success})
                    | {ATTRIBUTE: write_note(entry, episode)}
                )
                yield self._buffer(entry, episode, found)

        storage.update_episodes(buffers())
        storage.update_episode_metadata(notes)
        self._compare(open_dataset(self.id, data))

    def _leaves(self) -> tuple[dict[str, Leaf], Leaf]:
        """What every episode holds; the lengths of texts may differ."""

        def form(entry: EpisodeEntry) -> tuple[dict[str, Leaf], Leaf]:
            leaves = {
                key: leaf._replace(dtype="<U0") if leaf.kind == "text" else leaf
                for key, leaf in entry.observations.items()
            }
            return leaves, entry.actions

        first = form(self.entries[0])
        for entry in self.entries:
            if form(entry) != first:
                raise DatasetError(
                    f"episodes {self.entries[0].index} and {entry.index} of {self.task} have "
                    "different observations or actions, a Minari data set has one kind: put them "
                    "into corpora of their own"
                )
        return first

    def _texts(self, key: str) -> Iterator[str]:
        for entry in self.entries:
            yield from self.corpus.read_observation(entry, key).tolist()

    def _buffer(self, entry: EpisodeEntry, episode: Episode, found: Spaces) -> Any:
        from minari.data_collector.episode_buffer import EpisodeBuffer

        def column(key: str, values: np.ndarray) -> Any:
            if values.dtype.kind not in "UO":
                return values
            texts = values.tolist()
            if any("\0" in text for text in texts):
                raise DatasetError(
                    f"{self.task}, episode {entry.index}: {key!r} holds a NUL character, HDF5 "
                    "cannot hold it"
                )
            return texts

        steps = len(episode)
        ends = np.zeros((2, steps), bool)
        ends[0 if episode.terminated else 1, -1] = True
        flat = {key: column(key, values) for key, values in episode.observations.items()}
        experts = episode.expert_actions
        assert experts is not None  # Episode fills it in
        return EpisodeBuffer(
            # HDF5 has no larger numbers; the note has it whatever its size.
            seed=episode.seed if -(2**63) <= episode.seed < 2**64 else None,
            observations=nested(self.task, flat),
            actions=episode.actions.reshape(steps, *(found.action.shape or ())),
            rewards=episode.rewards,  # type: ignore[arg-type]
            terminations=ends[0],  # type: ignore[arg-type]
            truncations=ends[1],  # type: ignore[arg-type]
            # Minari's infos have an entry for the reset; there it is the last one, zeros.
            infos={"expert_actions": np.concatenate([experts, np.zeros_like(experts[:1])])},
        )

    def _metadata(self) -> dict[str, Any]:
        minari = require_minari()
        experts = sorted({entry.expert for entry in self.entries})
        spec = registered(self.task)
        scores = {}
        if spec is not None and spec.random_score is not None and spec.expert_score is not None:
            scores = {"ref_min_score": spec.random_score, "ref_max_score": spec.expert_score}
        return {
            "dataset_id": self.id,
            "minari_version": minari.__version__,
            "algorithm_name": ", ".join(experts),
            "author": {f"gato_gym {gato_gym.__version__}"},
            "description": (
                f"{len(self.entries)} episodes of {self.task}. Observations and actions are those "
                "of gato_gym.envs.make: images resized, continuous actions in [-1, 1]. "
                "infos/expert_actions holds what the expert would have done where noise was "
                "injected; its last entry is padding."
            ),
            **scores,
            ATTRIBUTE: self.source,
        }

    def _compare(self, written: Dataset) -> None:
        try:
            if written.count != len(self.entries):
                raise DatasetError(f"{self.id} has {written.count} episodes after writing it")
            for index, entry in enumerate(self.entries):
                again, _ = written.exported(index)
                if again.line() != {**entry.line(), "size": again.size}:
                    raise DatasetError(f"{written.where(index)} does not read back as written")
        finally:
            written.close()


def _name_namespaces(base: Path, folder: Path) -> None:
    """What `minari.create_namespace` writes, in every folder between the root and a data set."""
    while folder != base:
        path = folder / _NAMESPACE_FILE
        if not path.exists():
            known = {"description": "Exported by gato_gym"} if folder.name == NAMESPACE else {}
            part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
            part.write_text(json.dumps(known))
            os.replace(part, path)
        folder = folder.parent


def _remove_leftovers(base: Path) -> None:
    """Delete what killed exports left over an hour ago; one at work writes into its files."""
    for path in base.glob(".*-v*.tmp"):
        touched = [path.stat().st_mtime, *(p.stat().st_mtime for p in path.rglob("*"))]
        if path.is_dir() and time.time() - max(touched) > _STALE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
