"""Videos: which fit, and what is no video."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from gato_gym.evaluation.report import media


@pytest.fixture
def films(toy, tmp_path):
    return [toy.write_video(tmp_path / f"{name}.mp4") for name in "abc"]


def test_a_video_is_whole_and_has_a_still(films):
    (video,), left_out = media.fitting(films[:1], 1_000_000)
    assert left_out == [] and video.size == films[0].stat().st_size
    data = base64.b64decode(video.uri.removeprefix("data:video/mp4;base64,"), validate=True)
    assert data == films[0].read_bytes()
    still = base64.b64decode(video.poster.removeprefix("data:image/jpeg;base64,"), validate=True)
    assert Image.open(io.BytesIO(still)).size == (480, 360)


def test_what_does_not_fit_is_left_out_and_told(films):
    films[1].write_bytes(films[1].read_bytes() + bytes(100_000))  # as large as it is useless
    videos, left_out = media.fitting(films, 50_000)
    assert [video.name for video in videos] == ["a.mp4", "c.mp4"]
    assert left_out == ["b.mp4 (102 kB) is left out: the page holds at most 30 MB."]
    taken = sum(len(video.uri) + len(video.poster) for video in videos)
    assert taken < 50_000
    assert media.fitting(films, 100) == ([], [*map(_told, films)])


def _told(file: Path) -> str:
    size = "102 kB" if file.name == "b.mp4" else f"{file.stat().st_size / 1000:.3g} kB"
    return f"{file.name} ({size}) is left out: the page holds at most 30 MB."


def test_what_is_no_video_is_refused(tmp_path, films):
    media.check_videos(films)
    text = tmp_path / "text.mp4"
    text.write_text("not a video at all")
    for path, error, told in (
        (tmp_path / "gone.mp4", FileNotFoundError, "no video at .*gone.mp4: gato-gym record"),
        (tmp_path, IsADirectoryError, "is a folder"),
        (text, ValueError, "text.mp4 is no mp4"),
    ):
        with pytest.raises(error, match=told):
            media.check_videos([*films, path])


def test_a_video_without_pictures_has_no_still(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(50))
    (video,), _ = media.fitting([path], 1_000_000)
    assert video.poster == ""
