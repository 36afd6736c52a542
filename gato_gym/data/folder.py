"""The folder of a corpus: how it is made, and how one is told from something else."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import uuid
from pathlib import Path

from gato_gym.data.shards import fsync
from gato_gym.errors import CorpusPathError, CorruptShardError

FORMAT_FILE = "corpus.json"
_FORMAT = "gato_gym corpus"
_VERSION = 1


def create_folder(root: Path) -> None:
    """Make the files of an empty corpus, its format file last.

    Raises:
        CorpusPathError: the folder holds something else.
    """
    # A killed call leaves a subset of its own files, and may be repeated.
    present = {path.name for path in root.iterdir()} if root.is_dir() else set()
    strangers = {n for n in present - {"shards", "manifest.jsonl"} if not n.endswith(".tmp")}
    if strangers or (root.exists() and not root.is_dir()):
        raise CorpusPathError(
            f"{str(root)!r} is no corpus and not empty: choose an empty or a new folder"
        )
    (root / "shards").mkdir(parents=True, exist_ok=True)
    os.close(os.open(root / "manifest.jsonl", os.O_WRONLY | os.O_CREAT, 0o644))
    temporary = root / f"corpus.{uuid.uuid4().hex}.tmp"
    temporary.write_bytes(_format_line())
    fsync(temporary)
    os.replace(temporary, root / FORMAT_FILE)
    fsync(root)


def check_folder(root: Path) -> None:
    """Tell a corpus from anything else by its format file.

    Raises:
        CorpusPathError: there is no corpus, or this version cannot read it.
        CorruptShardError: the format file has changed.
    """
    path = root / FORMAT_FILE
    if not path.is_file():
        raise CorpusPathError(_no_corpus(root))
    found = path.read_bytes()
    if found == _format_line():
        return
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        data = json.loads(found)
        if data.get("format") == _FORMAT and data["version"] > _VERSION:
            raise CorpusPathError(
                f"{str(root)!r} has format version {data['version']}, this gato_gym reads "
                f"{_VERSION}: pip install --upgrade gato-gym"
            )
    raise CorruptShardError(f"{path}: has changed, expected {_format_line()!r}")


def _format_line() -> bytes:
    return json.dumps({"format": _FORMAT, "version": _VERSION}).encode() + b"\n"


def _no_corpus(root: Path) -> str:
    what = f"has no {FORMAT_FILE}" if root.is_dir() else "does not exist"
    siblings = root.parent.glob(f"*/{FORMAT_FILE}") if root.parent.is_dir() else ()
    near = difflib.get_close_matches(root.name, [p.parent.name for p in siblings], n=1)
    hint = f"Did you mean {str(root.parent / near[0])!r}? " if near else ""
    return (
        f"no corpus at {str(root)!r}: it {what}. {hint}Make one: gato-gym collect TASK --out {root}"
    )
