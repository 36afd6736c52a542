"""The mine sweeper: the exact chance of a mine under every square, from the numbers seen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Square = tuple[int, int]
VIEWED = 2


def sweep(game: Any) -> np.ndarray:
    """(2,) the square that most likely hides no mine, the first of equal ones."""
    viewed = {(int(x), int(y)) for x, y in np.argwhere(game.hidden_grid == VIEWED)}
    numbers = {square: int(game.neighbor_grid[square]) for square in viewed}
    risks = mine_chances(tuple(game.dims), int(game.num_mines), numbers)
    if not risks:
        return np.zeros(2, np.int64)
    best = min(risks, key=lambda square: (round(risks[square], 9), square))
    return np.array(best, np.int64)


def mine_chances(
    size: tuple[int, int], mines: int, numbers: dict[Square, int]
) -> dict[Square, float]:
    """Chance of a mine under each square that was not viewed.

    Args:
        size: rows and columns.
        mines: how many lie under all squares together.
        numbers: viewed square -> mines beside it.
    """
    hidden = [s for s in np.ndindex(*size) if s not in numbers]
    rules = []
    for square, number in numbers.items():
        cells = [s for s in _around(square, size) if s not in numbers]
        if cells:
            rules.append((cells, number))
    groups = _groups(rules)
    told = {cell for group in groups for cells, _ in group for cell in cells}
    rest = len(hidden) - len(told)
    tables = [_Group(group, mines) for group in groups]
    # How many ways the squares that no number tells of can hold the mines that are left.
    ways = np.array([float(math.comb(rest, k)) for k in range(mines + 1)])
    everything = _fold([ways, *(table.counts for table in tables)], mines)
    total = everything[mines]
    chances: dict[Square, float] = {}
    for n, table in enumerate(tables):
        others = [ways, *(other.counts for m, other in enumerate(tables) if m != n)]
        weights = _fold(others, mines)[::-1]  # index: mines inside this group
        for cell, with_mine in table.with_mine.items():
            chances[cell] = float(with_mine @ weights / total)
    if rest:
        inside = sum(chances.values())
        for cell in hidden:
            chances.setdefault(cell, (mines - inside) / rest)
    return chances


def _around(square: Square, size: tuple[int, int]) -> list[Square]:
    x, y = square
    return [
        (i, j)
        for i in range(max(0, x - 1), min(size[0], x + 2))
        for j in range(max(0, y - 1), min(size[1], y + 2))
        if (i, j) != square
    ]


def _fold(tables: list[np.ndarray], mines: int) -> np.ndarray:
    """Ways by number of mines, over tables that do not share squares."""
    result = np.eye(1, mines + 1)[0]
    for table in tables:
        result = np.convolve(result, table)[: mines + 1]
    return result


Rule = tuple[list[Square], int]


def _groups(rules: list[Rule]) -> list[list[Rule]]:
    """Rules that share squares, directly or through others, belong together."""
    groups: list[tuple[set[Square], list[Rule]]] = []
    for rule in rules:
        cells, members = set(rule[0]), [rule]
        apart = []
        for group in groups:
            if group[0].isdisjoint(cells):
                apart.append(group)
            else:
                cells |= group[0]
                members += group[1]
        groups = [*apart, (cells, members)]
    return [members for _, members in groups]


class _Group:
    """Counts the ways to lay mines under the squares of some rules.

    `counts` is (mines + 1,) ways by number of mines, `with_mine` the same for each square, of the
    ways that have a mine there.
    """

    def __init__(self, rules: list[Rule], mines: int) -> None:
        self._mines = mines
        self._cells = sorted({cell for cells, _ in rules for cell in cells})
        self._rules_of = {
            cell: [n for n, (cells, _) in enumerate(rules) if cell in cells] for cell in self._cells
        }
        last = {n: max(cells) for n, (cells, _) in enumerate(rules)}
        self._closing = {
            cell: [n for n in self._rules_of[cell] if last[n] == cell] for cell in self._cells
        }
        self._known: dict[tuple[int, tuple[int, ...]], np.ndarray] = {}
        table = self._count(0, tuple(number for _, number in rules))
        self.counts = table[:, -1]
        self.with_mine = {cell: table[:, n] for n, cell in enumerate(self._cells)}

    def _count(self, index: int, needs: tuple[int, ...]) -> np.ndarray:
        """(mines + 1, squares + 1) ways for the squares from `index` on, the last column all."""
        if index == len(self._cells):
            table = np.zeros((self._mines + 1, len(self._cells) + 1))
            table[0, -1] = 1.0
            return table
        if (index, needs) in self._known:
            return self._known[index, needs]
        cell = self._cells[index]
        table = np.zeros((self._mines + 1, len(self._cells) + 1))
        for mine in (0, 1):
            after = list(needs)
            for rule in self._rules_of[cell]:
                after[rule] -= mine
            if min(after) < 0 or any(after[rule] for rule in self._closing[cell]):
                continue
            ways = self._count(index + 1, tuple(after))
            if mine:
                ways = np.roll(ways, 1, axis=0)
                ways[0] = 0.0
                ways[:, index] = ways[:, -1]
            table += ways
        self._known[index, needs] = table
        return table
