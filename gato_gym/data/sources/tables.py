"""Data sets as rows, one at a time, read by the `datasets` package without decoding anything.

Local files and folders, or the id of a data set on the Hugging Face Hub. Only formats that hold
data are read: JSON, CSV, Parquet, Arrow, folders of pictures, WebDataset tars (tars.py). Nothing
that was read is unpickled or run, and nothing outside of the data set is opened (paths.py);
pictures stay bytes until `gato_gym.envs.pictures` opens them.
"""

from __future__ import annotations

import contextlib
import copy
import csv
import glob
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gato_gym.data.sources.paths import check_card, check_data_files, inside
from gato_gym.data.sources.texts import OnBroken, broken_json, broken_utf8, replace_hint
from gato_gym.errors import DatasetError, MissingExtraError

Row = dict[str, Any]

_KINDS = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".tar": "webdataset",
}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_READERS = {*_KINDS.values(), "imagefolder", "text"}
_HUB_SECONDS = 20.0
_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
TEXT_FILES = (".txt", ".text", ".md")


@dataclass(frozen=True)
class Place:
    """Where a data set is.

    name    how episodes call it: the id on the Hub, or the name of the file or folder
    files   local files of one kind; empty for a folder or the Hub
    folder  of a local data set: what paths of pictures are relative to
    """

    name: str
    files: tuple[Path, ...] = ()
    folder: Path | None = None


def find(sources: Sequence[str]) -> Place:
    """The place of a data set, given by a folder, files of one kind or the id on the Hub.

    Raises:
        DatasetError: there is no such file, or several that do not belong together.
    """
    if not sources:
        raise DatasetError("name a file, a folder or the id of a data set on the Hugging Face Hub")
    paths = [Path(source).expanduser() for source in sources]
    if len(paths) == 1 and paths[0].is_dir():
        return Place(paths[0].resolve().name or "root", folder=paths[0])
    missing = [path for path in paths if not path.is_file()]
    if not missing:
        kinds = sorted({kind_of(path) or "?" for path in paths})
        if len(kinds) > 1:
            raise DatasetError(f"files of different kinds: {', '.join(kinds)}; read them in turn")
        first = paths[0].resolve()
        name = first.name.split(".")[0] if len(paths) == 1 else first.parent.name
        return Place(name or "files", tuple(paths), first.parent)
    if len(sources) == 1 and _may_be_hub_id(sources[0]):
        return Place(sources[0])
    raise DatasetError(
        f"{str(missing[0])!r} does not exist; expected a folder, files (.jsonl, .parquet, .csv, "
        ".tar, .txt) or NAME/NAME on the Hugging Face Hub"
    )


