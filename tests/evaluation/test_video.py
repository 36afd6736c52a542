"""Videos are complete or absent, hold every frame, and never hold frames in memory."""

import subprocess
import sys
import textwrap
from typing import ClassVar

import av
import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from gato_gym.evaluation.video import VideoObserver, VideoWriter, contact_sheet


def moving_square(step: int, height: int = 64, width: int = 64) -> np.ndarray:
    frame = np.full((height, width, 3), 40, np.uint8)
    left = step % (width - 8)
    frame[8:16, left : left + 8] = (250, 40, 40)
    return frame


def decode(path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def names(folder) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


class FakeEnv(gym.Env):
    """Renders a moving square; raises at step `breaks_at`."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(self, breaks_at: int = -1, renders: bool = True):
        self.breaks_at, self.renders, self.steps = breaks_at, renders, 0

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return 0, {}

    def step(self, action):
        self.steps += 1
        if self.steps == self.breaks_at:
            raise RuntimeError("the simulator broke")
        return 0, 1.0, False, False, {}

    def render(self):
        return moving_square(self.steps) if self.renders else None


def play(env: FakeEnv, observer: VideoObserver, steps: int, seed: int = 0) -> None:
    obs, info = env.reset(seed=seed)
    observer.on_reset(env, obs, info, seed)
    for _ in range(steps):
        observer.on_step(env, 0, *env.step(0))
    observer.on_episode_end(None)


@pytest.mark.parametrize("count", [1, 2, 97])
def test_every_frame_is_in_the_file(tmp_path, count):
    with VideoWriter(tmp_path / "v.mp4", fps=20) as video:
        for step in range(count):
            video.add(moving_square(step))
    assert len(decode(tmp_path / "v.mp4")) == count
    assert names(tmp_path) == ["v.mp4"]


def test_the_file_plays_at_the_rate_asked_for_in_a_format_players_know(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", fps=12.5) as video:
        for step in range(25):
            video.add(moving_square(step))
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == 12.5
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert container.duration / av.time_base == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((64, 64), (512, 512)),
        ((210, 160), (630, 480)),
        ((400, 600), (400, 600)),
        ((481, 333), (482, 334)),
        ((99, 101), (496, 506)),
    ],
)
def test_small_frames_are_enlarged_and_sides_are_even(tmp_path, shape, expected):
    with VideoWriter(tmp_path / "v.mp4", fps=30) as video:
        video.add(moving_square(0, *shape))
    assert decode(tmp_path / "v.mp4")[0].shape == (*expected, 3)


def test_a_pixel_becomes_a_block_of_its_colour(tmp_path):
    frame = moving_square(3)
    with VideoWriter(tmp_path / "v.mp4", fps=30) as video:
        for _ in range(5):
            video.add(frame)
    decoded = decode(tmp_path / "v.mp4")[-1]
    centres = decoded[4::8, 4::8].astype(int)
    # Colour has half the resolution in yuv420p and is quantised.
    assert np.abs(centres - frame).mean() < 6


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (np.zeros((64, 64, 3), np.float32), "float32"),
        (np.zeros((64, 64), np.uint8), r"\(64, 64\)"),
        (np.zeros((64, 64, 4), np.uint8), r"\(64, 64, 4\)"),
        (None, "NoneType"),
    ],
)
def test_what_is_not_a_frame_is_refused(tmp_path, frame, said):
    with pytest.raises(ValueError, match=said), VideoWriter(tmp_path / "v.mp4", fps=30) as video:
        video.add(frame)
    assert names(tmp_path) == []


def test_a_frame_of_another_shape_is_refused_and_leaves_no_file(tmp_path):
    with (
        pytest.raises(ValueError, match="frame 1 has shape"),
        VideoWriter(tmp_path / "v.mp4", fps=30) as video,
    ):
        video.add(moving_square(0))
        video.add(moving_square(0, 80, 64))
    assert names(tmp_path) == []


def test_a_video_without_frames_is_an_error_not_an_empty_file(tmp_path):
    with pytest.raises(ValueError, match="at least one frame"):
        VideoWriter(tmp_path / "v.mp4", fps=30).close()
    assert names(tmp_path) == []


def test_wrong_names_and_rates_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.mp4"):
        VideoWriter(tmp_path / "v.avi", fps=30)
    with pytest.raises(ValueError, match="fps"):
        VideoWriter(tmp_path / "v.mp4", fps=0)


def test_an_unfinished_video_keeps_the_older_one(tmp_path):
    path = tmp_path / "v.mp4"
    with VideoWriter(path, fps=30) as video:
        video.add(moving_square(0))
    before = path.read_bytes()
    video = VideoWriter(path, fps=30)
    video.add(moving_square(1))
    assert path.read_bytes() == before
    video.discard()
    assert path.read_bytes() == before
    assert names(tmp_path) == ["v.mp4"]


def test_a_killed_process_leaves_no_video_and_the_next_one_cleans_up(tmp_path):
    path = tmp_path / "v.mp4"
    script = f"""
        import os, signal
        import numpy as np
        from gato_gym.evaluation.video import VideoWriter
        video = VideoWriter({str(path)!r}, fps=30)
        for step in range(40):
            video.add(np.full((64, 64, 3), step, np.uint8))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path)
    assert done.returncode == -9
    assert names(tmp_path) == [".v.mp4.part"]
    with VideoWriter(path, fps=30) as video:
        video.add(moving_square(0))
    assert names(tmp_path) == ["v.mp4"]
    assert len(decode(path)) == 1


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path):
    """Two minutes of frames are 520 MB raw; the encoder's own buffers stay far below."""
    script = f"""
        import resource
        import numpy as np
        from gato_gym.evaluation.video import VideoWriter
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        with VideoWriter({str(tmp_path / "v.mp4")!r}, fps=5) as video:
            for step in range(600):
                video.add(np.full((480, 600, 3), step % 256, np.uint8))
                if step == 100:
                    before = peak()
        print(peak() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 60


def test_observer_records_the_first_frame_and_one_per_step(tmp_path):
    observer = VideoObserver(tmp_path / "one.mp4")
    play(FakeEnv(), observer, steps=30)
    play(FakeEnv(), observer, steps=5)
    assert names(tmp_path) == ["one.mp4"]
    assert len(decode(tmp_path / "one.mp4")) == 31
    with av.open(str(tmp_path / "one.mp4")) as container:
        assert container.streams.video[0].average_rate == FakeEnv.metadata["render_fps"]


def test_observer_writes_one_file_per_episode_where_the_path_says_so(tmp_path):
    observer = VideoObserver(tmp_path / "{episode}-{seed}.mp4", episodes=2)
    for episode in range(3):
        play(FakeEnv(), observer, steps=3 + episode, seed=50 + episode)
    assert names(tmp_path) == ["0-50.mp4", "1-51.mp4"]
    assert [path.name for path in observer.paths] == names(tmp_path)
    assert [len(decode(path)) for path in observer.paths] == [4, 5]


def test_a_crash_in_an_episode_leaves_only_the_finished_ones(tmp_path):
    with (
        pytest.raises(RuntimeError, match="simulator broke"),
        VideoObserver(tmp_path / "{episode}.mp4") as observer,
    ):
        play(FakeEnv(), observer, steps=4)
        play(FakeEnv(breaks_at=3), observer, steps=4)
    assert names(tmp_path) == ["0.mp4"]
    assert len(decode(tmp_path / "0.mp4")) == 5


def test_an_environment_that_does_not_render_is_named_with_the_fix(tmp_path):
    with (
        pytest.raises(ValueError, match="rgb_array"),
        VideoObserver(tmp_path / "v.mp4") as observer,
    ):
        play(FakeEnv(renders=False), observer, steps=1)
    assert names(tmp_path) == []


@pytest.mark.parametrize("steps", [1, 7, 23, 24, 200])
def test_stills_span_the_episode(tmp_path, steps):
    observer = VideoObserver(tmp_path / "v.mp4")
    play(FakeEnv(), observer, steps=steps)
    stills = observer.stills(5)
    assert len(stills) == min(5, steps + 1)
    np.testing.assert_array_equal(stills[0], moving_square(0))
    np.testing.assert_array_equal(stills[-1], moving_square(steps))


def test_contact_sheet_shows_each_row_with_its_caption(tmp_path):
    red = np.full((64, 64, 3), (255, 0, 0), np.uint8)
    blue = np.full((210, 160, 3), (0, 0, 255), np.uint8)
    path = contact_sheet({"a task": [red, red], "another": [blue]}, tmp_path / "s.png", height=96)
    sheet = np.asarray(Image.open(path))
    assert (sheet == (255, 0, 0)).all(axis=-1).sum() == 2 * 96 * 96
    assert (sheet == (0, 0, 255)).all(axis=-1).sum() == 96 * round(160 * 96 / 210)
    dark_pixels_of_the_text = (sheet.max(axis=-1) < 100).sum()
    assert dark_pixels_of_the_text > 20
    assert names(tmp_path) == ["s.png"]


@pytest.mark.parametrize("rows", [{}, {"a": []}])
def test_an_empty_contact_sheet_is_an_error(tmp_path, rows):
    with pytest.raises(ValueError, match="at least one frame"):
        contact_sheet(rows, tmp_path / "s.png")
    assert names(tmp_path) == []
