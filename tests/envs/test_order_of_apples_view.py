"""The picture: checked against a slow ray march, and by what must be where."""

from dataclasses import replace

import numpy as np
import pytest

from gato_gym.envs.order_of_apples.env import OrderOfApplesEnv
from gato_gym.envs.order_of_apples.sprites import EXTENT, sprite
from gato_gym.envs.order_of_apples.textures import LEVELS, TEXTURES, atlas
from gato_gym.envs.order_of_apples.view import FIELD_OF_VIEW, Tables, first_person_view
from gato_gym.envs.order_of_apples.world import GREEN, HEADINGS, SIDE, generate


@pytest.fixture(scope="module")
def world():
    return generate(np.random.default_rng(4))


def march(world, position, angle):
    """Distance to the first wall along a ray, to a thousandth."""
    step = np.array([np.cos(angle), np.sin(angle)]) * 0.001
    points = np.array(position) + step * np.arange(1, 25_000)[:, None]
    cells = np.clip(points.astype(int), 0, SIDE - 1)
    return 0.001 * (1 + int(np.argmax(world.walls[cells[:, 0], cells[:, 1]])))


@pytest.mark.parametrize("heading", [0, 1, 5, 6, 11, 18, 23])
def test_depth_is_that_of_a_slow_march(world, heading):
    view = first_person_view(32, 48)
    position = (world.start[0] + 0.13, world.start[1] - 0.21)
    depth, _ = view._walls(Tables(world), position, heading)
    across = (np.arange(48) + 0.5 - 24) / view.focal
    for column in range(0, 48, 5):
        angle = 2 * np.pi * heading / HEADINGS - np.arctan(across[column])
        away = march(world, position, angle) / np.hypot(1, across[column])
        assert depth[column] == pytest.approx(away, abs=0.004)


def test_the_field_of_view_is_that_of_the_focal_length():
    view = first_person_view(32, 48)
    assert 2 * np.arctan(24 / view.focal) == pytest.approx(FIELD_OF_VIEW)


def empty_hall():
    """A world whose only walls are its border."""
    walls = np.ones((SIDE, SIDE), bool)
    walls[1:-1, 1:-1] = False
    return replace(generate(np.random.default_rng(0)), walls=walls)


def greenness(picture):
    pixels = picture.astype(int)
    return (pixels[..., 1] - np.maximum(pixels[..., 0], pixels[..., 2])) > 40


