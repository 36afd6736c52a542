"""Frames of Atari games, as an agent of the suite sees them, and what the console's RAM says.

A state is reached by random play: actions are held for a few steps, so that play gets somewhere.
The ends of the first `STRETCHES` stretches of each of `PLAYS` plays are kept once they were played;
a draw goes on from one of them. Evaluation has plays of its own and leaves out their first
`OPENING` stretches: a draw adds so few steps, and some games open so slowly, that its pictures
would often be those of training. In boxing the boxers are then put at random places of the ring
with a random score, by writing into the RAM: random play leaves the white one on the left and
seldom ahead. The addresses are those of the Atari Annotated RAM Interface (arXiv 1906.08226); where
on the screen they put a thing was measured on frames.

facts      "game"       its English name in lower case
           "ahead"      boxing: white, black or nobody, by the score; about equally frequent
           "ball side"  pong: left or right, while the ball is seen clearly on one side
things     boxing: the white and the black boxer; pong: the ball, while it is seen
relations  boxing: "left of", "right of", "above", "below", where the boxers' middles are more than
           `CLEARLY` of the picture's side apart along that axis
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from gato_gym.envs.factory import make
from gato_gym.envs.language.scene import HEIGHT, WIDTH, Relation, Scene, Thing
from gato_gym.envs.language.seeds import Part

GAMES = {
    "assault": "ALE/Assault-v5",
    "boxing": "ALE/Boxing-v5",
    "breakout": "ALE/Breakout-v5",
    "crazy climber": "ALE/CrazyClimber-v5",
    "freeway": "ALE/Freeway-v5",
    "kung fu master": "ALE/KungFuMaster-v5",
    "ms pacman": "ALE/MsPacman-v5",
    "pong": "ALE/Pong-v5",
    "road runner": "ALE/RoadRunner-v5",
    "seaquest": "ALE/Seaquest-v5",
    "space invaders": "ALE/SpaceInvaders-v5",
    "up n down": "ALE/UpNDown-v5",
}
"""Name -> task. The first ones of the suite with an expert that ships, and two more."""

# Games about which there is more to say than their name come more often than the others.
_WEIGHTS = {"boxing": 3.0, "pong": 2.0}

PLAYS, STRETCHES = 24, 5  # of each part
OPENING = 6  # stretches; crazy climber and kung fu master look the same in all plays for so long
STEPS = 24  # of a stretch; a draw plays up to so many more
FEWEST_STEPS = 4  # of a draw: the console needs some to show what was written into its RAM
LONGEST_HOLD = 8  # steps that an action is held for

SCREEN_HEIGHT, SCREEN_WIDTH = 210, 160
# Of boxing, in the RAM's units, which are the screen's pixels: addresses of x and y of the white
# and of the black boxer, addresses of their scores and the highest ones that are set, the reach of
# both in the ring, the size of a body.
_BOXERS = ((32, 34), (33, 35))
_SCORES, _MOST_BEHIND, _MOST_LEAD = (18, 19), 6, 3
_RING_X, _RING_Y, _BODY = (30, 87), (5, 87), (20, 48)
CLEARLY = 0.08


@dataclass
class _Game:
    """A console with one cartridge.

    env     the task, as `gato_gym.make` builds it without tokens
    start   the console's state after a reset
    ends    play -> the states at the ends of its first stretches, as far as they were played
    """

    env: gym.Env
    start: Any
    ends: defaultdict[int, list[Any]] = field(default_factory=lambda: defaultdict(list))


class Source:
    """Frames of the games of `GAMES`, see the module.

    Args:
        part: whose plays are shown, training's or evaluation's.
    """

    name = "atari"

    def __init__(self, part: Part = "training") -> None:
        self._evaluates = part == "evaluation"
        self._games: dict[str, _Game] = {}
        weights = np.array([_WEIGHTS.get(name, 1.0) for name in GAMES])
        self._shares = weights / weights.sum()

    def draw(self, rng: np.random.Generator) -> Scene:
        """A frame of a game after random play."""
        name = list(GAMES)[rng.choice(len(GAMES), p=self._shares)]
        image, ram = self.frame(name, rng)
        facts = {"game": name}
        things: tuple[Thing, ...] = ()
        relations: tuple[Relation, ...] = ()
        if name == "boxing":
            things = white, black = boxers(ram)
            relations = _relations(white, black)
            facts["ahead"] = ahead(ram)
        elif name == "pong":
            things = pong_ball(ram)
            if things and abs(things[0].x - 0.5) > CLEARLY / 2:
                facts["ball side"] = "left" if things[0].x < 0.5 else "right"
        return Scene(image, self.name, things, relations, facts)

    def close(self) -> None:
        """Closes the emulators."""
        for game in self._games.values():
            game.env.close()
        self._games.clear()

    def frame(self, name: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A picture of a game after play from a kept state, and the RAM.

        Returns (64, 80, 3) and (128,), uint8.
        """
        game = self._game(name)
        play, stretch = int(rng.integers(PLAYS)), int(rng.integers(STRETCHES))
        if self._evaluates:
            play, stretch = play + PLAYS, stretch + OPENING
        ale = game.env.unwrapped.ale  # type: ignore[attr-defined]  # gym.Env does not declare it
        ends = game.ends[play]
        while len(ends) <= stretch:
            ale.restoreState(ends[-1] if ends else game.start)
            own = np.random.default_rng([play, len(ends)])
            _, over = play_randomly(game.env, STEPS, own)
            # A game that is over begins anew in training; evaluation tries again, see `OPENING`.
            again = ends[-1] if self._evaluates and ends else game.start
            ends.append(again if over else ale.cloneState(include_rng=True))
        ale.restoreState(ends[stretch])
        if name == "boxing":
            set_fight(ale, rng)
        steps = int(rng.integers(FEWEST_STEPS, STEPS + 1))
        image, _ = play_randomly(game.env, steps, rng)
        return image, ale.getRAM()

    def _game(self, name: str) -> _Game:
        if name not in self._games:
            # A sticky action outlives `restoreState`: play would depend on what was drawn before.
            env = make(GAMES[name], image_size=(HEIGHT, WIDTH), repeat_action_probability=0.0)
            env.reset(seed=0)
            ale = env.unwrapped.ale  # type: ignore[attr-defined]  # gym.Env does not declare it
            self._games[name] = _Game(env, ale.cloneState(include_rng=True))
        return self._games[name]


