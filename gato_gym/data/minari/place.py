"""Where Minari keeps its data sets, and which names they may have.

<root>/<namespace>/<name>-v<number>/data/metadata.json    ids, spaces, counts
<root>/<namespace>/<name>-v<number>/data/main_data.hdf5   one group per episode
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from types import ModuleType

from gato_gym.errors import DatasetError, MissingExtraError

METADATA, MAIN_FILE = "metadata.json", "main_data.hdf5"
NAMESPACE = "gato_gym"
_ID = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_-]*/)*[A-Za-z0-9_][A-Za-z0-9_-]*-v\d{1,9}")


def require_minari() -> ModuleType:
    """The `minari` package with its HDF5 support.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import h5py  # noqa: F401
        import minari
    except ImportError as error:
        raise MissingExtraError(
            f"Minari data sets need {error.name}, which is not installed: "
            'pip install "gato-gym[minari]"'
        ) from error
    return minari


def default_root() -> Path:
    """Minari's own folder of data sets; read from the environment as Minari does."""
    named = os.environ.get("MINARI_DATASETS_PATH")
    return Path(named) if named else Path.home() / ".minari" / "datasets"


def checked_id(dataset_id: object) -> str:
    """An id that names a folder below the root, and nothing else.

    Raises:
        DatasetError: it is none.
    """
    if isinstance(dataset_id, str) and len(dataset_id) <= 255 and _ID.fullmatch(dataset_id):
        return dataset_id
    raise DatasetError(
        f"{dataset_id!r} is no id of a Minari data set: expected NAMESPACE/NAME-v0, of letters, "
        "digits, - and _"
    )


def default_id(task: str) -> str:
    """The id of a task's export: "ALE/Pong-v5" -> "gato_gym/ALE-Pong-v5-v0"."""
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", task).strip("-") or "task"
    return f"{NAMESPACE}/{slug}-v0"


def find_dataset(dataset: str, root: Path) -> tuple[str, Path]:
    """The name and the data folder of a data set, given by its id or its folder.

    Raises:
        DatasetError: there is none; names the nearest.
    """
    folder = Path(dataset)
    for data in (folder / "data", folder):
        if (data / METADATA).is_file():
            return dataset, data
    if folder.is_dir():
        raise DatasetError(f"{dataset!r} is no Minari data set: it has no data/{METADATA}")
    if dataset.startswith((".", "/", "~")):
        raise DatasetError(f"no Minari data set at {dataset!r}: it does not exist")
    data = root / checked_id(dataset) / "data"
    if (data / METADATA).is_file():
        return dataset, data
    near = difflib.get_close_matches(dataset, local_ids(root), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"get it: minari download {dataset}"
    raise DatasetError(f"no Minari data set {dataset!r} in {str(root)!r}: {hint}")


def local_ids(root: Path) -> list[str]:
    """The ids of the data sets in a root."""
    found = root.glob(f"**/data/{METADATA}") if root.is_dir() else ()
    ids = [path.parent.parent.relative_to(root).as_posix() for path in found]
    return sorted(name for name in ids if _ID.fullmatch(name))
