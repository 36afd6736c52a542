"""The Gymnasium environment: collect the green apples, then the gold ones, seen through one's eyes.

It stands in the place of DeepMind Lab's order_of_apples_forage_simple, which no package installs.

Rule: each of 9 green apples is worth 1. Each of 5 gold apples is worth 2 once no green one is left,
and costs 2 before (it is gone then). So a perfect episode returns 9 + 5 * 2 = 19 and none more;
who takes all apples in random order gets 1 on average, so colour and order are what counts. While a
green apple is left it is day; when the gold ones may be taken the sky turns to dusk.

Actions, Discrete(8): forward, backward, step left, step right, turn left, turn right,
forward and turn left, forward and turn right. A step is 0.2 cells, a turn 15 degrees.

Observation: the uint8 RGB image (height, width, 3). The episode terminates when no apple is left;
`info["success"]` says that all were taken in order; `info["green_left"]` and `info["gold_left"]`
count.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from gato_gym.envs.order_of_apples import CONTROL_HZ
from gato_gym.envs.order_of_apples.overlay import draw_overlay
from gato_gym.envs.order_of_apples.view import Tables, first_person_view
from gato_gym.envs.order_of_apples.world import GOLD, GREEN, HEADINGS, World, generate

SPEED = 0.2  # cells per step
BODY = 0.28  # half the side of the square that walls keep out
REACH = 0.42  # of an apple's centre from the eye's
GREEN_REWARD, GOLD_REWARD = 1.0, 2.0
MAX_RETURN = GREEN * GREEN_REWARD + GOLD * GOLD_REWARD
# Forward, right and turn of each action.
ACTIONS = (
    (1, 0, 0),
    (-1, 0, 0),
    (0, -1, 0),
    (0, 1, 0),
    (0, 0, 1),
    (0, 0, -1),
    (1, 0, 1),
    (1, 0, -1),
)
_COMPASS = [
    (math.cos(2 * math.pi * h / HEADINGS), math.sin(2 * math.pi * h / HEADINGS))
    for h in range(HEADINGS)
]


class OrderOfApplesEnv(gymnasium.Env):
    """A walled garden of four rooms with green and gold apples.

    Args:
        render_mode: None or "rgb_array".
        image_size: (height, width) of the observation; at least 16, the height even.
        width, height: of `render()`, which also shows a map and the apples taken.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": CONTROL_HZ}  # noqa: RUF012

    def __init__(
        self,
        render_mode: str | None = None,
        image_size: tuple[int, int] = (64, 80),
        width: int = 320,
        height: int = 240,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode={render_mode!r} is unknown; expected None, 'rgb_array'")
        self.render_mode = render_mode
        self.image_size = _size("image_size", image_size)
        self.frame_size = _size("(height, width)", (height, width))
        self.action_space = spaces.Discrete(len(ACTIONS))
        self.observation_space = spaces.Box(0, 255, (*self.image_size, 3), np.uint8)
        self._view = first_person_view(*self.image_size)
        self.world: World | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A new garden, apples and start, all drawn from the seed."""
        super().reset(seed=seed)
        self.world = generate(self.np_random)
        self._tables = Tables(self.world)
        self._solid = self.world.walls.tolist()
        self.position: tuple[float, float] = self.world.start
        self.heading = self.world.heading
        self.left: list[int] = list(range(GREEN + GOLD))
        """Numbers of the apples not yet taken; below GREEN they are green."""
        self._spots = self.world.apples.tolist()
        self._spoiled = 0
        return self._observe(), self._info()

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step of 1/15 s.

        Raises:
            ValueError: an action outside of [0, 8).
        """
        if self.world is None:
            raise RuntimeError("call reset() before step()")
        number = operator.index(action)
        if not 0 <= number < len(ACTIONS):
            raise ValueError(f"action {number} is not in [0, {len(ACTIONS)})")
        self.position, self.heading = self.moved(number)
        reward = self._collect()
        return self._observe(), reward, not self.left, False, self._info()

    def render(self) -> np.ndarray | None:
        """The frame, (height, width, 3) uint8, for render_mode "rgb_array"; else None."""
        if self.render_mode is None:
            gymnasium.logger.warn('render() needs render_mode="rgb_array"')
            return None
        if self.world is None:
            raise RuntimeError("call reset() before render()")
        frame = first_person_view(*self.frame_size).draw(*self._scene())
        green = self.green_left
        taken = (GREEN - green, GOLD - (len(self.left) - green) - self._spoiled)
        draw_overlay(frame, self.world, self.position, self.heading, self.left, taken)
        return frame

    @property
    def green_left(self) -> int:
        """How many green apples are left."""
        return sum(number < GREEN for number in self.left)

    def moved(self, action: int) -> tuple[tuple[float, float], int]:
        """Where an action leads: position and heading. Walls let one slide along them."""
        ahead, aside, turn = ACTIONS[action]
        heading = (self.heading + turn) % HEADINGS
        x, y = self.position
        if ahead or aside:
            cos, sin = _COMPASS[heading]
            to_x = x + SPEED * (ahead * cos + aside * sin)
            to_y = y + SPEED * (ahead * sin - aside * cos)
            tries = ((to_x, to_y), (to_x, y), (x, to_y), (x, y))
            x, y = next(place for place in tries if self._fits(*place))
        return (x, y), heading

    def _fits(self, x: float, y: float) -> bool:
        solid = self._solid
        west, east = solid[int(x - BODY)], solid[int(x + BODY)]
        south, north = int(y - BODY), int(y + BODY)
        return not (west[south] or west[north] or east[south] or east[north])

    def _collect(self) -> float:
        x, y = self.position
        touched = [n for n in self.left if math.dist((x, y), self._spots[n]) < REACH]
        reward = 0.0
        for number in touched:  # green ones first: they have the lower numbers
            self.left.remove(number)
            if number < GREEN:
                reward += GREEN_REWARD
            elif self.green_left:
                reward -= GOLD_REWARD
                self._spoiled += 1
            else:
                reward += GOLD_REWARD
        return reward

    def _observe(self) -> np.ndarray:
        return self._view.draw(*self._scene())

    def _scene(self) -> tuple[Any, ...]:
        assert self.world is not None
        left = np.array(self.left, int)
        mood = "day" if self.green_left else "dusk"
        return self._tables, self.position, self.heading, self.world.apples[left], left, mood

    def _info(self) -> dict[str, Any]:
        green = self.green_left
        return {
            "success": not self.left and not self._spoiled,
            "green_left": green,
            "gold_left": len(self.left) - green,
        }


def _size(name: str, size: Any) -> tuple[int, int]:
    height, width = (operator.index(side) for side in size)
    if min(height, width) < 16 or height % 2:
        raise ValueError(
            f"{name}={(height, width)}: sides must be at least 16 and the height must be even"
        )
    return height, width
