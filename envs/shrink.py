"""Pillow's box filter to half the width, bit for bit, in a fraction of its time.

Pillow averages along rows first, rounds, then along columns and rounds again. At half the width the
first average is of two bytes. The rows that make one row of the result are few and weigh the same,
so that the second is a sum and one division. Both round halves up, as Pillow's fixed point does.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

# Window heights whose rounded mean is exact below. Of six rows Pillow's 22-bit weight is off by
# enough to decide ties.
EXACT_HEIGHTS = (1, 2, 3, 4, 5)

# Bit of a table's word that says that one of the two colours has not been seen yet.
_UNKNOWN = 48


@lru_cache
def windows(length: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """First and number of the lines that Pillow averages into each of `count` <= `length` ones."""
    scale = length / count
    starts, sizes = [], []
    for line in range(count):
        centre = (line + 0.5) * scale
        first = max(int(centre - 0.5 * scale + 0.5), 0)
        last = min(int(centre + 0.5 * scale + 0.5), length)
        kept = [x for x in range(first, last) if -0.5 < (x - centre + 0.5) * (1 / scale) <= 0.5]
        starts.append(kept[0])
        sizes.append(len(kept))
    return np.array(starts), np.array(sizes)


@lru_cache
def is_halved(shape: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether an image of `shape` = (height, width) is brought to `size` by this module.

    Some versions of Pillow average along columns first where that is less work, which rounds
    otherwise: those sizes are left to Pillow.
    """
    if shape[1] != 2 * size[1] or shape[0] < size[0]:
        return False
    if not set(windows(shape[0], size[0])[1].tolist()) <= set(EXACT_HEIGHTS):
        return False
    probe = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = Image.fromarray(probe).resize(size[::-1], Image.Resampling.BOX)
    return np.array_equal(FrameShrinker(shape, size)(probe), np.asarray(expected))


class _Rows:
    """The rows of an image, gathered so that those which are summed lie in blocks.

    gather   rows of the image: for each window height k first the top rows of its windows, then
             the second rows, ..., k blocks of n rows each
    groups   (k, where its k * n gathered rows start, n)
    places   (height,) for each row of the result, the gathered row that its sum is written to
    """

    def __init__(self, length: int, count: int) -> None:
        starts, sizes = windows(length, count)
        gather: list[np.ndarray] = []
        self.groups: list[tuple[int, int, int]] = []
        self.places = np.empty(count, np.intp)
        base = 0
        for height in np.unique(sizes).tolist():
            (lines,) = np.nonzero(sizes == height)
            gather += [starts[lines] + row for row in range(height)]
            self.groups.append((height, base, len(lines)))
            self.places[lines] = base + np.arange(len(lines))
            base += height * len(lines)
        self.gather = np.concatenate(gather)


