"""Pictures from anywhere -> the pixels that the network sees.

The resize: a picture keeps its aspect, is shrunk by area averaging (images.py) or enlarged
bilinearly until it just fits into the wanted size, and stands in the middle of black.

| what | becomes |
|---|---|
| grey, palette, CMYK and others | RGB, by Pillow |
| alpha | laid over white |
| 16 bits a channel | [0, 65535] -> [0, 255] |
| floats in [0, 1] | times 255 |
| other numbers in [0, 255] | rounded |
| other numbers | least to greatest -> [0, 255] |
| a photo that was turned (EXIF) | turned upright |
| an animation | its first frame; an open `Image` gives the frame where it stands |
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

import numpy as np
from PIL import Image, JpegImagePlugin

from gato_gym.envs.images import checked_size, resize_image
from gato_gym.errors import InvalidObservationError
from gato_gym.types import PATCH_SIDE

MOST_PATCHES = 256
"""Of a picture whose size nobody names: half of the positions of an observation (appendix C.3)."""

MOST_ROWS = 128
"""Patches along a side: there are as many positions for them."""

MOST_PIXELS = 89_478_485
"""Of a file that can only be decoded whole: under 1 GB while it is. Pillow's own limit, too."""

# Decoded by Pillow's own code. EPS would start another program, other formats are no pictures.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|data:")
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG that was opened here."""


Source = str | Path | bytes | Image.Image | np.ndarray


def read_picture(source: Source, size: tuple[int, int] | None = None) -> np.ndarray:
    """The pixels of a picture, (height, width, 3) uint8.

    Args:
        source: a path, the bytes of a file, a Pillow image, or an array (height, width),
            (height, width, 1 to 4). An array that is uint8 (height, width, 3) and has the size
            already is returned as it is.
        size: (height, width), multiples of 16; None for `natural_size` of the picture.

    Raises:
        InvalidObservationError: it is no picture, truncated, too large or of an unsupported form;
            `size` is no pair of multiples of 16.
    """
    wanted = None if size is None else checked_size(size)
    if isinstance(source, np.ndarray):
        if source.dtype == np.uint8 and source.ndim == 3 and source.shape == (*(wanted or ()), 3):
            return source
        return _fit(_from_array(source), wanted, f"an array of shape {source.shape}")
    if isinstance(source, Image.Image):
        return _fit(source, wanted, f"a Pillow image of mode {source.mode}")
    if isinstance(source, bytes | bytearray | memoryview):
        name = f"a picture of {len(source):,} bytes"
        with _opened(io.BytesIO(source), name) as image:
            return _fit(image, wanted, name)
    if isinstance(source, str | Path):
        return _from_path(source, wanted)
    raise InvalidObservationError(
        f"{source!r} is a {type(source).__name__}; expected a path, the bytes of a file, a "
        "PIL.Image.Image or a numpy array"
    )


def natural_size(height: int, width: int) -> tuple[int, int]:
    """The size that a picture gets where nobody names one: (height, width), multiples of 16.

    Each side is rounded to the nearest multiple; before, both are shrunk alike until there are at
    most `MOST_PATCHES` patches, and `MOST_ROWS` along a side.
    """
    scale = min(1.0, math.sqrt(MOST_PATCHES * PATCH_SIDE**2 / (height * width)))
    patches = [min(MOST_ROWS, max(1, round(side * scale / PATCH_SIDE))) for side in (height, width)]
    while math.prod(patches) > MOST_PATCHES:
        patches[patches.index(max(patches))] -= 1
    return patches[0] * PATCH_SIDE, patches[1] * PATCH_SIDE


def _from_path(source: str | Path, size: tuple[int, int] | None) -> np.ndarray:
    name = repr(str(source))
    if _URL.match(str(source)):
        raise InvalidObservationError(
            f"{str(source)[:200]!r} is an address, expected a file: download it first and pass "
            "its path or its bytes"
        )
    path = Path(source).expanduser()
    if path.is_dir():
        raise InvalidObservationError(
            f"{name} is a folder, expected a picture: pass one of its files"
        )
    try:
        with open(path, "rb") as file, _opened(file, name) as image:
            return _fit(image, size, name)
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidObservationError):
            raise
        why = getattr(error, "strerror", None) or str(error)
        raise InvalidObservationError(
            f"cannot read the picture {name}: {why}; expected the path of a picture"
        ) from error


@contextmanager
def _opened(file: IO[bytes], name: str) -> Iterator[Image.Image]:
    """The picture in a file, not yet decoded."""
    start = file.read(16)
    file.seek(0)
    if not start:
        raise InvalidObservationError(f"{name} is empty, expected a picture: copy it again")
    try:
        # Warnings are about damaged notes, which do no harm, and about sizes, which are checked.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _undecoded(file, start)
    except Image.DecompressionBombError as error:
        count = re.search(r"\d+", str(error))
        _too_large(name, f"{int(count[0]):,} pixels" if count else str(error), error)
    except Exception as error:
        # Decoders of damaged files raise whatever they stumble over.
        raise InvalidObservationError(
            f"{name} is no picture that can be read: it starts with {start!r}; expected one of "
            f"{', '.join(_FORMATS)}"
        ) from error
    with image:
        yield image


def _undecoded(file: IO[bytes], start: bytes) -> Image.Image:
    # Image.open refuses large pictures, but a JPEG can be decoded at a lower resolution.
    if start.startswith(b"\xff\xd8\xff"):
        return _Jpeg(file)
    Image.init()
    return Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])


def _too_large(name: str, found: str, error: BaseException | None = None) -> NoReturn:
    raise InvalidObservationError(
        f"{name} is too large ({found}); expected at most {MOST_PIXELS:,} pixels, or a JPEG that "
        "is not progressive, which can be decoded at a lower resolution: shrink it first"
    ) from error


def _fit(image: Image.Image, size: tuple[int, int] | None, name: str) -> np.ndarray:
    """A picture in the middle of a canvas of `size`; the picture itself stays as it is."""
    orientation = _orientation(image)
    shape = image.size if orientation > 4 else image.size[::-1]
    if 0 in shape:
        raise InvalidObservationError(f"{name} has no pixels: {image.width} x {image.height}")
    canvas_size = size or natural_size(*shape)
    inner = _inner(shape, canvas_size)
    lying = inner[::-1] if orientation > 4 else inner
    try:
        pixels = _shrunk(_decoded(image, lying, name), lying)
    except (InvalidObservationError, MemoryError):
        raise
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        if "truncated" in why or "broken data stream" in why:
            why = f"it is truncated, its end is missing ({why}); copy or download it again"
        raise InvalidObservationError(f"{name} cannot be decoded: {why}") from error
    if orientation in _TURNS:
        pixels = np.asarray(Image.fromarray(pixels).transpose(_TURNS[orientation]))
    if inner == canvas_size:
        return np.ascontiguousarray(pixels)
    canvas = np.zeros((*canvas_size, 3), np.uint8)
    top, left = ((outside - side) // 2 for outside, side in zip(canvas_size, inner, strict=True))
    canvas[top : top + inner[0], left : left + inner[1]] = pixels
    return canvas


def _inner(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a picture of `shape` that just fits into `size`."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    height, width = (
        max(1, min(most, round(side * scale))) for side, most in zip(shape, size, strict=True)
    )
    return height, width


def _orientation(image: Image.Image) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged notes about a picture are no damage to it
        return 1


def _decoded(image: Image.Image, size: tuple[int, int], name: str) -> Image.Image:
    """An RGB picture, at most about three times as large as `size` along its tighter side."""
    twice = (2 * size[1], 2 * size[0])
    whole = image.width * image.height > MOST_PIXELS
    # An image that the caller opened is not changed: a draft of it would be.
    own = isinstance(image, _Jpeg)
    if whole and (not own or image.info.get("progressive")):
        _too_large(name, f"{image.width} x {image.height} pixels")
    if own:
        image.draft(None, twice)
    image.load()
    if image.mode.startswith("I;16"):
        image = Image.fromarray(_to_bytes(np.asarray(image).astype(np.uint16)))
    elif image.mode in ("I", "F"):
        image = Image.fromarray(_to_bytes(np.asarray(image)))
    transparent = image.has_transparency_data
    if transparent and image.mode not in ("RGBA", "LA"):
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB", "RGBA", "LA", "CMYK"):
        image = image.convert("RGB")
    factor = min(image.width // twice[0], image.height // twice[1])
    if factor > 1:
        image = image.reduce(factor)
    if transparent:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _shrunk(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    if image.height < size[0] or image.width < size[1]:
        return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
    return resize_image(np.asarray(image), size)


def _from_array(array: np.ndarray) -> Image.Image:
    shape, found = array.shape, f"an array of {array.dtype} and shape {array.shape}"
    expected = "expected (height, width) or (height, width, 1 to 4 channels)"
    if array.ndim == 4:
        raise InvalidObservationError(f"{found} is no single picture; {expected}: pass array[0]")
    if array.ndim == 3 and shape[2] > 4 and shape[0] <= 4:
        raise InvalidObservationError(
            f"{found} has its channels first; {expected}: np.moveaxis(array, 0, -1)"
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and not 1 <= shape[2] <= 4):
        raise InvalidObservationError(f"{found} is no picture; {expected}")
    if 0 in shape:
        raise InvalidObservationError(f"{found} has no pixels; {expected}")
    if array.dtype.kind not in "buif":
        raise InvalidObservationError(f"{found} is no picture; expected numbers, best uint8")
    if shape[0] * shape[1] > MOST_PIXELS:
        _too_large(found, f"{shape[0] * shape[1]:,} pixels")
    pixels = np.ascontiguousarray(_to_bytes(array))
    return Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)


def _to_bytes(array: np.ndarray) -> np.ndarray:
    """Numbers of any range as uint8, see the table above.

    Raises:
        InvalidObservationError: a number is not finite.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    low, high = float(array.min()), float(array.max())
    if not math.isfinite(low) or not math.isfinite(high):
        raise InvalidObservationError(
            "the picture holds NaN or infinite numbers; expected finite ones: "
            "np.nan_to_num(array) replaces them"
        )
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    scale = 255 / max(high - low, 1e-300)
    pixels = np.empty(array.shape, np.uint8)
    for row, values in zip(pixels, array, strict=True):  # doubles of a whole picture take much
        row[:] = np.rint((values.astype(np.float64) - low) * scale).clip(0, 255)
    return pixels
