"""Frames of games: is it true what they say, and do the games come up?"""

import collections

import numpy as np
import pytest

pytest.importorskip("ale_py")

from gato_gym.envs.images import resize_image
from gato_gym.envs.language.scene import HEIGHT, WIDTH
from gato_gym.envs.language.sources import atari


@pytest.fixture(scope="module")
def source():
    source = atari.Source()
    yield source
    source.close()


@pytest.fixture(scope="module")
def drawn(source):
    return [source.draw(np.random.default_rng(seed)) for seed in range(30)]


def of(game, scenes):
    return [scene for scene in scenes if scene.facts["game"] == game]


def test_most_games_come_up_and_some_more_often(drawn):
    counts = collections.Counter(scene.facts["game"] for scene in drawn)
    assert set(counts) <= set(atari.GAMES) and len(counts) > 8
    assert counts["boxing"] + counts["pong"] > len(drawn) / 5  # there is most to say about them


def test_a_picture_is_what_an_agent_sees(source):
    for game in ("boxing", "pong", "seaquest"):
        image, ram = source.frame(game, np.random.default_rng(1))
        ale = source._games[game].env.unwrapped.ale
        assert np.array_equal(image, resize_image(ale.getScreenRGB(), (HEIGHT, WIDTH)))
        assert np.array_equal(ram, ale.getRAM())


def test_evaluation_shows_no_picture_of_training(source):
    evaluation = atari.Source("evaluation")
    seen = {source.frame("crazy climber", np.random.default_rng(i))[0].tobytes() for i in range(30)}
    assert len(seen) < 20  # its opening is the same again and again
    shown = [evaluation.frame("crazy climber", np.random.default_rng(i))[0] for i in range(3)]
    again = evaluation.frame("crazy climber", np.random.default_rng(0))[0]
    evaluation.close()
    assert not seen & {image.tobytes() for image in shown}
    assert np.array_equal(again, shown[0])


def test_boxers_are_where_the_memory_says(drawn):
    ring = slice(12, 54), slice(17, 63)
    for scene in of("boxing", drawn):
        white, black = scene.things
        assert (white.name, black.name) == ("white boxer", "black boxer")
        pixels = scene.image[ring]
        for thing, shown in ((white, pixels.min(axis=2) > 165), (black, pixels.max(axis=2) < 60)):
            rows, columns = np.nonzero(shown)
            assert len(rows) > 20
            # The median leaves an arm that punches aside.
            assert abs((np.median(columns) + 17.5) / WIDTH - thing.x) < 0.05
            assert abs((np.median(rows) + 12.5) / HEIGHT - thing.y) < 0.05


def test_either_boxer_is_on_the_left_and_ahead(source):
    fights = [source.frame("boxing", np.random.default_rng(seed))[1] for seed in range(24)]
    leaders = collections.Counter(map(atari.ahead, fights))
    assert set(leaders) == {"white", "black", "nobody"} and min(leaders.values()) > 2
    sides = collections.Counter(w.x < b.x for w, b in map(atari.boxers, fights))
    assert min(sides[True], sides[False]) > 4


@pytest.mark.parametrize(
    ("white", "black", "leader"),
    [(0x09, 0x10, "black"), (0x21, 0x19, "white"), (0, 0, "nobody"), (0x99, 0x00, "white")],
)
def test_scores_are_decimal_digits(white, black, leader):
    ram = np.zeros(128, np.uint8)
    ram[18], ram[19] = white, black
    assert atari.ahead(ram) == leader


def test_the_ball_of_pong_is_where_the_memory_says(source):
    seen = []
    for seed in range(30):
        _, ram = source.frame("pong", np.random.default_rng(seed))
        screen = source._games["pong"].env.unwrapped.ale.getScreenRGB()
        rows, columns = np.nonzero(screen[34:194, :, 0] == 236)  # between the white borders
        ball = atari.pong_ball(ram)
        assert bool(ball) == bool(len(rows))
        if ball:
            seen.append(ball[0].x)
            assert abs((columns.mean() + 0.5) / 160 - ball[0].x) < 0.01
            assert abs((rows.mean() + 34.5) / 210 - ball[0].y) < 0.01
    assert min(seen) < 0.5 < max(seen)


def test_the_side_of_the_ball_is_told_only_where_it_is_clear(drawn):
    for scene in of("pong", drawn):
        ball = scene.things[0].x if scene.things else 0.5
        side = "left" if ball < 0.46 else "right" if ball > 0.54 else None
        assert scene.facts.get("ball side") == side
