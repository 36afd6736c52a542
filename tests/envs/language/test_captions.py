"""Captions: the expert's are always right, others' are near chance, and no trick raises a score."""

import string

import numpy as np
import pytest

from gato_gym.envs.language.captions import MAX_LETTERS, describe, facts_of, judge
from gato_gym.envs.language.scene import Relation, Scene, Thing

SOURCES = ("blocks", "atari", "grid")
IMAGE = np.zeros((64, 80, 3), np.uint8)


def made(source, things, relations=(), **facts):
    """A scene of things named as "red key"; relations as (subject, word, other)."""
    named = [Thing(*(name.split() if " " in name else ("", name)), 0.5, 0.5) for name in things]
    told = [Relation(things.index(a), word, things.index(b)) for a, word, b in relations]
    return Scene(IMAGE, source, tuple(named), tuple(told), facts)


BLOCKS = ["red block", "green block", "blue block"]
TWO = made("blocks", BLOCKS, [("red block", "on", "green block")])
THREE = made(
    "blocks",
    BLOCKS,
    [("red block", "on", "green block"), ("green block", "on", "blue block")],
)
FLAT = made(
    "blocks",
    BLOCKS,
    [
        (a, word, b)
        for one, other in (("red", "green"), ("red", "blue"), ("green", "blue"))
        for a, word, b in (
            (f"{one} block", "left of", f"{other} block"),
            (f"{other} block", "right of", f"{one} block"),
        )
    ],
)
PONG = made("atari", [], game="pong")
BOXING = made(
    "atari",
    ["white boxer", "black boxer"],
    [
        ("white boxer", "left of", "black boxer"),
        ("black boxer", "right of", "white boxer"),
        ("white boxer", "below", "black boxer"),
        ("black boxer", "above", "white boxer"),
    ],
    game="boxing",
)
ROOM = made(
    "grid",
    ["red ball", "blue key", "green box", "agent"],
    [("red ball", "left of", "blue key"), ("blue key", "right of", "red ball")],
)


@pytest.mark.parametrize("source", SOURCES)
def test_the_experts_caption_is_always_right(source, scenes):
    rng = np.random.default_rng(1)
    for scene in scenes(source, 2000):
        caption = describe(scene, rng)
        judgement = judge(caption, scene)
        assert judgement.score == 1.0, (caption, scene.things, scene.relations, judgement)
        assert (judgement.right, judgement.wrong) == (judgement.total, 0)
        assert len(caption) <= MAX_LETTERS
        assert caption == caption.lower()
        assert set(caption) <= set(string.printable)


@pytest.mark.parametrize(("source", "most"), [("blocks", 0.15), ("atari", 0.2), ("grid", 0.05)])
def test_captions_of_other_scenes_are_near_chance(source, most, scenes):
    rng = np.random.default_rng(2)
    drawn = scenes(source, 1000)
    captions = [describe(scene, rng) for scene in drawn]
    others = [*captions[1:], captions[0]]
    score = np.mean([judge(c, scene).score for c, scene in zip(others, drawn, strict=True)])
    assert score < most


@pytest.mark.parametrize("scene", [TWO, THREE, FLAT, BOXING, ROOM], ids=lambda s: s.source)
def test_one_scene_is_said_in_many_ways(scene):
    rng = np.random.default_rng(3)
    assert len({describe(scene, rng) for _ in range(300)}) > 100


