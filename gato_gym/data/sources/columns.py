"""Which column of a data set is the picture, the caption, the question: named, or guessed.

A name may lead into a column: "json.caption" is the entry "caption" of the column "json".
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from gato_gym.data.sources.tables import Row
from gato_gym.data.sources.texts import OnBroken, clean, replace_hint
from gato_gym.errors import DatasetError

Form = Literal["captions", "vqa", "text", "chat"]

# What the columns of well-known data sets are called (COCO, Flickr30k, VQAv2, TextVQA, WebDataset,
# ShareGPT, Alpaca, Dolly, Wikipedia, C4, ...), best first.
_IMAGE = ["image", "img", "images", "picture", "jpg", "jpeg", "png", "webp", "image_path"]
_CAPTION = [
    "caption",
    "captions",
    "sentences",
    "sentences_raw",
    "text",
    "txt",
    "description",
    "alt_text",
]
_CAPTION += ["json.caption", "json.text"]
_QUESTION = ["question", "questions", "query", "json.question"]
_ANSWER = ["answer", "multiple_choice_answer", "answers", "label", "json.answer", "json.answers"]
_TEXT = ["text", "content", "document", "article", "body", "txt", "story", "json.text"]
_MESSAGES = ["messages", "conversations", "conversation", "dialogue", "dialog", "chat"]
_MESSAGES += ["json.messages", "json.conversations"]
_PROMPT = ["prompt", "instruction", "question", "query", "user", "input"]
_REPLY = ["response", "reply", "completion", "output", "answer", "assistant"]

NEEDED: dict[Form, dict[str, list[str]]] = {
    "captions": {"image": _IMAGE, "caption": _CAPTION},
    "vqa": {"image": _IMAGE, "question": _QUESTION, "answer": _ANSWER},
    "text": {"text": _TEXT},
    "chat": {"messages": _MESSAGES},
}
"""What each form needs, and what such a column is called."""

PAIRS = {"prompt": _PROMPT, "response": _REPLY}
"""What chat takes where there are no messages."""

# Of one reply, beside prompt and response: taken where it is there.
_MAY = {"system": ["system", "system_prompt"], "context": ["context", "input"]}
# Keys under which one of several alternatives stands.
_ALTERNATIVES = ("answer", "raw", "caption", "text", "sentence")


def choose(form: Form, row: Row, named: Mapping[str, str], name: str) -> dict[str, str]:
    """The column of each part of a form: what the user named, else what it is usually called.

    Args:
        row: the first row of the data set, which tells its columns.
        named: part -> column, e.g. {"caption": "sentences"}.
        name: of the data set, for errors.

    Raises:
        DatasetError: a named column is not there, or none fits; lists those that are.
    """
    there = _names(row)
    parts = dict(NEEDED[form])
    if form == "chat" and (
        set(named) & {*PAIRS, *_MAY} or ("messages" not in named and not _fits(_MESSAGES, there))
    ):
        parts = dict(PAIRS)
    allowed = [*NEEDED[form], *({**PAIRS, **_MAY} if form == "chat" else ())]
    for part, column in named.items():
        if part not in allowed:
            raise DatasetError(
                f"{form} has no {part!r}; expected {_listed(allowed)}: caption=COLUMN"
            )
        if column not in there and _value(row, column) is None:
            near = difflib.get_close_matches(column, there, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"name one: --columns {part}=COLUMN"
            raise DatasetError(f"{name} has no column {column!r}; it has {_listed(there)}: {hint}")
    chosen = {part: named.get(part) or _fits(usual, there) for part, usual in parts.items()}
    if form == "text" and chosen["text"] is None and len(row) == 1:
        chosen["text"] = next(iter(row))
    missing = [part for part, column in chosen.items() if column is None]
    if missing:
        if form == "chat":
            missing = ["messages, or prompt and response"]
        raise DatasetError(
            f"{name} has no column that looks like {' or '.join(missing)}; it has "
            f"{_listed(there)}. Name it: --columns {next(iter(parts))}=COLUMN"
        )
    found = {part: str(column) for part, column in chosen.items()}
    if "prompt" in parts:
        for part, usual in _MAY.items():
            others = [column for column in there if column not in found.values()]
            optional = named.get(part) or _fits(usual, others)
            if optional is not None:
                found[part] = optional
    return found


def value_of(row: Row, column: str, where: str) -> Any:
    """What stands in a column; None where there is nothing.

    Raises:
        DatasetError: the row has no such column.
    """
    if column not in row and column.partition(".")[0] not in row:
        raise DatasetError(f"{where} has no column {column!r}; it has {_listed(_names(row))}")
    return _value(row, column)


def texts_of(value: Any, errors: OnBroken, where: str) -> list[str]:
    """The texts of a cell, cleaned, the empty ones left out: usually one, or several alternatives.

    A cell is text, UTF-8 bytes, a number, or a list of these or of {"answer": text}.

    Raises:
        DatasetError: it is something else, or no UTF-8.
    """
    if isinstance(value, Mapping):
        key = next((key for key in _ALTERNATIVES if key in value), None)
        if key is None:
            raise DatasetError(f"{where} holds a mapping of {_listed(value)}; expected text")
        return texts_of(value[key], errors, where)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [text for one in value for text in texts_of(one, errors, where)]
    text = clean(text_of(value, errors, where), errors, where)
    return [text] if text.strip() else []


def text_of(value: Any, errors: OnBroken, where: str) -> str:
    """The text of a cell as it is, "" where there is none.

    Raises:
        DatasetError: it is no text, no UTF-8 and no number.
    """
    if value is None:
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8", errors)
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{where}: byte {error.start + 1} is no UTF-8; expected UTF-8: {replace_hint()}"
            ) from error
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise DatasetError(f"{where} holds a {type(value).__name__}; expected text")


def _names(row: Row) -> list[str]:
    """The columns, and what is in those that are mappings."""
    names = []
    for column, value in row.items():
        if column.startswith("__"):  # WebDataset's own
            continue
        names.append(column)
        inner = _mapping(column, value)
        if inner is not None:
            names += [f"{column}.{key}" for key in inner]
    return names


def _value(row: Row, column: str) -> Any:
    if column in row:
        return row[column]
    outer, _, inner = column.partition(".")
    found = _mapping(outer, row.get(outer))
    for key in inner.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def _mapping(column: str, value: Any) -> Any:
    """A cell that is a mapping, or the JSON of one, as it stands in tars."""
    if isinstance(value, bytes) and column.rpartition(".")[2] == "json":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, Mapping) else None


def _fits(usual: Sequence[str], there: Iterable[str]) -> str | None:
    by_name = {column.lower(): column for column in reversed(list(there))}
    return next((by_name[name] for name in usual if name in by_name), None)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
