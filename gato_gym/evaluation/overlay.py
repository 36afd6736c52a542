"""An agent's explanation as a picture: what it looks at, what it looks back to, what it will do.

+--------------------------------+-------------+
| frame or observed images under | next action |
| a heat map; bars for numbers   |             |
+--------------------------------+-------------+
| attention to each visible step, oldest first |
+----------------------------------------------+
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from gato_gym.envs.images import resize_image
from gato_gym.evaluation import charts
from gato_gym.evaluation.action_chart import action_height, draw_action
from gato_gym.evaluation.charts import LINE, SMALL, Box, Canvas

if TYPE_CHECKING:
    from gato_gym.agents.explanation import Explanation

SMALLEST = (640, 360)
_MARGIN, _STRIP = 16, 104
_CHART = 110  # pixels that a chart of bars with its labels needs at least
_STEP = 72.0  # widest bar of a step

# Mean distance of pixels up to which a frame shows what an image does: emulators draw a frame that
# differs from the observation by a sprite that blinks, another camera differs by far more.
_SAME_VIEW = 16.0


def draw_overlay(
    explanation: Explanation,
    frame: np.ndarray | None = None,
    *,
    size: tuple[int, int] = (960, 540),
    names: Sequence[Sequence[str]] | None = None,
) -> np.ndarray:
    """Draw what an agent looks at and what it will do.

    Attention is the mean of all blocks, heads and action numbers. A heat map is scaled to its
    brightest patch, but stays faint where attention is even.

    Args:
        explanation: of one observation.
        frame: (height, width, 3) uint8, what the environment renders now. Where it shows the only
            observed image the heat map lies over it, else it stands beside the observed images.
        size: (width, height) of the picture, both even, at least 640 x 360.
        names: of the values of each discrete action number, see `action_names`.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ValueError: the size is too small or odd, or the frame is no such image.
    """
    if size[0] < SMALLEST[0] or size[1] < SMALLEST[1] or size[0] % 2 or size[1] % 2:
        raise ValueError(f"size must be even and at least {SMALLEST}, got {size}")
    if frame is not None and not (
        frame.dtype == np.uint8 and frame.shape[2:] == (3,) and frame.size
    ):
        raise ValueError(
            f"a frame is a uint8 (height, width, 3) array, got {frame.dtype}{frame.shape}"
        )
    canvas = Canvas(size)
    width, height = size
    side = width - _MARGIN - min(max(width * 3 // 10, 220), 320)
    floor = height - _MARGIN - _STRIP
    body: Box = (_MARGIN, _MARGIN, side - _MARGIN, floor - 10)
    beside: Box = (side, _MARGIN, width - _MARGIN, floor - 10)
    items = explanation.by_item()
    pictures = _pictures(explanation, frame, items)
    for key in explanation.images:
        items.pop(key, None)
    if items and pictures and not explanation.images:
        # Where the action takes little room the charts go under it, and the frame gets all theirs.
        share = (action_height(explanation) + 8) / (beside[3] - beside[1])
        if (1 - share) * (beside[3] - beside[1]) >= _CHART * len(items):
            beside, rest = _split(beside, share, upright=True)
        else:
            body, rest = _split(body, 0.62)
    elif items and not pictures:
        rest = body
    used = _draw_pictures(canvas, body, pictures)
    if items:
        if explanation.images:  # under the pictures where they leave room, else under the action
            rest = (body[0], used + 14, body[2], body[3])
            if rest[3] - rest[1] < _CHART:
                beside, rest = _split(beside, 0.6, upright=True)
        _draw_items(canvas, rest, explanation, items)
    draw_action(canvas, beside, explanation, names)
    _draw_steps(canvas, (_MARGIN, floor, width - _MARGIN, height - _MARGIN), explanation)
    return canvas.array()


def action_names(env: gymnasium.Env) -> list[list[str]] | None:
    """What the values of a discrete action are called, where the environment says it."""
    inner: Any = env.unwrapped
    if hasattr(inner, "get_action_meanings"):  # Atari
        return [list(inner.get_action_meanings())]
    actions = getattr(inner, "actions", None)
    if isinstance(actions, type) and issubclass(actions, enum.Enum):  # MiniGrid
        return [[action.name for action in actions]]
    return None


class OverlayPainter:
    """Draws what an agent thinks of an observation into its frame; for `VideoObserver(draw=...)`.

    Args:
        explain: `GatoAgent.explain` of the agent that plays.
        size: (width, height) of the pictures.
    """

    def __init__(
        self, explain: Callable[[Any], Explanation], size: tuple[int, int] = (960, 540)
    ) -> None:
        self._explain, self._size = explain, size

    def __call__(self, env: gymnasium.Env, obs: Any, frame: np.ndarray) -> np.ndarray:
        """The picture of one frame."""
        names = action_names(env)
        return draw_overlay(self._explain(obs), frame, size=self._size, names=names)


def _split(box: Box, share: float, upright: bool = False) -> tuple[Box, Box]:
    left, top, right, bottom = box
    if upright:
        middle = top + (bottom - top) * share
        return (left, top, right, middle - 8), (left, middle + 8, right, bottom)
    middle = left + (right - left) * share
    return (left, top, middle - 10, bottom), (middle + 10, top, right, bottom)


Picture = tuple[str, np.ndarray, np.ndarray | None]
"""Caption, image, heights of the heat map in [0, 1]."""


def _pictures(
    explanation: Explanation, frame: np.ndarray | None, items: dict[str, np.ndarray]
) -> list[Picture]:
    seen = [(key, explanation.seen[key], items[key]) for key in explanation.images if key in items]
    # Even attention is a quarter of the scale: it does not look like a decision.
    scale = max((max(m.max(), 4 * m.mean()) for _, _, m in seen), default=1.0) or 1.0
    if len(seen) == 1 and frame is not None and _shows(frame, seen[0][1]):
        seen, frame = [(seen[0][0], frame, seen[0][2])], None
    found: list[Picture] = [] if frame is None else [("rendered", frame, None)]
    for key, image, attention in seen:
        found.append((f"{key}  {attention.sum():.0%} of attention", image, attention / scale))
    return found


def _shows(frame: np.ndarray, image: np.ndarray) -> bool:
    if frame.shape[0] < image.shape[0] or frame.shape[1] < image.shape[1]:
        return False
    small = resize_image(frame, (image.shape[0], image.shape[1]))
    return float(np.abs(small.astype(np.int16) - image).mean()) <= _SAME_VIEW


def _draw_pictures(canvas: Canvas, box: Box, pictures: Sequence[Picture]) -> float:
    """Returns where the lowest one ends."""
    left, top, right, bottom = box
    if not pictures:
        return top
    # The arrangement that shows most pixels.
    shapes = [image.shape if heights is None else heights.shape for _, image, heights in pictures]
    best = max(
        range(1, len(pictures) + 1),
        key=lambda columns: _scale(shapes, columns, right - left, bottom - top),
    )
    rows = -(-len(pictures) // best)
    wide, high, end = (right - left) / best, (bottom - top) / rows, top
    for number, (caption, image, heights) in enumerate(pictures):
        row, column = divmod(number, best)
        x, y = left + column * wide, top + row * high
        cell = (x, y + LINE + 4, x + wide - 10 * (best > 1), y + high - 10 * (row < rows - 1))
        # Under a heat map the proportions are those of the patches: what the agent sees is square.
        ratio = None if heights is None else heights.shape[1] / heights.shape[0]
        picture, place = charts.fit(image, cell, ratio)
        if heights is not None:
            picture = charts.heat_over(picture, heights)
        canvas.paste(picture, place)
        where = (place[0], place[1] - LINE / 2 - 4)
        if charts.width(caption) > picture.width:
            caption = caption.removesuffix(" of attention")
        canvas.text(where, charts.shorten(caption, picture.width), charts.BRIGHT)
        end = max(end, place[1] + picture.height)
    return end


def _scale(shapes: Sequence[tuple[int, ...]], columns: int, wide: float, high: float) -> float:
    rows = -(-len(shapes) // columns)
    room = wide / columns - 10, high / rows - LINE - 14
    return sum(w * h * min(room[0] / w, room[1] / h) ** 2 for h, w, *_ in shapes)


def _draw_items(
    canvas: Canvas, box: Box, explanation: Explanation, items: dict[str, np.ndarray]
) -> None:
    """Attention to what is no image: one chart per key, or one line where there are many."""
    left, top, right, bottom = box
    high = (bottom - top) / len(items)
    total = sum(float(values.sum()) for values in items.values())
    if high < 64:
        box = canvas.title(box, "observation", f"{total:.0%} of attention")
        _draw_shares(canvas, box, {key: float(values.sum()) for key, values in items.items()})
        return
    high = min(high, 250.0)
    most = max(float(values.max()) for values in items.values()) or 1.0
    for number, (key, values) in enumerate(items.items()):
        y = top + number * high
        note = f"{values.sum():.0%} of attention"
        cell = canvas.title((left, y, right, y + high - 10), key, note)
        seen = explanation.seen[key]
        if seen.dtype.kind == "U":
            _draw_words(canvas, cell, seen, values / most)
        elif values.ndim > 1 and values.shape[0] > 1:
            canvas.grid(cell, values.reshape(len(values), -1) / most)
        else:
            _draw_numbers(canvas, cell, seen.ravel(), values.ravel() / most)


def _draw_shares(canvas: Canvas, box: Box, shares: dict[str, float]) -> None:
    left, top, right, bottom = box
    count = max(1, int((bottom - top) // 15))
    kept = sorted(sorted(shares, key=lambda key: -shares[key])[:count], key=list(shares).index)
    high = min(LINE + 2.0, (bottom - top) / len(kept))
    most = max(shares.values()) or 1.0
    colors = dict(zip(kept, charts.shades(np.array([shares[k] / most for k in kept])), strict=True))
    label_room = min(max(charts.width(key, SMALL) for key in kept) + 10.0, (right - left) * 0.55)
    for number, key in enumerate(kept):
        y = top + number * high
        row = (left, y, right, y + high)
        canvas.row(row, key, shares[key] / most, f"{shares[key]:.0%}", colors[key], label_room)


def _draw_numbers(canvas: Canvas, box: Box, seen: np.ndarray, heights: np.ndarray) -> None:
    left, top, right, bottom = box
    step = (right - left) / len(heights)
    labels = [str(index) for index in range(len(heights))]
    lines = [(labels, charts.DIM)] if max(charts.width(t, SMALL) for t in labels) < step else []
    values = [charts.number(value) for value in seen.tolist()]
    if lines and max(charts.width(text, SMALL) for text in values) + 4 < step:
        lines.append((values, charts.FAINT))
    floor = bottom - 14 * len(lines)
    canvas.rectangle((left, floor, right, floor + 1), charts.FAINT)
    canvas.columns((left, top, right, floor), heights, charts.shades(heights))
    for line, (texts, color) in enumerate(lines):
        for index, text in enumerate(texts):
            x = left + (index + 0.5) * step
            canvas.text((x, floor + 8 + 14 * line), text, color, SMALL, "mm")


def _draw_words(canvas: Canvas, box: Box, pieces: np.ndarray, heights: np.ndarray) -> None:
    """Text on a ground of the heat's colours, broken between pieces."""
    left, top, right, bottom = box
    x, y = left, top
    grounds = charts.heat(0.08 + 0.8 * heights).tolist()
    for piece, height, ground in zip(pieces.tolist(), heights.tolist(), grounds, strict=True):
        wide = charts.width(piece)
        if x + wide > right and x > left:
            x, y = left, y + LINE + 3
            piece = piece.lstrip()
            wide = charts.width(piece)
        if y + LINE > bottom:
            return
        canvas.rectangle((x, y, x + wide, y + LINE), tuple(ground))
        canvas.text((x, y + LINE / 2), piece, charts.GROUND if height > 0.6 else charts.BRIGHT)
        x += wide


