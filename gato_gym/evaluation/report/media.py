"""Videos as part of the page, as many as fit."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image

from gato_gym.evaluation.report.values import printable, size

LIMIT = 30_000_000
"""Bytes of the whole page."""
_MARK = b"ftyp"  # bytes 4 to 8 of every mp4


@dataclass(frozen=True)
class Video:
    """A video: its file's name, its bytes, and the addresses that hold it and a still of it."""

    name: str
    size: int
    uri: str
    poster: str


@dataclass(frozen=True)
class Picture:
    """A picture: what it shows, the image, (height, width, 3) uint8, and the address with it."""

    name: str
    caption: str
    image: np.ndarray
    uri: str

    def png(self) -> bytes:
        """The image as a file."""
        buffer = io.BytesIO()
        Image.fromarray(self.image).save(buffer, format="PNG", optimize=True)
        return buffer.getvalue()


def check_videos(files: Sequence[Path]) -> None:
    """Raise what is wrong with a file that a person named as a video.

    Raises:
        FileNotFoundError, IsADirectoryError: see the message.
        ValueError: it is no mp4.
    """
    for file in files:
        if not file.exists():
            raise FileNotFoundError(f"no video at {file}: gato-gym record --task T --out {file}")
        if file.is_dir():
            raise IsADirectoryError(f"{file} is a folder: name its videos, {file}/*.mp4")
        with file.open("rb") as stream:
            begin = stream.read(8)
        if begin[4:] != _MARK:
            raise ValueError(
                f"{file} is no mp4: gato-gym record writes such videos, other formats have to be "
                "converted"
            )


def fitting(files: Sequence[Path], room: int) -> tuple[list[Video], list[str]]:
    """The videos that fit into so many bytes of page, in their order, and what is left out.

    Args:
        files: of `check_videos`.
        room: bytes.

    Returns:
        The videos, and a sentence for each file that is not among them.
    """
    videos, left_out = [], []
    for file in files:
        count = file.stat().st_size
        data = file.read_bytes() if _encoded(count) <= room else b""
        poster = _poster(data)
        cost = _encoded(count) + len(poster)
        if not data or cost > room:
            left_out.append(
                f"{printable(file.name)} ({size(count)}) is left out: the page holds at most "
                f"{size(LIMIT)}."
            )
            continue
        room -= cost
        uri = f"data:video/mp4;base64,{base64.b64encode(data).decode()}"
        videos.append(Video(printable(file.name), count, uri, poster))
    return videos, left_out


def _encoded(count: int) -> int:
    """Bytes of page that so many bytes of a file take: four letters for three, and markup."""
    return -(-count // 3) * 4 + 1000


def _poster(data: bytes) -> str:
    """The address of a still from the middle of a video, "" of one without pictures."""
    try:
        with av.open(io.BytesIO(data), mode="r") as video:
            video.seek((video.duration or 0) // 2)
            return _jpeg(next(video.decode(video=0)).to_ndarray(format="rgb24"))
    except (av.error.FFmpegError, StopIteration, IndexError):
        return ""


def _jpeg(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=88, subsampling=0, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def picture(name: str, caption: str, image: np.ndarray) -> Picture:
    """An image of a page, as JPEG of high quality.

    Args:
        name: for files; letters, digits and dashes.
        caption: what it shows.
        image: (height, width, 3) uint8.
    """
    return Picture(name, caption, image, _jpeg(image))
