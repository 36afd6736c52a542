"""What an exported episode carries so that it comes back to the last bit.

One JSON attribute per episode: its manifest line, the dtypes and shapes that Minari's file does not
keep (text, flattened actions), and a checksum of all of it and of every array. HDF5 has none of its
own: a byte that changed in the file is found when the episode is imported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import google_crc32c
import numpy as np

from gato_gym.data.manifest import EpisodeEntry
from gato_gym.data.records import encode
from gato_gym.errors import DatasetError, InvalidEpisodeError
from gato_gym.types import Episode

ATTRIBUTE = "gato_gym"
_VERSION = 1
_TEXT = re.compile(r"<U\d{1,5}|\|O")
_LONGEST = 1 << 16


def write_note(entry: EpisodeEntry, episode: Episode) -> str:
    """The note of an episode."""
    arrays = _arrays(episode)
    body = {
        "version": _VERSION,
        "line": entry.line(),
        "arrays": {name: [values.dtype.str, list(values.shape)] for name, values in arrays.items()},
    }
    return json.dumps({**body, "crc32c": _checksum(body, arrays)})


def read_note(
    note: str, observations: Mapping[str, Any], actions: Any, expert_actions: Any, rewards: Any
) -> tuple[EpisodeEntry, bytes]:
    """The episode that a note belongs to: its entry, and its record for `Corpus.append_records`.

    Args:
        note: what `write_note` gave.
        observations: flat key -> array or list of text, as Minari reads them.
        actions, expert_actions, rewards: arrays.

    Raises:
        DatasetError: the note is damaged, or the data is not what was exported.
    """
    try:
        body = json.loads(note)
        checksum = body.pop("crc32c")
        if body["version"] != _VERSION:
            raise DatasetError(
                f"it was exported in version {body['version']!r}, this gato_gym reads {_VERSION}: "
                "pip install --upgrade gato-gym"
            )
        found = {f"observations/{key}": values for key, values in observations.items()}
        found |= {"actions": actions, "expert_actions": expert_actions, "rewards": rewards}
        if found.keys() != body["arrays"].keys():
            raise ValueError(f"it has {', '.join(found)}; expected {', '.join(body['arrays'])}")
        arrays = {
            name: _restored(name, found[name], *form) for name, form in body["arrays"].items()
        }
        if checksum != _checksum(body, arrays):
            raise ValueError("its bytes have changed")
        return _episode(body["line"], arrays)
    except DatasetError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise DatasetError(
            f"it is not what gato_gym exported: {error}. Export it again, or import it as "
            f"somebody else's data by removing the attribute {ATTRIBUTE!r} of its episodes"
        ) from error


def _arrays(episode: Episode) -> dict[str, np.ndarray]:
    arrays = {f"observations/{key}": values for key, values in episode.observations.items()}
    assert episode.expert_actions is not None  # Episode fills it in
    arrays |= {"actions": episode.actions, "expert_actions": episode.expert_actions}
    return {**arrays, "rewards": episode.rewards}


def _checksum(body: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
    value = google_crc32c.value(json.dumps(body, sort_keys=True).encode())
    for name in sorted(arrays):
        values = arrays[name]
        text = _TEXT.fullmatch(values.dtype.str)
        raw = json.dumps(values.tolist()).encode() if text else values.tobytes()
        value = google_crc32c.extend(value, raw)
    return value


def _restored(name: str, values: Any, dtype: str, shape: list[int]) -> np.ndarray:
    if _TEXT.fullmatch(dtype):
        if not all(isinstance(text, str) for text in values):
            raise ValueError(f"{name} is not text")
        if dtype != "|O" and int(dtype[2:]) > _LONGEST:
            raise ValueError(f"{name} has dtype {dtype}")
        array = np.empty(len(values), dtype)
        array[:] = values
    else:
        array = np.asarray(values)
        if array.dtype.str != dtype:
            raise ValueError(f"{name} has dtype {array.dtype.str}, expected {dtype}")
    return array.reshape(shape)


def _episode(line: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[EpisodeEntry, bytes]:
    said = EpisodeEntry.from_json(line, 0, "", 0)
    try:
        episode = Episode(
            task=said.task,
            observations={
                name.removeprefix("observations/"): values
                for name, values in arrays.items()
                if name.startswith("observations/")
            },
            actions=arrays["actions"],
            expert_actions=arrays["expert_actions"],
            rewards=arrays["rewards"],
            terminated=said.terminated,
            seed=said.seed,
            expert=said.expert,
            success=said.success,
            versions=said.versions,
        )
    except InvalidEpisodeError as error:
        raise ValueError(str(error)) from error
    return entry_of(episode, said.noise, line)


def entry_of(
    episode: Episode, noise: float, line: Mapping[str, Any] | None = None
) -> tuple[EpisodeEntry, bytes]:
    """An episode as `Corpus.append_records` takes it.

    Args:
        episode: the episode.
        noise: the fraction of noisy steps it was collected with.
        line: the manifest line it had; it must say what the episode says.

    Raises:
        ValueError: `line` says something else.
    """
    data = encode(episode)
    fresh = EpisodeEntry.to_json(episode, len(data), noise)
    entry = EpisodeEntry.from_json(fresh | dict(line or {}) | {"size": len(data)}, 0, "", 0)
    # What is read off the episode must agree; what only the manifest knows is taken over.
    if entry != EpisodeEntry.from_json({**entry.line(), **fresh}, 0, "", 0):
        raise ValueError("its manifest line is another episode's")
    return entry, data