def _draw_steps(canvas: Canvas, box: Box, explanation: Explanation) -> None:
    """Attention to each visible step, the oldest at the left."""
    shares = explanation.by_step()[::-1]
    prompt = explanation.prompt_steps
    now, episode = float(shares[-1]), float(shares[prompt:-1].sum())
    told = [f"now {now:.0%}", f"{_steps(len(shares) - prompt - 1)} before {episode:.0%}"]
    if prompt:
        told.append(f"{_steps(prompt)} of the prompt {shares[:prompt].sum():.0%}")
    left, top, right, bottom = canvas.title(box, "attention to steps", "    ".join(told))
    floor, step = bottom - 16, min((right - left) / len(shares), _STEP)
    left = right - step * len(shares)
    split = left + prompt * step
    if prompt:
        canvas.rectangle((left, top, split, floor), charts.SUNKEN)
    heights = shares / shares.max()
    canvas.rectangle((left, floor, right, floor + 1), charts.FAINT)
    canvas.columns((left, top, right, floor), heights, charts.shades(heights))
    y = floor + 9
    if prompt and charts.width("prompt", SMALL) <= split - left:
        canvas.text(((left + split) / 2, y), "prompt", charts.DIM, SMALL, "mm")
    half = charts.width("now", SMALL) / 2
    middle = min(right - step / 2, right - half)
    canvas.text((middle, y), "now", charts.DIM, SMALL, "mm")
    free = middle - half - 8
    for age in _ages(len(shares) - prompt, step):
        x, text = right - (age + 0.5) * step, f"\u2212{age}"
        half = charts.width(text, SMALL) / 2
        if x + half < free and x - half > split:
            canvas.text((x, y), text, charts.DIM, SMALL, "mm")


def _steps(count: int) -> str:
    return f"{count} step{'' if count == 1 else 's'}"


def _ages(steps: int, room: float) -> range:
    """Multiples of a round number that leave their labels room."""
    every = next(n for n in (1, 2, 5, 10, 20, 50, 100, 1000) if n * room >= 34)
    return range(every, steps, every)
