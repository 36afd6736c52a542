"""Texts of other people: what is kept of them, and how long ones are cut into passages.

Letters of every script stay as they are, newlines and tabs too. NUL and other control characters
(U+0000 to U+001F but for tab, newline and carriage return; U+007F to U+009F) are left out: they are
traces of damage, and an array of strings cannot end with NUL. Bytes that are no UTF-8, and halves
of surrogate pairs, are an error or, on request, U+FFFD.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from gato_gym.errors import DatasetError

OnBroken = Literal["strict", "replace"]

MOST_LETTERS = 400
"""Of a passage: English of so many letters fits into an action that is text (256 tokens), with a
small text model that has learned from English. What does not fit is lost to training."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
# The end of a sentence with the spaces after it, or of a line; else the spaces between two words.
_SENTENCE = re.compile(
    r"[.!?\u2026\u3002\uff01\uff1f][\"')\]\u00bb\u201d\u2019]*\s+|\n+|[\u3002\uff01\uff1f]"
)
_WORD = re.compile(r"\s+")
_BLOCK = 1 << 16


def clean(text: str, errors: OnBroken = "strict", where: str = "text") -> str:
    """The text without control characters, see above.

    Raises:
        DatasetError: half of a surrogate pair is in it, which UTF-8 does not have.
    """
    broken = _SURROGATE.search(text)
    if broken is not None:
        if errors == "strict":
            raise DatasetError(
                f"{where}: letter {broken.start()} is half of a surrogate pair "
                f"(U+{ord(broken[0]):04X}); expected whole letters: {replace_hint()}"
            )
        text = _SURROGATE.sub("\ufffd", text)
    return _CONTROL.sub("", text)


def replace_hint() -> str:
    """What to do about broken letters."""
    return 'repair the file, or read it with --errors replace (errors="replace")'


def passages(blocks: Iterable[str], most: int = MOST_LETTERS) -> Iterator[str]:
    """A text, given in blocks, as passages of at most `most` letters; joined they are the text.

    A passage ends after the last sentence or line that fits, if that is in its second half; else
    after a word; else anywhere. At most a block and a passage are in memory.
    """
    if most < 1:
        raise ValueError(f"most must be at least 1, got {most}")
    held = ""
    for block in blocks:
        held += block
        start = 0
        while len(held) - start > most:
            end = _cut(held, start, most)
            yield held[start:end]
            start = end
        held = held[start:]
    if held:
        yield held


def _cut(text: str, start: int, most: int) -> int:
    """Where a passage that begins at `start` ends; there are more than `most` letters."""
    for border, earliest in ((_SENTENCE, start + most // 2), (_WORD, start)):
        ends = [match.end() for match in border.finditer(text, earliest, start + most)]
        if ends:
            return ends[-1]
    return start + most


def read_blocks(path: Path, errors: OnBroken = "strict") -> Iterator[str]:
    """A UTF-8 file in blocks of cleaned text; a byte order mark at its beginning is left out.

    Raises:
        DatasetError: a byte is no UTF-8; names the line.
        OSError: it cannot be read.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors)
    with open(path, "rb") as file:
        while True:
            raw = file.read(_BLOCK)
            try:
                text = decoder.decode(raw, final=not raw)
            except UnicodeDecodeError as error:
                raise broken_utf8(path) or DatasetError(f"{path}: {error}") from error
            if not raw:
                break
            yield clean(text, errors, str(path))
    if text:
        yield clean(text, errors, str(path))


def broken_utf8(path: Path) -> DatasetError | None:
    """The error about the first line of a file that is no UTF-8; None if all of it is.

    Lines end with a newline; one of many megabytes is read in parts.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, in_line = 1, 0
    with open(path, "rb") as file:
        while True:
            raw = file.readline(_BLOCK)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(raw, final=not raw)
            except UnicodeDecodeError as error:
                column = in_line - pending + error.start + 1
                return DatasetError(
                    f"{str(path)!r}, line {line}: byte {column} is no UTF-8 ({error.reason}); "
                    f"expected UTF-8: {replace_hint()}"
                )
            if not raw:
                return None
            in_line += len(raw)
            if raw.endswith(b"\n"):
                line, in_line = line + 1, 0


def broken_json(path: Path) -> DatasetError | None:
    """The error about the first line of a .jsonl file that is no JSON; None for another file."""
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        return None
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            where = f"{str(path)!r}, line {number}"
            try:
                value = json.loads(line) if line.strip() else None
            except (ValueError, RecursionError) as error:
                return DatasetError(f"{where} is no JSON ({error}); expected an object in a line")
            if _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
                return DatasetError(
                    f"{where} has half of a surrogate pair (\\ud800 to \\udfff); expected whole "
                    "letters: write U+FFFD (\\ufffd) there"
                )
    return None