def play_randomly(env: gym.Env, steps: int, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Plays at least one step, until the game is over at the latest.

    Returns the last picture, and whether the game is over.
    """
    console = env.unwrapped  # the state was set under the wrappers' feet
    actions: int = console.action_space.n  # type: ignore[attr-defined]  # all games are Discrete
    held, action = 0, 0
    for _ in range(steps):
        if not held:
            held, action = int(rng.integers(1, LONGEST_HOLD + 1)), int(rng.integers(actions))
        held -= 1
        image, _, over, _, _ = console.step(action)
        if over:
            break
    return image, over


def set_fight(ale: Any, rng: np.random.Generator) -> None:
    """Puts both boxers at random places of the ring, apart, and sets a score of single digits."""
    while True:
        places = rng.integers((_RING_X[0], _RING_Y[0]), (_RING_X[1] + 1, _RING_Y[1] + 1), (2, 2))
        if (np.abs(places[0] - places[1]) > _BODY).any():
            break
    for addresses, place in zip(_BOXERS, places, strict=True):
        for address, value in zip(addresses, place, strict=True):
            ale.setRAM(address, int(value))
    behind, lead = int(rng.integers(_MOST_BEHIND + 1)), int(rng.integers(1, _MOST_LEAD + 1))
    leads = ((lead, 0), (0, lead), (0, 0))[rng.integers(3)]
    for address, more in zip(_SCORES, leads, strict=True):
        ale.setRAM(address, behind + more)


def ahead(ram: np.ndarray) -> str:
    """Who leads in boxing: the colour, or "nobody"."""
    white, black = (int(ram[address]) for address in _SCORES)  # decimal digits of four bits each
    return "white" if white > black else "black" if black > white else "nobody"


def boxers(ram: np.ndarray) -> tuple[Thing, Thing]:
    """The middles of both boxers' bodies; arms that punch are left aside."""
    (white_x, white_y), (black_x, black_y) = _BOXERS
    return (
        _at("white", "boxer", ram[white_x] + 10.5, ram[white_y] + 60.5),
        _at("black", "boxer", ram[black_x] + 10.5, ram[black_y] + 60.5),
    )


def pong_ball(ram: np.ndarray) -> tuple[Thing, ...]:
    """The ball, () between two rallies."""
    if not ram[54]:
        return ()
    return (_at("", "ball", ram[49] - 48.0, ram[54] - 12.5),)


def _at(colour: str, kind: str, x: float, y: float) -> Thing:
    return Thing(colour, kind, float(x) / SCREEN_WIDTH, float(y) / SCREEN_HEIGHT)


def _relations(one: Thing, other: Thing) -> tuple[Relation, ...]:
    found = []
    for apart, before, after in (
        (one.x - other.x, "left of", "right of"),
        (one.y - other.y, "above", "below"),
    ):
        if abs(apart) > CLEARLY:
            first, second = (before, after) if apart < 0 else (after, before)
            found += [Relation(0, first, 1), Relation(1, second, 0)]
    return tuple(found)
