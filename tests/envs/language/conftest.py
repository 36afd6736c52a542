"""Scenes without simulators, as `gato_gym.envs.language.scene` has them: thousands a second."""

import numpy as np
import pytest

from gato_gym.envs.language.scene import Relation, Scene, Thing

IMAGE = np.zeros((64, 80, 3), np.uint8)
GAMES = ("pong", "boxing", "breakout", "space invaders", "ms pacman", "freeway")
WORDS = {"left of": "right of", "above": "below"}


def both_ways(subject, word, other):
    return [Relation(subject, word, other), Relation(other, WORDS[word], subject)]


def aside(things, clearly, axes=("left of", "above")):
    """Relations of things that are clearly apart, told from both."""
    found = []
    for word in axes:
        for i, one in enumerate(things):
            for j, other in enumerate(things):
                apart = other.x - one.x if word == "left of" else other.y - one.y
                if apart > clearly:
                    found += both_ways(i, word, j)
    return found


def blocks(rng):
    colours = rng.permutation(["red", "green", "blue"])
    x, y = rng.permutation([0.1, 0.3, 0.35, 0.5, 0.7, 0.9])[:3], rng.random(3)
    high = int(rng.choice([1, 2, 3], p=[0.3, 0.5, 0.2]))
    for level in range(1, high):  # the first things are the tower, from the bottom up
        x[level], y[level] = x[0], y[0] - 0.1 * level
    things = [Thing(str(c), "block", *p) for c, *p in zip(colours, x, y, strict=True)]
    relations = [Relation(level, "on", level - 1) for level in range(1, high)]
    ground = [0, *range(high, 3)]
    stand = aside([things[i] for i in ground], 0.12, ("left of",))
    relations += [Relation(ground[r.subject], r.word, ground[r.other]) for r in stand]
    facts = {"tower": ("none", "two", "three")[high - 1]}
    if high > 1:
        facts |= {"top": things[high - 1].colour, "bottom": things[0].colour}
    if high == 2:
        facts["alone"] = things[2].colour
    return Scene(IMAGE, "blocks", tuple(things), tuple(relations), facts)


def atari(rng):
    game = str(rng.choice(GAMES))
    if game != "boxing":
        return Scene(IMAGE, "atari", (), (), {"game": game})
    things = [Thing(colour, "boxer", *rng.random(2)) for colour in ("white", "black")]
    ahead = str(rng.choice(["white", "black", "nobody"]))
    facts = {"game": game, "ahead": ahead}
    return Scene(IMAGE, "atari", tuple(things), tuple(aside(things, 0.15)), facts)


def grid(rng):
    count = int(rng.choice([1, 2, 3], p=[0.2, 0.35, 0.45]))
    names = [(c, k) for c in ("red", "green", "purple", "grey") for k in ("ball", "key", "box")]
    tiles = rng.permutation(48)[: count + 1]
    chosen = [*(names[i] for i in rng.permutation(len(names))[:count]), ("", "agent")]
    things = [
        Thing(*name, (t % 8 + 1.5) / 10, (t // 8 + 1.5) / 8)
        for name, t in zip(chosen, tiles, strict=True)
    ]
    clear = aside(things[:-1], 0.3)
    facts = {
        "facing": str(rng.choice(["up", "down", "left", "right"])),
        "count": ("one", "two", "three")[count - 1],
        "target": things[0].name,
        "next": str(rng.choice(["turn left", "turn right", "go forward", "pick it up"])),
    }
    return Scene(IMAGE, "grid", tuple(things), tuple(clear), facts)


MAKERS = {"blocks": blocks, "atari": atari, "grid": grid}


@pytest.fixture(scope="session")
def scenes():
    """(source, count) -> scenes, always the same ones."""
    return lambda source, count: [
        MAKERS[source](np.random.default_rng([7, number])) for number in range(count)
    ]