def kind_of(path: Path) -> str | None:
    """Which reader a file needs, by its name; None if there is none."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    last = suffixes[-1] if suffixes else ""
    return "text" if last in TEXT_FILES else _KINDS.get(last)


def text_files(place: Place) -> tuple[Path, ...]:
    """The plain text files of a place that holds no other data; empty if it does."""
    if place.files:
        return place.files if kind_of(place.files[0]) == "text" else ()
    if place.folder is None:
        return ()
    found = sorted(path for path in place.folder.rglob("*") if path.is_file())
    kinds = Counter(kind_of(path) for path in found if not path.name.startswith("."))
    if kinds["text"] < max((n for kind, n in kinds.items() if kind in _READERS), default=0):
        return ()
    texts = (path for path in found if kind_of(path) == "text" and path.stem != "README")
    return tuple(inside(path.absolute(), place.folder, str(place.folder)) for path in texts)


def read_rows(
    place: Place, split: str = "train", config: str | None = None, errors: OnBroken = "strict"
) -> Iterator[Row]:
    """The rows of one split, in order; one is in memory, and what the reader holds of its file.

    Raises:
        MissingExtraError: the `datasets` package is not installed.
        DatasetError: there is no such data set or split, it cannot be reached, its format is not
            supported, or it is damaged.
    """
    name = place.name if place.folder is None else str(place.folder)
    name = str(place.files[0]) if len(place.files) == 1 else name
    # Rows are streamed: all that the library would leave in its cache are the locks of it.
    with _quiet(), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        try:
            builder = _builder(place, config, errors, cache)
            try:
                rows = iter(_stream(builder, split, name))
            except StopIteration:  # how the library says that there is nothing
                return
            while True:
                try:
                    row = next(rows)
                except StopIteration:
                    return
                yield row
        except (DatasetError, MissingExtraError):
            raise
        except UnicodeDecodeError as error:
            raise _found_in(place, broken_utf8) or DatasetError(
                f"{name}: {error}; expected UTF-8: {replace_hint()}"
            ) from error
        except Exception as error:
            # Readers raise what their libraries do: pyarrow's, pandas', tarfile's, httpx' errors.
            found = _found_in(place, broken_json)
            raise found or _unreadable(place, name, error) from error


def _builder(place: Place, config: str | None, errors: OnBroken, cache: str) -> Any:
    """The library's reader of a place; nothing has been read but names of files."""
    from huggingface_hub import HfApi

    from gato_gym.data.sources.tars import safe_tars

    load = partial(_require_datasets().load_dataset_builder, cache_dir=cache)
    if place.files:
        kind = kind_of(place.files[0])
        if kind is None or kind == "text":
            raise DatasetError(_no_reader(place.files[0]))
        files = [glob.escape(str(path.resolve())) for path in place.files]
        options = _options(kind, place.files[0], errors)
        builder = load(kind, data_files=files, **options)
    elif place.folder is not None:
        kind, example = _kind_of_folder(place.folder)
        options = _options(kind, example, errors)
        if kind == "imagefolder":
            folder = str(place.folder.resolve())
            builder = load(kind, data_dir=folder, drop_labels=True)
        else:
            check_card(place.folder)
            folder = str(place.folder.resolve())
            builder = load(folder, config, **options)
    else:
        # Fails at once where the Hub is out of reach; the library would try for minutes.
        HfApi().repo_info(place.name, repo_type="dataset", timeout=_HUB_SECONDS)
        builder = load(place.name, config)
    modules = [cls.__module__ for cls in type(builder).__mro__]
    readers = {name.split(".")[-1] for name in modules if ".packaged_modules." in name}
    if not readers & _READERS:
        raise DatasetError(
            f"{place.name} is in a format that is not read here ({', '.join(sorted(readers))}); "
            f"expected one of {', '.join(sorted(_READERS))}"
        )
    if not place.files:
        check_data_files(builder.config.data_files, place.folder)
    return safe_tars(builder) if "webdataset" in readers else builder


def _stream(builder: Any, split: str, name: str) -> Any:
    try:
        found = builder.as_streaming_dataset(split=split)
    except ValueError as error:
        if "Bad split" not in str(error):
            raise
        there = str(error).partition("Available splits: ")[2]
        raise DatasetError(
            f"{name} has no split {split!r}; it has {there}: --split NAME"
        ) from error
    return found if found.features is None else found.cast(_undecoded(found.features))


def _undecoded(feature: Any) -> Any:
    """The same columns, in which pictures and sounds stay the bytes or the path that they are."""
    import datasets

    if isinstance(feature, datasets.Features):
        return datasets.Features({name: _undecoded(one) for name, one in feature.items()})
    if isinstance(feature, dict):
        return {name: _undecoded(one) for name, one in feature.items()}
    if isinstance(feature, datasets.List | datasets.LargeList):
        return type(feature)(_undecoded(feature.feature))
    if getattr(feature, "decode", False) and not isinstance(feature, datasets.Json):
        feature = copy.copy(feature)
        feature.decode = False
    return feature


