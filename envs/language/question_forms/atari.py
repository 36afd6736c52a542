"""Questions about a frame of an Atari game."""

from __future__ import annotations

import numpy as np

from gato_gym.envs.language.claims import games_of
from gato_gym.envs.language.question_forms.aside import is_aside
from gato_gym.envs.language.question_forms.build import (
    NOTHING,
    Form,
    Question,
    is_kept,
    question,
    which_colour,
    yes_no,
)
from gato_gym.envs.language.scene import Scene
from gato_gym.envs.language.words import pick

_SIDE_KEPT = {"right": 0.33}  # random play loses at pong
_PLACES = {
    "left of": "on the left",
    "right of": "on the right",
    "above": "higher up",
    "below": "lower down",
}

_WHICH_GAME = ("which game is this?", "what game is this?", "which game is played here?")
_IS_GAME = ("is this {}?", "is this a game of {}?", "is {} played here?")
_BALL_SIDE = ("on which side is the ball?", "which side is the ball on?", "where is the ball?")
_WHO_AHEAD = ("who is ahead?", "which boxer is ahead?", "who leads the fight?")
_WHO_PLACE = ("which boxer is {}?", "who is {}?")


def game(scene: Scene, rng: np.random.Generator) -> Question:
    """Which game it is."""
    name = scene.facts["game"]
    return question("game", rng, _WHICH_GAME, "", name, f"game {name}", f"game of {name}")


def is_game(scene: Scene, rng: np.random.Generator) -> Question:
    """Whether it is a certain game."""
    name = scene.facts["game"]
    if rng.random() < 0.5:
        return yes_no("is game", rng, _IS_GAME, (name,), "yes")
    others = [other for other in games_of(scene) if other != name]
    return yes_no("is game", rng, _IS_GAME, (pick(rng, others),), "no")


def ball_side(scene: Scene, rng: np.random.Generator) -> Question | None:
    """On which half of the picture the ball is."""
    side = scene.facts.get("ball side")
    if side is None or not is_kept(rng, _SIDE_KEPT, side):
        return None
    more = (f"{side} side", f"on the {side}", f"on the {side} side")
    return question("ball side", rng, _BALL_SIDE, "", side, *more)


def ahead(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Who leads by the score."""
    who = scene.facts.get("ahead")
    if who is None:
        return None
    if who == "nobody":
        return question("ahead", rng, _WHO_AHEAD, "", who, "neither", *NOTHING)
    return which_colour("ahead", rng, _WHO_AHEAD, "", who, "boxer")


def boxer(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Which of two boxers is at a side."""
    if not scene.relations:
        return None
    relation = pick(rng, scene.relations)
    colour = scene.things[relation.subject].colour
    return which_colour("boxer", rng, _WHO_PLACE, _PLACES[relation.word], colour, "boxer")


FORMS: dict[Form, float] = {
    game: 3.0,
    is_game: 0.8,
    ball_side: 3.0,
    ahead: 3.0,
    boxer: 3.0,
    is_aside: 1.0,
}
"""Form -> how often it is tried."""
