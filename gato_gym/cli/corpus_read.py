"""`gato-gym corpus read`: pictures with words, texts and conversations into a corpus."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from gato_gym.cli.players import print_json
from gato_gym.data.merge import SHARD_BYTES


@dataclass(frozen=True)
class Options:
    """Add pictures with captions or questions, texts or conversations to a corpus.

    Reads local folders and files (.jsonl, .json, .csv, .parquet, .txt, WebDataset .tar, pictures
    with a metadata.jsonl) and data sets of the Hugging Face Hub. The same command again goes on
    where it was stopped.
    """

    sources: Positional[tuple[str, ...]]
    """A folder, files of one kind, or NAME/NAME on the Hugging Face Hub."""
    form: Annotated[Literal["captions", "vqa", "text", "chat"], tyro.conf.arg(name="as")]
    """What becomes of a row: a picture and its caption, with a question and its answer, a text, or
    a conversation."""
    task: str
    """The task that the episodes are of: text/NAME."""
    out: Path
    """The corpus; created where there is none."""
    columns: tuple[str, ...] = ()
    """Which column is what, e.g. image=img caption=sentences; guessed where it is not said. Parts:
    image, caption, question, answer, text, messages, prompt, response, system, context."""
    split: str = "train"
    """Part of the data set."""
    config: str | None = None
    """Its configuration, where a data set on the Hub has several."""
    name: str | None = None
    """How the corpus calls the data set; default is its id or the name of the file or folder."""
    limit: int | None = None
    """Read at most so many rows or documents."""
    image_size: tuple[int, int] = (64, 80)
    """Height and width of the pictures, multiples of 16."""
    errors: Literal["strict", "replace"] = "strict"
    """Refuse bytes that are no UTF-8, or replace them by U+FFFD."""
    skip_invalid: bool = False
    """Leave out rows that cannot be read, instead of refusing them."""
    seed: int = 0
    """Draws one of several captions or answers."""
    shard_bytes: int = SHARD_BYTES
    """Commit whenever so many bytes are together."""
    json: bool = False
    """Print JSON."""


def run(options: Options) -> None:
    """Read the data set and print what was added."""
    from gato_gym.data.sources.load import read_dataset

    found = read_dataset(
        options.sources,
        options.out,
        form=options.form,
        task=options.task,
        columns=_columns(options.columns),
        split=options.split,
        config=options.config,
        name=options.name,
        limit=options.limit,
        image_size=options.image_size,
        errors=options.errors,
        skip_invalid=options.skip_invalid,
        seed=options.seed,
        shard_bytes=options.shard_bytes,
    )
    if options.json:
        print_json({"out": str(options.out), **asdict(found)})
        return
    told = f"{found.rows} rows of {found.expert}: {found.episodes} episodes ({found.steps} steps) "
    told += f"of {found.task} added, {found.skipped} were there already"
    for count, why in ((found.empty, "have no words"), (found.invalid, "could not be read")):
        told += f"; {count} rows {why}" if count else ""
    print(told)
    print("columns: " + (", ".join(f"{k}={v}" for k, v in found.columns.items()) or "none"))


def _columns(named: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for one in named:
        part, sign, column = one.partition("=")
        if not (part and sign and column):
            raise ValueError(f"--columns has {one!r}; expected PART=COLUMN, e.g. caption=sentences")
        found[part] = column
    return found
