"""Pictures of decisions: size, heat where attention is, whose image is whose, and bad sizes."""

import gymnasium
import numpy as np
import pytest

from gato_gym import envs
from gato_gym.agents.explanation import ActionNumber, Explanation, Tokens
from gato_gym.evaluation.charts import CHOSEN, GROUND, shorten, width
from gato_gym.evaluation.overlay import SMALLEST, OverlayPainter, action_names, draw_overlay
from gato_gym.tokenizers import continuous
from gato_gym.types import ActionSpec, ObservationSpec, TaskSpec

IMAGE = ObservationSpec("image", "image", (64, 80, 3))
TWO = (
    ObservationSpec("left", "image", (64, 64, 3)),
    ObservationSpec("right", "image", (64, 64, 3)),
    ObservationSpec("arm", "continuous", (8,)),
)
WORDS = ("go", " to", " the", " red", " box")
GRID = (
    ObservationSpec("grid", "discrete", (7, 7, 3)),
    ObservationSpec("mission", "text", ()),
    ObservationSpec("way", "discrete", ()),
)
STATE = tuple(ObservationSpec(f"part{i}", "continuous", (3,)) for i in range(9))
ONE = ActionSpec("discrete", 1, (18,))
GREY = 100


def explanation(observations, action=ONE, steps=5, looks=(), pixels=None) -> Explanation:
    """Random distributions; all attention on `looks` = (key, index) pairs of now, else even."""
    rng = np.random.default_rng(0)
    observed = []
    for item in sorted(observations, key=lambda item: item.key):
        count = int(np.prod(item.shape)) // (768 if item.kind == "image" else 1)
        count = len(WORDS) if item.kind == "text" else count
        observed += [(item.kind, item.key, index) for index in range(count)]
    observed.append(("separator", "", 0))
    acted = [("action", "", index) for index in range(action.size)]
    names = (observed + acted) * (steps - 1) + observed
    kind, key, index = (np.array(part) for part in zip(*names, strict=True))
    step = len(observed) + len(acted)
    age = np.repeat(np.arange(steps)[::-1], step)[: len(names)]
    now = [
        names[-len(observed) :].index((k, *rest))
        for k, *rest in ((*_kind(observations, one),) for one in looks)
    ]
    weights = np.full((action.size, 1, 1, len(names)), 0 if looks else 1 / len(names), np.float32)
    weights[..., [len(names) - len(observed) + place for place in now]] = 1 / max(len(now), 1)
    seen = {}
    for item in observations:
        if item.kind == "image":
            seen[item.key] = np.full(item.shape, GREY, np.uint8)
        elif item.kind == "text":
            seen[item.key] = np.array(WORDS)
        else:
            dtype = np.float32 if item.kind == "continuous" else np.int64
            seen[item.key] = rng.integers(0, 5, item.shape).astype(dtype)
    values = [np.arange(n) for n in action.n]
    if action.kind == "continuous":
        values = [continuous.from_bins(np.arange(1024))] * action.size
    none = np.full(len(names), -1)
    return Explanation(
        TaskSpec("test/Drawn-v0", "test", "test", tuple(observations), action),
        0,
        tuple(
            ActionNumber(one, shares := rng.dirichlet(np.full(len(one), 0.1)), one[shares.argmax()])
            for one in values
        ),
        weights,
        Tokens(age, age > 3, kind, key, index, none, none),
        seen | (pixels or {}),
    )


def _kind(observations, look):
    key, index = look
    return next(item.kind for item in observations if item.key == key), key, index


def heat(picture: np.ndarray, box: tuple[float, float, float, float]) -> float:
    """How much redder than blue a part is: the heat's colours are, the grey ones are not."""
    left, top, right, bottom = (round(side) for side in box)
    part = picture[top:bottom, left:right].astype(float)
    return float((part[..., 0] - part[..., 2]).mean())


def found(picture: np.ndarray, color) -> np.ndarray:
    """(height, width) bool, where the picture has exactly this colour."""
    return (picture == np.array(color)).all(-1)