def test_captions_are_a_function_of_scene_and_generator():
    said = [[describe(ROOM, np.random.default_rng(n)) for n in range(20)] for _ in range(2)]
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("scene", "caption"),
    [
        (TWO, "The RED cube sits atop the green one, and by itself stands the blue cube!"),
        (TWO, "on the green block sits the red block while the blue block is on its own"),
        (TWO, "under the red block is the green one; alone is blue"),
        (TWO, "red on green, blue apart"),
        (TWO, "a red block that is on the green block, and a blue block that stands alone"),
        (TWO, "the blue block is alone. the green one holds the red one."),
        (TWO, "the red and green blocks: red is on green. blue is alone"),
        (THREE, "red is on green and green is on blue"),
        (THREE, "the blue block carries the green one, the green one carries the red one"),
        (THREE, "from bottom to top: blue, green and red"),
        (THREE, "a tower: the red block is on the green block, which is on the blue block"),
        (FLAT, "none of the blocks is on another; green is to the right of red"),
        (FLAT, "there is no stack. the blocks from left to right: red, green, blue."),
        (FLAT, "the blocks are not stacked and blue stands right of red"),
        (FLAT, "every block is by itself, red left of blue"),
        (FLAT, "the three blocks stand apart. red is left of blue"),
        (THREE, "red is on green, green is on blue. red is over blue"),
        (THREE, "from top to bottom: red, green, blue. blue is below red"),
        (THREE, "no block is alone and red is on top of green and green is on blue"),
        (TWO, "red is on green, blue is alone, no red block is on the blue one"),
        (ROOM, "a green box, a red ball, a blue key, the ball left of the key, no grey box"),
        (PONG, "PONG"),
        (PONG, "it looks like a game of pong to me"),
        (BOXING, "boxing: the white fighter is below the black fighter"),
        (BOXING, "this is boxing and the black boxer is on the right"),
        (BOXING, "boxing; white is left of and below black"),
        (BOXING, "the black one is above the white one in this game of boxing"),
        (ROOM, "a green box, a red ball and a blue key; the ball is left of the key"),
        (ROOM, "i see a blue key to the right of a red ball. also there is a green box"),
        (ROOM, "right of the red ball lies a blue key, and there is a green box"),
        (ROOM, "there is a red ball and a green box and a blue key; the key is right of the ball"),
    ],
)
def test_other_words_for_the_same_facts(scene, caption):
    judgement = judge(caption, scene)
    assert judgement.score == 1.0, judgement


@pytest.mark.parametrize(
    ("scene", "caption", "right", "wrong"),
    [
        (TWO, "", 0, 0),
        (TWO, "the red block is on the green one", 1, 0),
        (TWO, "the blue block stands alone", 1, 0),
        (TWO, "the green block is on the red one and the blue one stands alone", 1, 1),
        (TWO, "the red block is not on the green one", 0, 0),
        (TWO, "no block is on another", 0, 1),
        (TWO, "the three blocks stand apart", 0, 1),
        (THREE, "blue is above red", 0, 1),
        (THREE, "red is on blue", 0, 1),
        (TWO, "the red block is on the green one and the yellow one stands alone", 1, 2),
        (TWO, "red is on green and green is on red, blue is alone", 2, 1),
        (TWO, "the red dragon is on the green block", 0, 2),
        (THREE, "red is on green", 1, 0),
        (THREE, "from top to bottom: green, red, blue", 0, 2),
        (FLAT, "nothing is stacked", 1, 0),
        (FLAT, "nothing is stacked, red is left of blue, red is right of blue", 2, 1),
        (FLAT, "from left to right: blue, green, red", 0, 2),
        (BOXING, "this is boxing", 1, 0),
        (BOXING, "boxing: white is on the right", 1, 1),
        (BOXING, "boxing: white is above black", 1, 1),
        (ROOM, "a red ball and a blue key", 2, 0),
        (ROOM, "a red key, a blue ball and a green box", 1, 2),
        (ROOM, "a red ball is right of a blue key. there is a green box", 3, 1),
        (ROOM, "a red ball is above a blue key. there is a green box", 3, 1),
    ],
)
def test_what_is_missing_and_what_is_false_costs(scene, caption, right, wrong):
    judgement = judge(caption, scene)
    assert (judgement.right, judgement.wrong) == (right, wrong)
    assert judgement.score == max(0, right - wrong) / judgement.total < 1


def test_to_name_everything_earns_nothing():
    colours = ("red", "green", "blue", "purple", "yellow", "grey")
    objects = [f"a {c} {k}" for c in colours for k in ("ball", "key", "box")]
    assert judge(" and ".join(objects), ROOM).score == 0
    towers = [f"{a} is on {b}" for a in colours[:3] for b in colours[:3] if a != b]
    assert judge(", ".join(towers), TWO).score == 0


@pytest.mark.parametrize("text", ["on on on", "the", ". . .", "\0\n\t\x7f", "é♥ block", "which is"])
@pytest.mark.parametrize("scene", [TWO, FLAT, BOXING, ROOM], ids=lambda s: s.source)
def test_nonsense_is_read_without_an_error(text, scene):
    assert judge(text, scene).score == 0


def test_facts_by_source():
    assert [len(facts_of(s)) for s in (TWO, THREE, FLAT, PONG, BOXING, ROOM)] == [2, 2, 2, 1, 2, 4]
    single = made("grid", ["red ball", "agent"])
    assert facts_of(single) == (frozenset({("thing", "red ball")}),)