@pytest.mark.parametrize(("aside", "columns"), [(0.0, (30, 50)), (1.5, (0, 38)), (-1.5, (42, 80))])
def test_an_apple_is_where_it_stands(aside, columns):
    """Ahead, to the left (positive y while looking along x) and to the right."""
    view, tables = first_person_view(64, 80), Tables(empty_hall())
    apple = np.array([[10.0, 7.5 + aside]])
    args = (tables, (7.5, 7.5), 0)
    seen = greenness(view.draw(*args, apple, np.array([0]), "day"))
    assert 20 < seen.sum() < 600
    found = np.flatnonzero(seen.any(0))
    assert columns[0] <= found.min()
    assert found.max() < columns[1]
    assert not greenness(view.draw(*args, apple[:0], np.array([], int), "day")).any()
    behind = view.draw(tables, (7.5, 7.5), HEADINGS // 2, apple, np.array([0]), "day")
    assert not greenness(behind).any()


def test_gold_is_gold_and_nearer_apples_hide_farther_ones():
    view, tables = first_person_view(64, 80), Tables(empty_hall())
    apples = np.array([[9.0, 7.5], [10.0, 7.5]])
    picture = view.draw(tables, (7.5, 7.5), 0, apples, np.array([GREEN, 0]), "day")
    red, green, blue = picture[36, 40].astype(int)
    assert red > green > blue + 60
    # In the order of their distance, whatever their order in the list.
    swapped = view.draw(tables, (7.5, 7.5), 0, apples[::-1], np.array([0, GREEN]), "day")
    np.testing.assert_array_equal(picture, swapped)


def test_a_wall_hides_an_apple():
    world = empty_hall()
    view = first_person_view(64, 80)
    apple = (np.array([[10.0, 7.5]]), np.array([0]))
    world.walls[8, 6:9] = True
    assert not greenness(view.draw(Tables(world), (6.5, 7.5), 0, *apple, "day")).any()


def test_the_view_turns_left_with_the_heading():
    """What is right of the middle moves further right when one turns left."""
    view, tables = first_person_view(64, 80), Tables(empty_hall())
    apple = (np.array([[10.0, 7.0]]), np.array([0]))

    def middle(heading):
        return np.flatnonzero(
            greenness(view.draw(tables, (7.5, 7.5), heading, *apple, "day")).any(0)
        ).mean()

    assert middle(1) > middle(0) + 8


@pytest.mark.parametrize("side", [2, 5, 33, 200])
@pytest.mark.parametrize("mood", ["day", "dusk"])
def test_sprites_never_overflow(side, mood):
    colour, rest = sprite("gold", side, 3, mood)
    assert colour.shape == (side, side, 3)
    assert (colour + (255 * rest >> 8)).max() <= 255


def test_far_surfaces_fade_and_lose_contrast():
    texels = atlas(32, 47.0, "day").view(np.uint8).reshape(LEVELS, TEXTURES, -1, 4)[..., :3]
    contrast = texels.astype(float).std(2).mean((1, 2))
    assert contrast[0] > 3 * contrast[-1] > 0


def test_frames_show_the_map_and_what_was_taken():
    env = OrderOfApplesEnv(render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    assert before.shape == (240, 320, 3)
    plain = first_person_view(240, 320).draw(*env._scene())
    assert (before[6:80, 240:314] != plain[6:80, 240:314]).any(-1).mean() > 0.9
    env.left.remove(0)
    env._spoiled = 0
    after = env.render()
    shelf = np.s_[215:235, 20:300]
    assert after[shelf].astype(int).sum() > before[shelf].astype(int).sum()


def test_small_frames_leave_the_map_out():
    env = OrderOfApplesEnv(render_mode="rgb_array", width=16, height=16)
    env.reset(seed=0)
    assert env.render().shape == (16, 16, 3)


def test_pictures_can_be_drawn_from_everywhere(world):
    """Next to apples, behind them, in corners: no place and no heading that fails."""
    rng, tables = np.random.default_rng(0), Tables(world)
    view = first_person_view(32, 48)
    spots = [
        *(world.apples + rng.normal(0, 0.3, world.apples.shape)),
        *rng.uniform(1, 14, (400, 2)),
    ]
    kinds = np.arange(len(world.apples))
    drawn = 0
    for x, y in spots:
        if not world.walls[int(x), int(y)]:
            heading = int(rng.integers(HEADINGS))
            picture = view.draw(tables, (x, y), heading, world.apples, kinds, "dusk")
            drawn += 1
            assert picture.shape == (32, 48, 3)
            assert picture.std() > 1
    assert drawn > 200


@pytest.mark.parametrize("side", [-1, 1])
def test_apples_at_the_edge_of_the_picture(side):
    """Rounding may put one just outside that was thought to be seen."""
    view = first_person_view(64, 80)
    depth = np.full(80, 9.0, np.float32)
    for ahead in np.linspace(0.13, 2.0, 120):
        edge = ahead * 40 / view.focal + EXTENT / 2
        for inside in (0.001, 0.01, 0.03):
            frame = np.zeros((64, 80, 3), np.uint8)
            apple = np.array([[ahead, side * (edge - inside)]])
            view._apples(frame, depth, (0.0, 0.0), 0, apple, np.array([0]), "day")
            # Left of the middle for positive y; nothing wraps around to the other edge.
            other = frame[:, 40:] if side > 0 else frame[:, :40]
            assert not other.any()
