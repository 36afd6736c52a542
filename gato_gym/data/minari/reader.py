"""Read a Minari data set that came from outside: checked before anything is decoded.

The file may be hostile: links that leave it, arrays that lie in other files, arrays without end,
spaces that would have to be built by running code. All of these are refused.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np

from gato_gym.data.manifest import EpisodeEntry
from gato_gym.data.minari.note import ATTRIBUTE, read_note
from gato_gym.data.minari.place import MAIN_FILE, METADATA, checked_id, require_minari
from gato_gym.errors import DatasetError
from gato_gym.types import flatten_observation

MAX_EPISODE_BYTES = 8 << 30
_MAX_DEPTH = 32
_T = TypeVar("_T")
# What Minari, h5py and Pillow raise on damaged files.
_UNREADABLE = (
    *(OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError),
    *(AssertionError, NotImplementedError, RecursionError, MemoryError, OverflowError),
)


@dataclass(frozen=True)
class Dataset:
    """An open data set; `close` it.

    env_id   the id of the environment it was made with, None where that is not recorded
    version  of the Minari that wrote it
    count    episodes
    """

    id: str
    env_id: str | None
    version: str
    count: int
    observation_space: gym.Space
    action_space: gym.Space
    _storage: Any = field(repr=False)
    _file: Any = field(repr=False)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def attribute(self, index: int, name: str) -> Any:
        """An attribute of an episode, None where it has none."""

        def read() -> Any:
            return self._group(index).attrs.get(name)

        return self._guarded(index, read)

    def note(self, index: int) -> str | None:
        """What an export of ours noted of an episode."""
        found = self.attribute(index, ATTRIBUTE)
        if found is not None and not isinstance(found, str):
            raise DatasetError(f"{self.where(index)}: its attribute {ATTRIBUTE!r} is not text")
        return found

    def seed(self, index: int) -> int | None:
        """The seed that an episode was reset with, None where that is not recorded."""

        def read() -> int | None:
            found = self._group(index).attrs.get("seed")
            return None if found is None else int(found)

        return self._guarded(index, read)

    def read(self, index: int) -> dict[str, Any]:
        """An episode as Minari decodes it: {"observations", "actions", "rewards", ...}.

        Raises:
            DatasetError: it is missing, damaged, too large, or refers to another file.
        """

        def read() -> dict[str, Any]:
            _check(self._group(index), 0)
            (episode,) = self._storage.get_episodes([index])
            return episode

        return self._guarded(index, read)

    def exported(self, index: int) -> tuple[EpisodeEntry, bytes]:
        """An episode that we exported, for `Corpus.append_records`.

        Raises:
            DatasetError: it is damaged, or nothing that we exported; names it.
        """
        note, where = self.note(index), self.where(index)
        if note is None:
            raise DatasetError(f"{where}: lacks the note that the export of the first one has")
        read = self.read(index)
        experts = (read["infos"] or {}).get("expert_actions")
        if not isinstance(experts, np.ndarray) or experts.ndim == 0:
            raise DatasetError(f"{where}: infos/expert_actions is missing")
        try:
            return read_note(
                note,
                flatten_observation(read["observations"]),
                read["actions"],
                experts[:-1],  # infos have an entry for the reset too
                read["rewards"],
            )
        except DatasetError as error:
            raise DatasetError(f"{where}: {error}") from error

    def where(self, index: int) -> str:
        """How messages call an episode."""
        return f"{self.id}, episode {index}"

    def _group(self, index: int) -> Any:
        import h5py

        name = f"episode_{index}"
        if not isinstance(self._file.get(name, getlink=True), h5py.HardLink):
            raise DatasetError("it is missing, or a link")
        group = self._file[name]
        if not isinstance(group, h5py.Group):
            raise DatasetError("it is not a group of arrays")
        return group

    def _guarded(self, index: int, read: Callable[[], _T]) -> _T:
        try:
            return read()
        except _UNREADABLE as error:
            cause = "" if isinstance(error, DatasetError) else "cannot be read: "
            raise DatasetError(f"{self.where(index)}: {cause}{_told(error)}") from error


def _told(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    return str(error) or type(error).__name__


def _check(group: Any, depth: int) -> int:
    """Bytes of all arrays in a group.

    Raises:
        DatasetError: a part of it lies elsewhere, or it has no end.
    """
    import h5py

    if depth > _MAX_DEPTH:
        raise DatasetError(f"its groups are nested deeper than {_MAX_DEPTH} levels")
    total = 0
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DatasetError(f"{name!r} is a link: its data must lie in the file itself")
        item = group[name]
        if isinstance(item, h5py.Group):
            total += _check(item, depth + 1)
        elif not isinstance(item, h5py.Dataset):
            raise DatasetError(f"{name!r} is no array")
        elif item.external or item.is_virtual:
            raise DatasetError(f"{name!r} lies in another file: it must lie in the file itself")
        else:
            total += item.size * item.dtype.itemsize
        if total > MAX_EPISODE_BYTES:
            raise DatasetError(
                f"its arrays have over {MAX_EPISODE_BYTES >> 30} GiB: cut it into shorter episodes"
            )
    return total


def open_dataset(name: str, folder: Path) -> Dataset:
    """Open the data folder of a data set; `name` is what the user called it.

    Raises:
        MissingExtraError: Minari is not installed.
        DatasetError: it is damaged, or of a format that is not supported.
    """
    minari = require_minari()
    import h5py
    from minari.dataset.minari_storage import MinariStorage

    for part in (METADATA, MAIN_FILE):
        if (folder / part).is_symlink():
            raise DatasetError(f"{name}: {part} is a link: it must lie in the data set's folder")
    try:
        metadata = json.loads((folder / METADATA).read_bytes())
        _check_metadata(name, metadata, minari.supported_dataset_versions)
        if not (folder / MAIN_FILE).is_file():
            raise DatasetError(f"{name}: {MAIN_FILE} is missing")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bounds that lose precision
            storage = MinariStorage.read(folder)
        file = h5py.File(folder / MAIN_FILE, "r")
    except DatasetError:
        raise
    except _UNREADABLE as error:
        raise DatasetError(f"{name} is not a readable Minari data set: {_told(error)}") from error
    return Dataset(
        id=metadata["dataset_id"],
        env_id=_env_id(metadata.get("env_spec")),
        version=metadata["minari_version"],
        count=metadata["total_episodes"],
        observation_space=storage.observation_space,
        action_space=storage.action_space,
        _storage=storage,
        _file=file,
    )


def _check_metadata(name: str, metadata: Any, supported: set[str]) -> None:
    if not isinstance(metadata, dict):
        raise DatasetError(f"{name}: {METADATA} is no JSON object")
    checked_id(metadata.get("dataset_id"))
    version, form = metadata.get("minari_version"), metadata.get("data_format")
    if version not in supported:
        raise DatasetError(
            f"{name} was written by Minari {version!r}; the one installed reads "
            f"{', '.join(sorted(supported))}"
        )
    if form != "hdf5":
        raise DatasetError(
            f"{name} has data_format {form!r}; expected 'hdf5': copy its episodes into a new data "
            "set with minari.create_dataset_from_buffers(..., data_format='hdf5')"
        )
    count = metadata.get("total_episodes")
    if not isinstance(count, int) or count < 0:
        raise DatasetError(f"{name}: total_episodes is {count!r}, expected a number")
    for space in ("observation_space", "action_space"):
        # Minari would build the environment instead, from a class that the file names.
        if not isinstance(metadata.get(space), str):
            raise DatasetError(
                f"{name} has no {space} of its own: expected one in {METADATA}, as Minari 0.5 "
                "writes it"
            )


def _env_id(spec: Any) -> str | None:
    """The environment's id in a JSON spec. The rest of it names code, and is not looked at."""
    try:
        found = json.loads(spec)["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return found if isinstance(found, str) else None