def _kind_of_folder(folder: Path) -> tuple[str, Path]:
    """The reader of a folder, and one of the files that it is for."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    described = next((path for path in files if path.name in _METADATA), None)
    if described is not None:
        return "imagefolder", described
    kinds = Counter(kind for path in files if (kind := kind_of(path)) not in (None, "text"))
    if kinds:
        kind = str(kinds.most_common(1)[0][0])
        return kind, next(path for path in files if kind_of(path) == kind)
    if any(path.suffix.lower() in _PICTURES for path in files):
        raise DatasetError(
            f"{str(folder)!r} has pictures without words; expected a metadata.jsonl beside them, "
            'a line for each: {"file_name": "a.jpg", "caption": "a dog"}'
        )
    raise DatasetError(
        f"{str(folder)!r} has no data that can be read here; expected {', '.join(_KINDS)} files, "
        "pictures with a metadata.jsonl, or .txt files with --as text"
    )


def _options(kind: str, example: Path, errors: OnBroken) -> dict[str, Any]:
    """What the library's reader must be told so that no letter is changed or guessed."""
    if kind == "json":
        # Under its usual name the reader would not decode at all, and pass broken bytes on.
        return {"encoding": "utf8", "encoding_errors": errors}
    if kind != "csv":
        return {}
    import datasets

    separator = "\t" if ".tsv" in example.suffixes else ","
    with open(example, encoding="utf-8-sig", errors="replace", newline="") as file:
        header = next(csv.reader(file, delimiter=separator), [])
    strings = datasets.Features({name: datasets.Value("string") for name in header})
    # Without these "NA" would be missing and "1.0" a number.
    exact = {"keep_default_na": False, "na_filter": False, "features": strings}
    encoding = {"encoding": "utf-8-sig", "encoding_errors": errors}
    return {"sep": separator, **exact, **encoding}


def _found_in(place: Place, check: Callable[[Path], DatasetError | None]) -> DatasetError | None:
    """What is wrong with the first local file that is not right."""
    files = place.files
    if place.folder is not None and not files:
        files = tuple(sorted(path for path in place.folder.rglob("*") if path.is_file()))
    plain = (path for path in files if kind_of(path) in ("json", "csv", "text"))
    found = (check(path) for path in plain if path.suffix.lower() not in _COMPRESSED)
    return next(filter(None, found), None)


def _no_reader(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in TEXT_FILES:
        return f"{str(path)!r} is plain text; expected rows with columns: read it --as text"
    if suffix in (".zip", ".tgz"):
        return f"{str(path)!r} is an archive; expected its files: unpack it and pass the folder"
    if suffix in _PICTURES:
        return (
            f"{str(path)!r} is a picture; expected a data set: pass a folder of pictures with a "
            "metadata.jsonl"
        )
    return f"{str(path)!r} is of no kind that can be read; expected {', '.join(_KINDS)} or .txt"


def _unreadable(place: Place, name: str, error: Exception) -> DatasetError:
    why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    if place.folder is not None:
        return DatasetError(f"{name} cannot be read ({why}); expected whole files of one format")
    return DatasetError(
        f"the data set {name!r} cannot be read from the Hugging Face Hub ({why}). Without the Hub: "
        "download its files on a machine that reaches it (hf download --repo-type dataset "
        f"{name} --local-dir FOLDER), then pass FOLDER"
    )


def _may_be_hub_id(source: str) -> bool:
    parts = source.split("/")
    plain = all(
        part and part.replace("-", "").replace("_", "").replace(".", "").isalnum() for part in parts
    )
    return plain and len(parts) <= 2 and parts[0][0] not in ".~" and kind_of(Path(source)) is None


def _require_datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(
            f"reading data sets needs {error.name}, which is not installed: "
            'pip install "gato-gym[language]"'
        ) from error
    return datasets


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's own bars and log lines: errors are told once, by us."""
    datasets = _require_datasets()
    level, bars = datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if not bars:
            datasets.enable_progress_bars()
