"""WebDataset tars, of which only pictures, JSON and text are read.

The library decodes many kinds of members by their names, e.g. tensors of torch. Here members of
other kinds do not get as far as that: they are skipped, whatever is in them, and what is left stays
bytes until `columns` reads it as text or JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Any

from gato_gym.errors import DatasetError

PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm")
WORDS = ("json", "txt", "text", "transcript", "cls", "cap", "caption")


def safe_tars(builder: Any) -> Any:
    """The same tars under a reader that skips all members but pictures and words.

    Args:
        builder: a `WebDataset` reader of the `datasets` package, which has read nothing yet.
    """
    from datasets.packaged_modules.webdataset.webdataset import WebDataset

    class SafeTars(WebDataset):
        DECODERS: dict[str, Any] = {}  # noqa: RUF012  # the library's own place for it

        @classmethod
        def _get_pipeline_from_tar(cls, tar_path: str, tar_iterator: Any) -> Any:
            examples = super()._get_pipeline_from_tar(tar_path, _Allowed(tar_iterator))
            first = next(examples, None)
            if first is None:
                raise DatasetError(
                    f"{tar_path} holds nothing that is read here; expected pictures "
                    f"({', '.join(PICTURES)}) and words ({', '.join(WORDS)})"
                )
            yield first
            yield from examples

    return SafeTars(
        cache_dir=builder._cache_dir_root,
        data_files=builder.config.data_files,
        base_path=builder.base_path,
        token=builder.token,
    )


class _Allowed:
    """Those members of a tar that are pictures or words; may be gone through more than once."""

    def __init__(self, members: Iterable[tuple[str, IO[bytes]]]) -> None:
        self._members = members

    def __iter__(self) -> Iterator[tuple[str, IO[bytes]]]:
        for name, file in self._members:
            if name.rpartition(".")[2].lower() in (*PICTURES, *WORDS):
                yield name, file