TASKS = {
    "image": ((IMAGE,), ONE),
    "two images": (TWO, ActionSpec("continuous", 5)),
    "state": (STATE[:1], ActionSpec("discrete", 1, (2,))),
    "much state": (STATE, ActionSpec("continuous", 30)),
    "text": (GRID, ActionSpec("discrete", 1, (7,))),
    "several numbers": (STATE[:2], ActionSpec("discrete", 3, (2, 3, 40))),
    "many numbers": (STATE[:2], ActionSpec("discrete", 30, (4,) * 30)),
    "many values": (STATE[:1], ActionSpec("discrete", 1, (1000,))),
}


@pytest.mark.parametrize("size", [SMALLEST, (960, 540), (1280, 400)])
@pytest.mark.parametrize(("observations", "action"), TASKS.values(), ids=TASKS)
def test_every_kind_of_task_fills_a_picture_of_the_asked_size(observations, action, size):
    one = explanation(observations, action)
    frames = [None, np.zeros((400, 600, 3), np.uint8), np.zeros((30, 900, 3), np.uint8)]
    for frame in [*frames, np.zeros((500, 1, 3), np.uint8)]:
        picture = draw_overlay(one, frame, size=size)
        assert picture.shape == (size[1], size[0], 3) and picture.dtype == np.uint8
        # The margins stay free: nothing is drawn beyond its box.
        edge = np.ones(picture.shape[:2], bool)
        edge[10:-4, 14:-14] = False
        assert (picture[edge] == GROUND).all()
        assert found(picture, CHOSEN).any()  # what it will do


@pytest.mark.parametrize("patch", [0, 7, 19])
@pytest.mark.parametrize("high", [None, 64, 210])
def test_the_picture_glows_where_the_attention_is(patch, high):
    """Also where the frame has other proportions than what the agent sees."""
    frame = None if high is None else np.full((high, 160, 3), GREY, np.uint8)
    one = explanation((IMAGE,), looks=[("image", patch)])
    picture = draw_overlay(one, frame)
    box = _drawn(picture)
    wide, tall = (box[2] - box[0]) / 5, (box[3] - box[1]) / 4
    assert wide == pytest.approx(tall, rel=0.02)  # the patches are square
    glow = np.empty((4, 5))
    for row in range(4):
        for column in range(5):
            x, y = box[0] + column * wide, box[1] + row * tall
            glow[row, column] = heat(picture, (x + 3, y + 3, x + wide - 3, y + tall - 3))
    assert glow.argmax() == patch
    rest = np.delete(glow.ravel(), patch)
    assert glow.max() > 3 * rest.max() and np.median(rest) == 0


def _drawn(picture: np.ndarray) -> tuple[int, int, int, int]:
    """Where the one grey picture lies under its heat: neither ground nor text, in the left part."""
    region = ~found(picture, GROUND)[:414, :640]
    rows = np.flatnonzero(region.mean(axis=1) > 0.5)
    columns = np.flatnonzero(region[rows[0] : rows[-1]].mean(axis=0) > 0.9)
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def test_each_image_has_its_own_heat_and_its_own_pixels():
    red, green = np.zeros((2, 64, 64, 3), np.uint8)
    red[..., 0] = green[..., 1] = 200
    pixels = {"left": green, "right": red}
    pictures = {
        key: draw_overlay(explanation(TWO, looks=[(key, 5)], pixels=pixels)).astype(int)
        for key in ("left", "right")
    }
    changed = np.abs(pictures["left"] - pictures["right"]).max(-1)[40:330] > 30
    columns = np.flatnonzero(changed.any(axis=0))
    middle = 16 + (640 - 16) // 2
    assert columns.min() < middle - 100 and columns.max() > middle + 100
    for key, picture in pictures.items():
        left, right = picture[40:300, 16:middle], picture[40:300, middle:630]
        assert left[..., 1].mean() > 2 * right[..., 1].mean()  # green is at the left
        bright = {"left": left, "right": right}
        faint = pictures["right" if key == "left" else "left"]
        same = faint[40:300, 16:middle] if key == "left" else faint[40:300, middle:630]
        assert bright[key].sum() > same.sum()  # it glows where this key is looked at


