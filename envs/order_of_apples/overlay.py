"""What frames for people show on top of the view: a map from above, and the apples taken."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from gato_gym.envs.order_of_apples.sprites import sprite
from gato_gym.envs.order_of_apples.world import GOLD, GREEN, HEADINGS, SIDE, World

GREEN_COLOUR, GOLD_COLOUR = (90, 215, 70), (255, 205, 60)
_PLAYER = (255, 255, 255)
_SMOOTH = 4  # the map is drawn this much larger, then averaged


def draw_overlay(
    frame: np.ndarray,
    world: World,
    position: tuple[float, float],
    heading: int,
    left: list[int],
    taken: tuple[int, int],
) -> None:
    """Draw onto an (H, W, 3) uint8 frame in place.

    Args:
        frame: the first-person view.
        world: of the episode.
        position: of the player.
        heading: in [0, HEADINGS).
        left: numbers of the apples not yet taken.
        taken: how many green and how many gold ones were taken in their turn.
    """
    height, width = frame.shape[:2]
    side = max(SIDE, height // 3 // SIDE * SIDE)
    margin = max(2, height // 40)
    if side + 2 * margin <= min(height, width):
        corner = frame[margin : margin + side, width - margin - side : width - margin]
        corner[:] = (0.15 * corner + 0.85 * _map(side, world, position, heading, left)).astype(
            np.uint8
        )
    _shelf(frame, taken, margin)


def _map(
    side: int, world: World, position: tuple[float, float], heading: int, left: list[int]
) -> np.ndarray:
    """(side, side, 3) uint8; x to the right, y upwards."""
    scale = side * _SMOOTH / SIDE
    image = Image.new("RGB", (side * _SMOOTH,) * 2, (34, 38, 46))
    draw = ImageDraw.Draw(image)

    def at(x: float, y: float) -> tuple[float, float]:
        return x * scale, (SIDE - y) * scale

    for column, row in np.argwhere(world.walls).tolist():
        (x0, y1), (x1, y0) = at(column, row), at(column + 1, row + 1)
        draw.rectangle((x0, y0, x1, y1), fill=(150, 156, 168))
    for number in left:
        x, y = at(*world.apples[number])
        colour = GREEN_COLOUR if number < GREEN else GOLD_COLOUR
        draw.ellipse(
            (x - 0.38 * scale, y - 0.38 * scale, x + 0.38 * scale, y + 0.38 * scale), colour
        )
    angle = 2 * np.pi * heading / HEADINGS
    tips = [(0.85, 0.0), (0.6, 2.5), (0.25, np.pi), (0.6, -2.5)]
    draw.polygon(
        [
            at(position[0] + r * np.cos(angle + a), position[1] + r * np.sin(angle + a))
            for r, a in tips
        ],
        fill=_PLAYER,
    )
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


def _shelf(frame: np.ndarray, taken: tuple[int, int], margin: int) -> None:
    """A row for all apples at the lower edge; those that were not taken in their turn are dim."""
    height, width = frame.shape[:2]
    side = min(height // 12, (width - 2 * margin) // (GREEN + GOLD + 1))
    if side < 6:
        return
    top = height - margin - side
    begin = (width - side * (GREEN + GOLD)) // 2
    strip = frame[top - 2 : top + side + 2, begin - 4 : begin + side * (GREEN + GOLD) + 4]
    strip[:] = strip // 2
    lit = [*(n < taken[0] for n in range(GREEN)), *(n < taken[1] for n in range(GOLD))]
    for number, bright in enumerate(lit):
        colour, rest = sprite("green" if number < GREEN else "gold", side, 0, "day")
        place = frame[top : top + side, begin + number * side : begin + (number + 1) * side]
        drawn = colour + (place * rest >> 8)
        place[:] = drawn if bright else drawn // 4 + place // 2