class FrameShrinker:
    """Shrinks RGB frames of one shape; holds buffers, so each thread needs its own.

    Args:
        shape: (height, width) of the frames.
        size: (height, width) of the results, see `is_halved`.
    """

    def __init__(self, shape: tuple[int, int], size: tuple[int, int]) -> None:
        self._shape, self._size = shape, size
        rows = _Rows(shape[0], size[0])
        self._gather, self._groups = rows.gather, rows.groups
        row_bytes = 3 * shape[1]
        self._rows = np.empty((len(rows.gather), row_bytes), np.uint8)
        # The last bytes have no right neighbour; they belong to a pixel that is not used.
        self._half, self._both = (np.zeros(self._rows.size, np.uint8) for _ in range(2))
        sums = (len(rows.gather), row_bytes // 2)
        self._even, self._odd = (np.empty(sums, np.uint16) for _ in range(2))
        pixel = 6 * np.arange(size[1])[:, None] + np.arange(3)
        self._bytes = (rows.places[:, None, None] * row_bytes + pixel).reshape(-1)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """(height, width, 3) uint8 at the new size."""
        np.take(frame.reshape(self._shape[0], -1), self._gather, 0, out=self._rows, mode="clip")
        flat = self._rows.reshape(-1)
        # Every byte is averaged with the same colour of the next pixel; every other pixel is used.
        # (a + b + 1) >> 1 without a ninth bit is (a | b) - ((a ^ b) >> 1).
        left, right, half, both = flat[:-3], flat[3:], self._half, self._both
        np.bitwise_xor(left, right, out=half[:-3])
        # A row has a multiple of 96 bytes: 16 pixels of 3 bytes, twice.
        words = half.view(np.uint64)
        np.bitwise_and(words, 0xFEFEFEFEFEFEFEFE, out=words)
        np.right_shift(words, 1, out=words)
        np.bitwise_or(left, right, out=both[:-3])
        np.subtract(both, half, out=both)
        # Even and odd bytes apart, in 16 bits each, so that up to five of them can be added.
        pairs = both.view(np.uint16).reshape(self._even.shape)
        np.bitwise_and(pairs, 255, out=self._even)
        np.right_shift(pairs, 8, out=self._odd)
        for values in (self._even, self._odd):
            for height, base, count in self._groups:
                blocks = values[base : base + height * count].reshape(height, count, -1)
                total = blocks[0]
                for row in blocks[1:]:
                    np.add(total, row, out=total)
                np.add(total, height // 2, out=total)
                np.floor_divide(total, height, out=total)
        np.left_shift(self._odd, 8, out=self._odd)
        np.bitwise_or(self._even, self._odd, out=self._even)
        result = self._even.view(np.uint8).reshape(-1).take(self._bytes)
        return result.reshape(*self._size, 3)


class PaletteShrinker:
    """Shrinks screens of colour numbers, as an emulator draws them, to RGB images.

    Two neighbouring pixels are one 16-bit number: a table holds the mean of their colours. Entries
    are 8.8 fixed point, three to a word, divided by the height of the window, so that the rows of a
    window only need to be added: the sum's high byte is the rounded mean.

    Args:
        shape: (height, width) of the screens.
        size: (height, width) of the results, see `is_halved`.
    """

    def __init__(self, shape: tuple[int, int], size: tuple[int, int]) -> None:
        self._size = size
        rows = _Rows(shape[0], size[0])
        self._groups = [
            (height, base, count, rows.gather[base : base + height * count])
            for height, base, count in rows.groups
        ]
        self._pairs = {
            height: np.empty((height * count, size[1]), np.intp)
            for height, _, count, _ in self._groups
        }
        self._words = {
            height: np.empty((height, count, size[1]), np.uint64)
            for height, _, count, _ in self._groups
        }
        self._sums = np.empty((size[0], size[1]), np.uint64)
        # The sums of the groups lie one after the other, without the other gathered rows.
        starts = np.cumsum([0] + [count for _, _, count in rows.groups])
        places = np.empty(size[0], np.intp)
        for (_, base, count), start in zip(rows.groups, starts, strict=False):
            of_group = (rows.places >= base) & (rows.places < base + count)
            places[of_group] = rows.places[of_group] - base + start
        lane = 8 * np.arange(size[1])[:, None] + 2 * np.arange(3) + 1
        self._bytes = (places[:, None, None] * 8 * size[1] + lane).reshape(-1)
        self._colours = np.zeros((256, 3), np.uint64)
        self._seen = np.zeros(256, bool)
        unknown = np.full(256 * 256, 1 << _UNKNOWN, np.uint64)
        self._tables = {height: unknown.copy() for height, *_ in self._groups}

    def __call__(self, screen: np.ndarray) -> np.ndarray | None:
        """(height, width, 3) uint8 at the new size; None if a colour is unknown: `learn` it."""
        pairs = screen.view(np.uint16)
        start = 0
        for height, _, count, gather in self._groups:
            index, words = self._pairs[height], self._words[height]
            np.copyto(index, pairs.take(gather, 0))
            self._tables[height].take(index, out=words.reshape(index.shape), mode="clip")
            total = self._sums[start : start + count]
            np.add.reduce(words, 0, out=total)
            start += count
        if np.bitwise_or.reduce(self._sums, axis=None) >> _UNKNOWN:
            return None
        result = self._sums.view(np.uint8).reshape(-1).take(self._bytes)
        return result.reshape(*self._size, 3)

    def learn(self, screen: np.ndarray, frame: np.ndarray) -> None:
        """Take the colours of a screen from the same picture in RGB."""
        shown = np.zeros(256, bool)
        shown[screen.reshape(-1)] = True
        (new,) = np.nonzero(shown & ~self._seen)
        self._colours[screen.reshape(-1)] = frame.reshape(-1, 3)
        self._seen |= shown
        means = (self._colours[new][:, None] + self._colours + np.uint64(1)) >> np.uint64(1)
        for height, table in self._tables.items():
            # 128 is the half that rounds. It is exact where 256 divides by the height; else each
            # entry errs by half a 256th at most, less than the nearest mean is from a border.
            entries = np.rint(means * (256 / height) + 128 / height).astype(np.uint64)
            entries <<= np.array([0, 16, 32], np.uint64)
            words = np.bitwise_or.reduce(entries, -1)
            words[:, ~self._seen] |= np.uint64(1 << _UNKNOWN)
            table.reshape(256, 256)[new] = words
            table.reshape(256, 256)[:, new] = words.T
