"""Which files a data set may name: those of its own, wherever it comes from.

Rows and cards are written by strangers. One that is read from a folder could name any file of this
machine, or an address that would be called; what it names would land in a corpus. So a local data
set names files inside of its folder, one of the Hub files on the Hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gato_gym.errors import DatasetError

MOST_BYTES = 256 << 20
"""Of a file that is read from an archive or the Hub: a few bytes can unpack to all memory."""

# "zip://a.jpg::pictures.zip": the file in front is inside of what comes after it.
_ARCHIVES = re.compile(r"(?:zip|tar|gzip)://.*?(?:::|$)", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:/|:)")
_CARDS = ("README.md", ".huggingface.yaml")


def inside(path: str | Path, folder: Path, where: str) -> Path:
    """The file that a data set in `folder` names, links resolved.

    Args:
        path: relative to the folder, or absolute.
        where: begins the message of an error.

    Raises:
        DatasetError: it is outside of the folder, or no path.
    """
    try:
        root = _root(folder.resolve())
        found = (folder / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # NUL, a loop of links
        raise DatasetError(
            f"{where}: {str(path)[:200]!r} is no path ({error}); expected a file of the data set"
        ) from error
    if not found.is_relative_to(root):
        raise DatasetError(
            f"{where} names {str(path)[:200]!r}, which is outside of {str(root)!r}; expected "
            "a file of the data set: copy what it needs into its folder"
        )
    return found


def read_file(address: str, folder: Path | None, where: str) -> Path | bytes:
    """A file that a row names: its place if it is a local one, else what is in it.

    Args:
        address: a path, relative to the folder; of a data set on the Hub an address there; or of a
            file in an archive, "zip://NAME::ARCHIVE".
        folder: of the data set; None for one on the Hub.
        where: begins the message of an error.

    Raises:
        DatasetError: it is none of the data set's files, cannot be read, or is larger than
            `MOST_BYTES`.
    """
    end, archive = 0, ""
    while hop := _ARCHIVES.match(address, end):
        end = hop.end()
    archive, last = address[:end], address[end:]
    if folder is None:
        if not last.startswith("hf://") or "::" in last:
            raise DatasetError(
                f"{where} names {address[:200]!r}, which is not on the Hub; expected the bytes "
                "of a file or its hf:// address: if it is in the data set's repository, download "
                "that (hf download --repo-type dataset) and pass its folder"
            )
    elif _SCHEME.match(last) or not last or (archive and "::" in last):
        raise DatasetError(
            f"{where} holds an address ({address[:200]!r}), expected a file of the data set: "
            "download the files and name their paths"
        )
    else:
        path = inside(last, folder, where)
        if not archive:
            return path
        last = str(path)
    return _read(archive + last, where)


def _read(address: str, where: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(address, "rb") as file:
            content: bytes = file.read(MOST_BYTES + 1)
    except Exception as error:  # whatever the libraries of archives and of the Hub raise
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DatasetError(
            f"{where}: {address[:200]!r} cannot be read ({why}); expected a whole file"
        ) from error
    if len(content) > MOST_BYTES:
        raise DatasetError(
            f"{where}: {address[:200]!r} is larger than {MOST_BYTES:,} bytes; expected a picture: "
            "shrink it, or unpack the archive and name the file"
        )
    return content


def check_card(folder: Path) -> None:
    """Refuse the card of a local data set that sends its reader elsewhere, before anything is
    looked up there.

    Raises:
        DatasetError: an address, an absolute path, or one with ".." among the files it names.
    """
    for name in _CARDS:
        for pattern in _named_files(folder / name):
            parts = pattern.replace("\\", "/").split("/")
            if "://" in pattern or "::" in pattern or Path(pattern).is_absolute() or ".." in parts:
                raise DatasetError(
                    f"{str(folder / name)!r} names {pattern[:200]!r} as data; expected files "
                    "inside of the folder: put them there, or take the line out"
                )


def check_data_files(data_files: Mapping[str, Iterable[str]] | None, folder: Path | None) -> None:
    """Refuse files that are not the data set's own; those were looked up, and not yet read.

    Args:
        data_files: split -> paths or addresses.
        folder: of the data set; None for one on the Hub.

    Raises:
        DatasetError: one is elsewhere.
    """
    for split, files in (data_files or {}).items():
        for file in files:
            if folder is not None:
                inside(file, folder, f"the split {split!r} of {str(folder)!r}")
            elif not str(file).rpartition("::")[2].startswith("hf://"):
                raise DatasetError(
                    f"the split {split!r} names {str(file)[:200]!r}, which is not on the Hub; "
                    "expected files of the data set"
                )


def _root(folder: Path) -> Path:
    """Where links may lead: the Hub's cache keeps files in "blobs", beside its "snapshots"."""
    for parent in folder.parents:
        if parent.name == "snapshots" and (parent.parent / "blobs").is_dir():
            return parent.parent
    return folder


def _named_files(card: Path) -> Iterator[str]:
    """The patterns of files in the card's configurations."""
    if not card.is_file():
        return
    import yaml
    from huggingface_hub import DatasetCard

    if card.suffix == ".md":
        configs = DatasetCard.load(card).data.get("configs")
    else:
        written = yaml.safe_load(card.read_text(encoding="utf-8"))
        configs = written.get("configs") if isinstance(written, Mapping) else None
    for config in configs if isinstance(configs, list) else ():
        if isinstance(config, Mapping):
            yield from _strings([config.get("data_files"), config.get("data_dir")])


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _strings(one)
