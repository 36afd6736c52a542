"""Learn a text model from texts, or look at one.

examples:
    gato-gym tokenizer train wiki.txt --size 32000 --out text.model
    gato-gym tokenizer train captions.parquet --column caption --size 1024 --out text.model
    gato-gym tokenizer show text.model --text "put the red block on the blue one" --json

gato-gym tokenizer ACTION --help shows the options of one action.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tqdm import tqdm
from tyro.conf import Positional

from gato_gym.cli.players import print_json
from gato_gym.data.sources.columns import choose, texts_of, value_of
from gato_gym.data.sources.tables import find, read_rows, text_files
from gato_gym.data.sources.texts import OnBroken, passages, read_blocks
from gato_gym.tokenizers.default_text import MODEL_PATH
from gato_gym.tokenizers.text import SMALLEST, TextTokenizer

BUNDLED = "bundled"


@dataclass(frozen=True)
class Train:
    """Learn pieces from texts: SentencePiece BPE, with bytes for what it has no piece for, so that
    any string comes back.

    A sentence is a line, or where it is long a part of one. The same texts give the same model.
    """

    files: Positional[tuple[str, ...]]
    """Plain text (.txt), or tables of one kind (.jsonl, .parquet, .csv); or one folder of them."""
    out: Path
    """The model; must not exist."""
    size: int = 32_000
    """Pieces, 512 or more; 32000 in the paper, 1024 in the bundled agent."""
    column: tuple[str, ...] = ()
    """Columns of a table that are read; default is the one called text, content or the like."""
    phrase: tuple[str, ...] = ()
    """Several words that become one piece."""
    sentences: int = 1_000_000
    """Of more sentences so many are drawn; no more than these are in memory."""
    errors: OnBroken = "strict"
    """What is no UTF-8 is an error, or replaced by U+FFFD."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class Show:
    """What a text model makes of a text, or what pieces it has."""

    model: Positional[str]
    """A .model file, or "bundled"."""
    text: str | None = None
    """Show its pieces."""
    json: bool = False
    """Print JSON."""


Options = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | (Annotated[Show, tyro.conf.subcommand("show")])
)


def run(options: Any) -> int:
    """Do what was asked for and print how it went."""
    if isinstance(options, Train):
        _train(options)
    else:
        _show(options)
    return 0


def _train(options: Train) -> None:
    if options.out.exists():
        raise FileExistsError(f"{options.out} exists: choose another --out, or move it away")
    count = 0

    def counted() -> Iterator[str]:
        nonlocal count
        # "disable=None" means: silent unless stderr is a terminal.
        for sentence in tqdm(read_sentences(options), "sentences", disable=None, unit=""):
            count += 1
            yield sentence

    model = TextTokenizer.train(counted(), options.size, options.phrase, options.sentences)
    if model.size < options.size:
        fewer = f", or --size {model.size}" if model.size >= SMALLEST else ""
        raise ValueError(
            f"{count:,} sentences have only {model.size} pieces in them, --size asks for "
            f"{options.size}: give more text{fewer}"
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    part = options.out.with_name(f".{options.out.name}.part")
    try:
        part.write_bytes(model.model)
        os.replace(part, options.out)
    finally:
        part.unlink(missing_ok=True)
    read = min(count, options.sentences)
    if options.json:
        told = {"out": str(options.out), "size": model.size, "sentences": count, "drawn": read}
        print_json(told | {"bytes": len(model.model)})
    else:
        drawn = "" if read == count else f", {read:,} of them drawn"
        print(f"{options.out}: {model.size} pieces of {count:,} sentences{drawn}")


def read_sentences(options: Train) -> Iterator[str]:
    """The lines of all texts, without empty ones; of a long line its passages.

    Raises:
        DatasetError: a file is missing, damaged, of an unknown kind, has no such column or no
            UTF-8.
    """
    place = find(options.files)
    plain = text_files(place)
    if plain:
        for path in plain:
            for passage in passages(read_blocks(path, options.errors)):
                yield from _lines(passage)
        return
    columns = options.column
    for number, row in enumerate(read_rows(place, errors=options.errors)):
        columns = columns or (choose("text", row, {}, place.name)["text"],)
        for column in columns:
            where = f"row {number}, column {column!r}"
            for text in texts_of(value_of(row, column, where), options.errors, where):
                for passage in passages([text]):
                    yield from _lines(passage)


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line.strip())


def _show(options: Show) -> None:
    path = MODEL_PATH if options.model == BUNDLED else Path(options.model)
    model = TextTokenizer.load(path)
    if options.text is None:
        pieces = [model.piece(i) for i in range(model.size)]
        if options.json:
            print_json({"model": str(path), "size": model.size, "end": model.end, "pieces": pieces})
            return
        print(f"{path}: {model.size} pieces, a text ends with {model.end}")
        for number, piece in enumerate(pieces):
            print(f"{number:6}  {piece}")
        return
    ids = model.encode(options.text).tolist()
    pieces = [model.piece(i) for i in ids]
    if options.json:
        told = {"model": str(path), "size": model.size, "ids": ids, "pieces": pieces}
        print_json(told | {"text": model.decode(ids)})
        return
    letters = len(options.text)
    print(f"{len(ids)} tokens for {letters} letters, of {model.size} pieces")
    for number, piece in zip(ids, pieces, strict=True):
        print(f"{number:6}  {piece}")
