"""Battleship: shoot where most places of a ship are left, and above all beside hits."""

from __future__ import annotations

from typing import Any

import numpy as np

HIT_WEIGHT = 20.0  # how much more likely a place is for each hit that it explains


def shoot(game: Any) -> np.ndarray:
    """(2,) the square to shoot at, the first of equal ones."""
    shot = game.guesses == 1
    hits = shot & (game.board == 1)
    heat = _heat(hits, shot & ~hits, game.ship_sizes)
    heat[shot] = -1.0
    return np.array(np.unravel_index(int(heat.argmax()), heat.shape), np.int64)


def _heat(hits: np.ndarray, misses: np.ndarray, ships: list[int]) -> np.ndarray:
    """How many places of ships cover each square, weighted by the hits that they explain."""
    heat = np.zeros(hits.shape)
    for turned in (False, True):
        struck, empty, view = (a.T if turned else a for a in (hits, misses, heat))
        rows, columns = struck.shape
        for size in ships:
            for row in range(rows):
                for first in range(columns - size + 1):
                    place = slice(first, first + size)
                    explained = int(struck[row, place].sum())
                    # A ship that is sunk has nothing left to shoot at.
                    if explained < size and not empty[row, place].any():
                        view[row, place] += HIT_WEIGHT**explained
    return heat