def test_a_frame_of_the_same_view_takes_the_heat_and_another_camera_stands_beside():
    pixels = np.random.default_rng(1).integers(0, 256, IMAGE.shape, dtype=np.uint8)
    one = explanation((IMAGE,), looks=[("image", 7)], pixels={"image": pixels})
    alike = draw_overlay(one, pixels.repeat(4, axis=0).repeat(4, axis=1))
    other = draw_overlay(one, np.full((400, 600, 3), (0, 0, 255), np.uint8))
    assert not found(alike, (0, 0, 255)).any()
    blue = found(other, (0, 0, 255))
    rows, columns = np.flatnonzero(blue.any(1)), np.flatnonzero(blue.any(0))
    assert blue[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()  # no heat over it
    assert len(columns) / len(rows) == pytest.approx(1.5, rel=0.02)  # its own proportions
    smaller = draw_overlay(one, pixels[::2, ::2])  # shows less than the agent sees: beside it
    assert not np.array_equal(smaller, draw_overlay(one))


def test_bars_show_which_number_is_looked_at():
    state = (ObservationSpec("state", "continuous", (4,)),)
    for index in range(4):
        picture = draw_overlay(explanation(state, looks=[("state", index)]))
        part = picture[40:300, 16:624].astype(int)
        lit = (part.sum(-1) > 400).mean(axis=0).reshape(4, -1).mean(axis=1)
        assert lit.argmax() == index and lit[index] > 0.5
        assert np.delete(lit, index).max() < 0.05


def test_the_newest_step_is_at_the_right():
    low = found(draw_overlay(explanation((IMAGE,), looks=[("image", 0)])), GROUND)[450:505]
    columns = np.flatnonzero(~low.all(axis=0))
    assert (~low[10:-5, 900]).all() and columns.max() > 930
    assert low[:, 670:860].all()  # farther left stands the prompt's step, on its own ground


def test_names_of_actions_come_from_the_environment_and_replace_numbers():
    atari = envs.make("ALE/Boxing-v5")
    names = action_names(atari)
    assert names[0][:3] == ["NOOP", "FIRE", "UP"] and len(names[0]) == 18
    atari.close()
    grid = envs.make("BabyAI-GoToLocal-v0")
    assert action_names(grid)[0][:3] == ["left", "right", "forward"]
    cart = envs.make("CartPole-v1")
    assert action_names(cart) is None
    one = explanation((IMAGE,))
    bare = draw_overlay(one)
    assert not np.array_equal(one.overlay(names=names), bare)
    for few in ([], [["left"]]):  # names that are not those of all values are not used
        np.testing.assert_array_equal(draw_overlay(one, names=few), bare)
    painter = OverlayPainter(lambda obs: one, size=(800, 450))
    assert painter(cart, None, np.zeros((40, 60, 3), np.uint8)).shape == (450, 800, 3)
    named = OverlayPainter(lambda obs: one)(_Named(), None, np.zeros((40, 60, 3), np.uint8))
    expected = draw_overlay(one, np.zeros((40, 60, 3), np.uint8), names=names)
    np.testing.assert_array_equal(named, expected)


class _Named(gymnasium.Env):
    def get_action_meanings(self):
        return action_names(envs.make("ALE/Boxing-v5"))[0]


@pytest.mark.parametrize("size", [(0, 0), (-960, -540), (638, 360), (640, 358), (961, 540)])
def test_an_absurd_size_is_refused(size):
    with pytest.raises(ValueError, match=r"even and at least \(640, 360\), got \("):
        draw_overlay(explanation((IMAGE,)), size=size)


@pytest.mark.parametrize(
    "frame",
    [np.zeros((10, 10), np.uint8), np.zeros((10, 10, 4), np.uint8), np.zeros((10, 10, 3))],
)
def test_what_is_no_frame_is_refused(frame):
    with pytest.raises(ValueError, match=r"a frame is a uint8 \(height, width, 3\) array, got"):
        draw_overlay(explanation((IMAGE,)), frame)


def test_an_empty_frame_is_refused():
    with pytest.raises(ValueError, match=r"got uint8\(0, 10, 3\)"):
        draw_overlay(explanation((IMAGE,)), np.zeros((0, 10, 3), np.uint8))


def test_long_texts_are_shortened_in_their_middle():
    text = "a long name of an observation"
    short = shorten(text, 90)
    assert short.startswith("a l") and short.endswith("ion") and "\u2026" in short
    assert width(short) <= 90 and shorten(text, 1000) == text and shorten(text, 3) == ""
