"""Pictures of every kind become pixels, or an error that says what to do."""

import io
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gato_gym.envs import pictures
from gato_gym.envs.pictures import (
    MOST_PATCHES,
    MOST_PIXELS,
    MOST_ROWS,
    natural_size,
    read_picture,
)
from gato_gym.errors import InvalidObservationError

SIZE = (32, 48)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def plain(mode: str, colour) -> Image.Image:
    return Image.new(mode, SIZE[::-1], colour)


def noise(height=32, width=48):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def refused(source, size=SIZE) -> str:
    with pytest.raises(InvalidObservationError) as error:
        read_picture(source, size)
    return str(error.value)


def large_png(side: int) -> bytes:
    """What says of itself that it has side x side pixels, in few bytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(side))), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_an_array_of_the_right_size_is_passed_through():
    image = noise()
    assert read_picture(image, SIZE) is image
    assert (read_picture(encoded(Image.fromarray(image)), SIZE) == image).all()


def test_a_path_bytes_and_an_open_image_are_the_same_picture(tmp_path):
    data = encoded(Image.fromarray(noise(70, 90)))
    path = tmp_path / "a picture.png"
    path.write_bytes(data)
    found = read_picture(path, SIZE)
    assert found.shape == (*SIZE, 3) and found.dtype == np.uint8
    with Image.open(path) as image:
        others = (str(path), data, bytearray(data), image, noise(70, 90))
        assert all((read_picture(other, SIZE) == found).all() for other in others)


def test_the_aspect_is_kept_and_the_rest_is_black_on_both_sides():
    wide = read_picture(np.full((10, 60, 3), 200, np.uint8), SIZE)
    assert (wide[12:20] == 200).all() and not wide[:12].any() and not wide[20:].any()
    high = read_picture(np.full((64, 32, 3), 200, np.uint8), SIZE)
    assert (high[:, 16:32] == 200).all() and not high[:, :16].any() and not high[:, 32:].any()


def test_shrinking_averages_areas():
    checked = np.indices((64, 96)).sum(0) % 2 * np.uint8(255)
    assert (abs(read_picture(checked, SIZE).astype(int) - 127) <= 1).all()


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (plain("CMYK", (0, 255, 255, 0)), (255, 0, 0)),
        (plain("L", 90), (90, 90, 90)),
        (plain("1", 1), (255, 255, 255)),
        (plain("P", 0).convert("RGB").quantize(4), (0, 0, 0)),
        (plain("RGBA", (10, 20, 30, 0)), (255, 255, 255)),
        (plain("RGBA", (0, 0, 200, 128)), (127, 127, 227)),
        (plain("LA", (0, 128)), (127, 127, 127)),
        (plain("I;16", 0x8000), (128, 128, 128)),
        (plain("I", 90), (90, 90, 90)),
        (plain("F", 0.5), (128, 128, 128)),
        (plain("YCbCr", (90, 128, 128)), (90, 90, 90)),
        (plain("HSV", (0, 0, 90)), (90, 90, 90)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_every_mode(image, colour):
    found = read_picture(image, SIZE)
    assert (abs(found.astype(int) - colour) <= 1).all()
    formats = {"CMYK": "TIFF", "I": "TIFF", "F": "TIFF", "YCbCr": "TIFF"}
    if image.mode != "HSV":  # no file holds it
        again = read_picture(encoded(image, formats.get(image.mode, "PNG")), SIZE)
        assert (again == found).all()


def test_a_palette_with_a_transparent_colour_lies_over_white():
    image = Image.new("P", SIZE[::-1], 0)
    image.putpalette([200, 0, 0, 0, 200, 0])
    assert (read_picture(encoded(image, transparency=0), SIZE) == 255).all()
    assert (read_picture(encoded(image, transparency=1), SIZE) == (200, 0, 0)).all()


@pytest.mark.parametrize(
    ("array", "value"),
    [
        (np.ones((4, 6), bool), 255),
        (np.full((4, 6, 1), 90, np.uint8), 90),
        (np.full((4, 6), 0x5A00, np.uint16), 90),
        (np.full((4, 6, 3), 0.25), 64),
        (np.full((4, 6, 3), 90.0, np.float32), 90),
        (np.full((4, 6, 3), 90, np.int64), 90),
        (np.array([[-5.0, 5.0], [-5.0, 5.0]]), None),
        (np.array([[1e300, -1e300], [0, 0]]), None),
        (np.array([[0, 4000]], np.int32), None),
    ],
)
def test_numbers_of_every_range(array, value):
    found = read_picture(array, (16, 32))
    if value is None:
        assert {0, 255} <= set(found.ravel().tolist())
    else:
        assert set(found[:, 8:24].ravel().tolist()) == {value}


def test_a_photo_is_turned_upright(tmp_path):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = 250  # one bright quarter tells all eight orientations apart
    turns = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1]}
    turns |= {5: upright.swapaxes(0, 1), 6: np.rot90(upright), 8: np.rot90(upright, -1)}
    turns[7] = turns[5][::-1, ::-1]
    for orientation, pixels in turns.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(Image.fromarray(np.ascontiguousarray(pixels)), exif=exif)
        assert (read_picture(data, (32, 48)) == upright).all(), orientation


def test_notes_that_are_damaged_do_no_harm():
    data = encoded(Image.fromarray(noise()), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff")
    assert read_picture(data, SIZE).shape == (*SIZE, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame(kind):
    frames = [plain("RGB", colour) for colour in ("red", "blue", "green")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
    found = read_picture(data, SIZE)
    assert found[16, 24, 0] > 240 and found[16, 24, 2] < 20


def test_one_pixel_fills_the_middle():
    found = read_picture(np.full((1, 1, 3), 77, np.uint8), SIZE)
    assert (found[:, 8:40] == 77).all() and not found[:, :8].any()


def test_a_large_jpeg_is_decoded_at_a_lower_resolution(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 10_000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000)
    shown = Image.new("L", (800, 400), 90)
    with monkeypatch.context() as patch:
        # Whoever decodes all of it takes eight times as many pixels along a side.
        patch.setattr(Image.Image, "reduce", lambda *_: pytest.fail("it was decoded whole"))
        found = read_picture(encoded(shown, "JPEG"), SIZE)
    assert (found[4:28] == 90).all() and not found[:4].any()
    assert "800 x 400 pixels" in refused(encoded(shown, "JPEG", progressive=True))
    assert "320,000 pixels" in refused(encoded(shown, "PNG"))
    assert "800 x 400 pixels" in refused(shown)


def test_a_large_png_is_refused_before_memory_is_taken():
    data = large_png(20_000)
    assert len(data) < 1 << 10
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = refused(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB
    assert "400,000,000" in told and f"{MOST_PIXELS:,}" in told and "JPEG" in told
    assert "9500 x 9500 pixels" in refused(large_png(9_500))  # where Pillow only warns


def test_a_truncated_jpeg_is_told_as_such(tmp_path):
    data = encoded(Image.fromarray(noise(200, 200)), "JPEG")
    path = tmp_path / "half.jpg"
    path.write_bytes(data[: len(data) // 2])
    told = refused(path)
    assert "half.jpg" in told and "truncated" in told and "copy or download it again" in told


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"", "empty"),
        (b"<html>not found</html>", "no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),
        (b"\xff\xd8\xff\xe0", "no picture"),
        ("https://example.org/cat.jpg", "download it first"),
        ("data:image/png;base64,AAAA", "download it first"),
        ("no/such/file.png", "No such file"),
        ("with\0nul.png", "null"),
        (17, "int"),
        (None, "NoneType"),
        (np.zeros((2, 32, 48, 3), np.uint8), "array[0]"),
        (np.zeros((3, 32, 48), np.uint8), "np.moveaxis"),
        (np.zeros((32, 48, 7), np.uint8), "1 to 4 channels"),
        (np.zeros((0, 48, 3), np.uint8), "no pixels"),
        (np.zeros(5), "height, width"),
        (np.zeros((4, 4), complex), "complex"),
        (np.full((4, 4), "x"), "numbers"),
        (np.full((4, 4), np.nan), "nan_to_num"),
        (np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (1 << 14, 1 << 14), (0, 0)), "too"),
    ],
    ids=str,
)
def test_what_is_no_picture_is_refused(source, words):
    assert words in refused(source)


def test_a_folder_is_no_picture(tmp_path):
    assert "is a folder" in refused(tmp_path)


def test_sizes_are_multiples_of_16():
    assert "(30, 48)" in refused(noise(), (30, 48))


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1, 1), (16, 16)), ((64, 80), (64, 80)), ((100, 50), (96, 48)), ((480, 640), (224, 288))],
)
def test_the_size_where_nobody_names_one(shape, size):
    assert natural_size(*shape) == size
    assert read_picture(np.zeros((*shape, 3), np.uint8)).shape == (*size, 3)


def test_natural_sizes_are_bounded():
    for shape in ((1, 60_000), (60_000, 1), (255, 257), (9_999, 10_001), (16, 5_000), (40, 4_000)):
        rows, columns = (side / 16 for side in natural_size(*shape))
        assert rows * columns <= MOST_PATCHES and max(rows, columns) <= MOST_ROWS


def test_an_image_of_the_caller_is_left_as_it_is(tmp_path):
    path = Path(tmp_path / "a.jpg")
    path.write_bytes(encoded(Image.fromarray(noise(300, 400)), "JPEG"))
    with Image.open(path) as image:
        read_picture(image, SIZE)
        assert (image.size, image.mode) == ((400, 300), "RGB")
