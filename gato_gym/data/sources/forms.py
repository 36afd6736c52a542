"""Rows -> what episodes are made of: pairs of a picture and words, and turns of conversations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gato_gym.data.sources.chat import turns
from gato_gym.data.sources.columns import text_of, texts_of, value_of
from gato_gym.data.sources.paths import read_file
from gato_gym.data.sources.tables import Row
from gato_gym.data.sources.texts import OnBroken, clean, passages
from gato_gym.envs.pictures import read_picture
from gato_gym.errors import DatasetError, GatoGymError, InvalidObservationError

# What other data sets call those who talk.
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}
_ROLES |= {"prompter": "user", "chatgpt": "assistant", "instruction": "system"}


@dataclass(frozen=True)
class Reading:
    """How cells are read: the column of each part, what is done about broken UTF-8, the folder that
    paths are relative to and must not leave (None for the Hub), the size of pictures, and the seed
    that draws one of several captions."""

    columns: Mapping[str, str]
    errors: OnBroken = "strict"
    folder: Path | None = None
    size: tuple[int, int] = (64, 80)
    seed: int = 0


@dataclass(frozen=True)
class Pair:
    """A picture, (height, width, 3) uint8, the question about it if there is one, and the words."""

    image: np.ndarray
    question: str | None
    words: str


def read_pair(row: Row, number: int, how: Reading) -> Pair | None:
    """The pair of a row; None where its caption, its question or its answer is empty.

    Of several captions or answers one is drawn, by the seed and the row's number.

    Raises:
        DatasetError: the picture or a text cannot be read; names the row and the column.
    """
    words = _drawn(row, number, how, "answer" if "question" in how.columns else "caption")
    question = _drawn(row, number, how, "question") if "question" in how.columns else None
    if words is None or (question is None and "question" in how.columns):
        return None
    column = how.columns["image"]
    where = f"row {number}, column {column!r}"
    try:
        image = read_picture(_picture(value_of(row, column, where), how.folder, where), how.size)
    except InvalidObservationError as error:
        raise DatasetError(f"{where}: {error}") from error
    return Pair(image, question, words)


def read_turns(row: Row, number: int, how: Reading) -> list[tuple[str, str]] | None:
    """The (said, reply) turns of a row's conversation; None where one of its messages is empty.

    What is said after the last reply is left out. A reply that is longer than a passage becomes
    several, each of the later ones to "".

    Raises:
        DatasetError: it is no conversation; names the row and the place.
    """
    where = f"row {number}"
    messages = _messages(row, how, where)
    if not messages or not all(message["content"].strip() for message in messages):
        return None
    try:
        found = turns(messages)
    except GatoGymError as error:
        raise DatasetError(f"{where}: {error}") from error
    parts: list[tuple[str, str]] = []
    for said, reply in found:
        if reply is not None:
            cut = list(passages([reply]))
            parts += [(said, cut[0]), *(("", part) for part in cut[1:])]
    return parts or None


def _drawn(row: Row, number: int, how: Reading, part: str) -> str | None:
    column = how.columns[part]
    where = f"row {number}, column {column!r}"
    texts = texts_of(value_of(row, column, where), how.errors, where)
    if len(texts) < 2:
        return texts[0] if texts else None
    return texts[int(np.random.default_rng((how.seed, number)).integers(len(texts)))]


def _picture(value: Any, folder: Path | None, where: str) -> bytes | Path:
    """The bytes of a picture, or where they are."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, Mapping) and value.get("bytes") is not None:
        value = value["bytes"]
    elif isinstance(value, Mapping) and "path" in value:
        value = value["path"]
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str) or not value:
        found = f"{len(value)} values" if isinstance(value, list) else type(value).__name__
        raise DatasetError(f"{where} holds no picture ({found}); expected its bytes or its path")
    return read_file(value, folder, where)


def _messages(row: Row, how: Reading, where: str) -> list[dict[str, str]]:
    if "messages" not in how.columns:
        cells = {
            part: clean(text_of(value_of(row, column, where), how.errors, where), how.errors, where)
            for part, column in how.columns.items()
        }
        asked = [cells["prompt"]] + ([cells["context"]] if cells.get("context", "").strip() else [])
        said = [{"role": "system", "content": cells["system"]}] if cells.get("system") else []
        said.append({"role": "user", "content": "\n".join(asked)})
        return [*said, {"role": "assistant", "content": cells["response"]}]
    value = value_of(row, how.columns["messages"], where)
    if value is None:
        return []
    if not isinstance(value, list):
        raise DatasetError(
            f"{where} holds a {type(value).__name__} as messages; expected a list of "
            '{"role": ..., "content": ...}'
        )
    return [_message(one, how.errors, f"{where}, message {i}") for i, one in enumerate(value)]


def _message(message: Any, errors: OnBroken, where: str) -> dict[str, str]:
    """A message under the usual names: ShareGPT says "from" and "value"."""
    if not isinstance(message, Mapping):
        raise DatasetError(f'{where} is no mapping; expected {{"role": ..., "content": ...}}')
    role = message.get("role") or message.get("from")
    content = message.get("content") if message.get("content") is not None else message.get("value")
    if not isinstance(role, str):
        raise DatasetError(
            f"{where} has no role, only {sorted(message)}; expected "
            '{"role": "user", "content": "hello"}'
        )
    text = clean(text_of(content, errors, where), errors, where)
    return {"role": _ROLES.get(role.lower(), role.lower()), "content": text}
