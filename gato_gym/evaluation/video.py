"""Videos of agents at play: frames go straight into the encoder, never into a list.

A file appears under its name only when it is complete: frames are written to `.<name>.part` beside
it, which is flushed, synced and renamed at the end. What a killed process leaves behind is that
part file; the next video of the same name overwrites it.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import gymnasium
import numpy as np
from av.codec import codecs_available
from PIL import Image, ImageDraw, ImageFont

from gato_gym.envs.images import resize_image
from gato_gym.evaluation.rollout import EpisodeResult

MIN_HEIGHT = 480
DEFAULT_FPS = 30

_ENCODERS = {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qscale": "4"}}
_MARGIN, _CAPTION = 8, 22
_STILLS_KEPT = 24

Draw = Callable[[gymnasium.Env, Any, np.ndarray], np.ndarray]
"""Environment, observation, the frame that shows it -> the picture to keep, always as large."""


class VideoWriter:
    """Write RGB frames to an mp4, one at a time: h264 where PyAV has libx264, else MPEG-4 part 2.

    Frames below 360 rows are enlarged by a whole factor to at least 480, without smoothing, so that
    the pixels an agent sees stay visible. As a context manager, an exception discards the file.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float = DEFAULT_FPS):
        self.path = Path(path)
        if self.path.suffix != ".mp4":
            raise ValueError(f"a video's name ends in .mp4, got {self.path}")
        if not fps > 0:
            raise ValueError(f"fps must be positive, got {fps}")
        self.fps = fps
        self.frames = 0
        self._part = self.path.with_name(f".{self.path.name}.part")
        self._shape: tuple[int, ...] = ()
        self._container: Any = None
        self._stream: Any = None

    def add(self, frame: np.ndarray) -> None:
        """Encode one (height, width, 3) uint8 frame; all frames of a video have the same shape.

        Raises:
            ValueError: it is not such an image, or its shape differs from the first frame's.
        """
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape[2:] != (3,):
            got = f"{frame.dtype}{frame.shape}" if isinstance(frame, np.ndarray) else type(frame)
            raise ValueError(f"{self.path}: a frame is a uint8 (height, width, 3) array, got {got}")
        if self._container is None:
            with _naming(self.path):
                self._open(frame.shape)
        if frame.shape != self._shape:
            raise ValueError(
                f"{self.path}: frame {self.frames} has shape {frame.shape}, the first {self._shape}"
            )
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(_enlarge(frame)), format="rgb24")
        with _naming(self.path):
            self._container.mux(self._stream.encode(picture.reformat(format="yuv420p")))
        self.frames += 1

    def close(self) -> None:
        """Finish the file and give it its name. A second call does nothing.

        Raises:
            ValueError: no frame was added; no file is written.
        """
        if self._container is None:
            if not self.frames:
                raise ValueError(f"{self.path}: a video needs at least one frame")
            return
        try:
            with _naming(self.path):
                self._container.mux(self._stream.encode(None))
                self._release()
                with open(self._part, "rb") as written:
                    os.fsync(written.fileno())
                os.replace(self._part, self.path)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Drop an unfinished file; a finished one stays."""
        try:
            self._release()
        finally:
            with contextlib.suppress(NotADirectoryError):  # it never came to be
                self._part.unlink(missing_ok=True)

    def _open(self, shape: tuple[int, ...]) -> None:
        encoder = next(name for name in _ENCODERS if name in codecs_available)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._shape = shape
        self._container = av.open(
            str(self._part), "w", format="mp4", options={"movflags": "+faststart"}
        )
        self._stream = self._container.add_stream(
            encoder,
            rate=Fraction(self.fps).limit_denominator(1000),
            options=dict(_ENCODERS[encoder]),
        )
        self._stream.height, self._stream.width = _enlarged_sides(*shape[:2])
        self._stream.pix_fmt = "yuv420p"

    def _release(self) -> None:
        container, self._container, self._stream = self._container, None, None
        if container is not None:
            container.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        error: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    # The encoder's own errors name the part file at best.
    try:
        yield
    except OSError as e:
        raise OSError(e.errno, e.strerror, str(path)) from e


class VideoObserver:
    """Record episodes of a rollout from `env.render()` (render_mode="rgb_array").

    `path` may hold the fields {episode} (0, 1, ...) and {seed}: one file per episode. Without a
    field only the first episode is recorded. `draw` turns each frame into the picture to keep, e.g.
    an `overlay.OverlayPainter`. As a context manager it discards an episode that an exception cut
    short. `paths` are the finished files.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: float | None = None,
        episodes: int | None = None,
        draw: Draw | None = None,
    ):
        self.template = os.fspath(path)
        self.fps, self.draw = fps, draw
        one_file = self.template.format(episode=0, seed=0) == self.template
        self.episodes = 1 if one_file else episodes
        self.paths: list[Path] = []
        self._seen = 0
        self._writer: VideoWriter | None = None
        self._stills = _EvenSample(_STILLS_KEPT)

    def on_reset(self, env: gymnasium.Env, obs: Any, info: dict[str, Any], seed: int) -> None:
        """Start the episode's file with its first frame."""
        self._discard()
        episode, self._seen = self._seen, self._seen + 1
        if self.episodes is not None and episode >= self.episodes:
            return
        fps = self.fps or env.metadata.get("render_fps") or DEFAULT_FPS
        self._writer = VideoWriter(self.template.format(episode=episode, seed=seed), fps)
        self._stills = _EvenSample(_STILLS_KEPT)
        self._add(env, obs)

    def on_step(
        self,
        env: gymnasium.Env,
        action: Any,
        obs: Any,
        reward: float,
        terminated: bool,
        truncated: bool,
        info: dict[str, Any],
    ) -> None:
        """Add the frame after the step."""
        self._add(env, obs)

    def on_episode_end(self, result: EpisodeResult) -> None:
        """Give the finished file its name."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()
            self.paths.append(writer.path)

    def stills(self, count: int) -> list[np.ndarray]:
        """Evenly spaced frames of the last recorded episode, its first and last among them."""
        kept = self._stills.items
        chosen = np.linspace(0, len(kept) - 1, min(count, len(kept))).round().astype(int)
        return [kept[i] for i in chosen]

    def _add(self, env: gymnasium.Env, obs: Any) -> None:
        if self._writer is None:
            return
        # Gymnasium also allows strings and lists here; the writer refuses what is not an image.
        frame: Any = env.render()
        if frame is None:
            raise ValueError(
                f"{self._writer.path}: render() returned nothing; make the environment with "
                'render_mode="rgb_array"'
            )
        if self.draw is not None:
            frame = self.draw(env, obs, frame)
        self._writer.add(frame)
        self._stills.add(frame)

    def _discard(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.discard()

    def __enter__(self) -> VideoObserver:
        return self

    def __exit__(self, *error: object) -> None:
        self._discard()


class _EvenSample:
    """At most `capacity` evenly spaced frames of a stream of unknown length, and its last one."""

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._kept: list[np.ndarray] = []
        self._last = np.empty(0)
        self._count = 0
        self._stride = 1

    def add(self, item: np.ndarray) -> None:
        self._last = item
        if self._count % self._stride == 0:
            self._kept.append(item.copy())
            if len(self._kept) > self._capacity:
                # Half the density over the whole stream costs less than knowing its length.
                self._kept = self._kept[::2]
                self._stride *= 2
        self._count += 1

    @property
    def items(self) -> list[np.ndarray]:
        on_grid = (self._count - 1) % self._stride == 0
        return self._kept if on_grid else [*self._kept, self._last]


def contact_sheet(
    rows: Mapping[str, Sequence[np.ndarray]], path: str | os.PathLike[str], *, height: int = 180
) -> Path:
    """Write a PNG with one row of frames per caption, each frame `height` pixels high.

    Raises:
        ValueError: there is no row, or a row has no frames.
    """
    if not rows or not all(len(frames) for frames in rows.values()):
        raise ValueError(f"{path}: a contact sheet needs at least one frame in each row")
    strips = {
        caption: [resize_image(frame, _fit(frame, height)) for frame in frames]
        for caption, frames in rows.items()
    }
    font = ImageFont.load_default(size=14)
    widths = [sum(frame.shape[1] + _MARGIN for frame in strip) for strip in strips.values()]
    widths += [math.ceil(font.getlength(caption)) + _MARGIN for caption in strips]
    row_height = _CAPTION + height + _MARGIN
    size = (max(widths) + _MARGIN, row_height * len(strips) + _MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for row, (caption, strip) in enumerate(strips.items()):
        left, top = _MARGIN, _MARGIN + row * row_height
        draw.text((left, top), caption, fill="black", font=font)
        for frame in strip:
            sheet.paste(Image.fromarray(frame), (left, top + _CAPTION))
            left += frame.shape[1] + _MARGIN
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        sheet.save(part, format="PNG", optimize=True)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _fit(frame: np.ndarray, height: int) -> tuple[int, int]:
    return height, max(1, round(frame.shape[1] * height / frame.shape[0]))


def _factor(height: int) -> int:
    # From 360 rows on, a further whole factor makes files larger without showing more.
    return -(-MIN_HEIGHT // height) if height < MIN_HEIGHT * 3 // 4 else 1


def _enlarged_sides(height: int, width: int) -> tuple[int, int]:
    factor = _factor(height)
    # yuv420p halves both sides: they must be even.
    return factor * height + factor * height % 2, factor * width + factor * width % 2


def _enlarge(frame: np.ndarray) -> np.ndarray:
    height, width = _enlarged_sides(*frame.shape[:2])
    factor = _factor(frame.shape[0])
    if factor > 1:
        frame = frame.repeat(factor, axis=0).repeat(factor, axis=1)
    missing = (height - frame.shape[0], width - frame.shape[1])
    return np.pad(frame, (*((0, m) for m in missing), (0, 0)), "edge") if any(missing) else frame
