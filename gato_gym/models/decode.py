"""The network as it acts: only new tokens are computed, everything else is in the cache.

The same weights as in training and, up to rounding, the same logits as a full recomputation (tests
hold them together at every step). One pass appends tokens to some rows of a cache, however many to
each: what does not depend on other tokens is computed for all of them at once, attention row by
row. The vocabulary is multiplied with the positions and for the ids that are asked for.

Shapes: R rows, N new tokens of all of them, T the most of one row, W wanted predictions per row,
D width, H heads, K key size, C slots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gato_gym.models.cache import KeyValueCache
from gato_gym.models.gato import Gato, rotary_angles, rotate
from gato_gym.tokenizers.vocabulary import PATCH

NO_PATCHES = np.zeros((0, 16, 16, 3), np.uint8)
NO_PLACES = np.zeros((0, 2), np.int64)


@dataclass(frozen=True)
class Feed:
    """New tokens of some rows, row after row.

    rows      (R,) which rows of the cache, ascending
    counts    (R,) how many tokens of each, at least `wanted`
    ids       (N,) PATCH where an image patch stands
    local     (N,) rows of the local position table
    first     (N,) the first position that each token sees
    patches   (P, 16, 16, 3) uint8, in the order of their marks
    places    (P, 2) row and column index of each patch
    wanted    W: predictions after the last W tokens of each row
    """

    rows: np.ndarray
    counts: np.ndarray
    ids: np.ndarray
    local: np.ndarray
    first: np.ndarray
    patches: np.ndarray = field(default_factory=lambda: NO_PATCHES)
    places: np.ndarray = field(default_factory=lambda: NO_PLACES)
    wanted: int = 1


class Decoder:
    """Runs passes over a cache.

    Args:
        model: in eval mode; its weights are used where they are, so changes to them count at once.
    """

    def __init__(self, model: Gato) -> None:
        self.model = model
        self.config = model.config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of activations, keys and values."""
        return self.model.norm.weight.dtype

    def new_cache(self, rows: int, slack: int) -> KeyValueCache:
        """An empty cache for this network, see `KeyValueCache`."""
        return KeyValueCache(self.config, rows, slack, self.device, self.dtype)

    @torch.inference_mode()
    def run(
        self, cache: KeyValueCache, feed: Feed, attention: list[Tensor] | None = None
    ) -> Tensor:
        """Append the tokens to the cache, changed in place.

        Args:
            cache: of this network.
            feed: what to append.
            attention: where given, gets the (R, H, W, C) attention weights of each block.

        Returns:
            (R, W, D), the normalised states that `logits` takes.
        """
        tokens = _Pass(cache, feed, self.device, self.dtype)
        x = self.model.embedding(
            tokens.ids, tokens.local, tokens.patches, tokens.pixels, tokens.places, tokens.marks
        )
        angles = rotary_angles(tokens.positions, self.config.width // self.config.heads)
        slots = cache.slots(tokens.row_of, tokens.positions)
        tokens.look(cache)
        for layer, block in enumerate(self.model.blocks):
            last = layer == len(self.model.blocks) - 1
            normed = block.norm1(x)
            key, value = block.key_value(normed).view(len(x), 2, self.config.heads, -1).unbind(1)
            cache.write(layer, slots, rotate(key, *angles), value)
            at = tokens.wanted if last else None
            if at is not None:  # what nobody asks for ends at the last keys
                normed, x = normed[at], x[at]
                angles = angles[0][at], angles[1][at]
            query = rotate(block.query(normed).view(len(x), self.config.heads, -1), *angles)
            see = tokens.last if last else tokens.all
            x = x + block.out(see.attend(query, cache, layer))
            if attention is not None:
                asked = query if last else query[tokens.wanted]
                attention.append(tokens.last.weights(asked, cache, layer))
            gate, linear = block.up(block.norm2(x)).chunk(2, dim=-1)
            x = x + block.down(functional.gelu(gate) * linear)
        return self.model.norm(x).view(len(feed.rows), feed.wanted, -1)

    @torch.inference_mode()
    def logits(self, states: Tensor, low: int, high: int) -> Tensor:
        """(..., D) states -> (..., high - low) float32 logits of the ids in [low, high)."""
        return functional.linear(states, self.model.embedding.ids.weight[low:high]).float()


class _Pass:
    """A feed's tensors, and who sees whom."""

    def __init__(
        self, cache: KeyValueCache, feed: Feed, device: torch.device, dtype: torch.dtype
    ) -> None:
        def tensor(values: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values, np.int64)).to(device)

        self.dtype, self._feed = dtype, feed
        self.ids, self.local = tensor(feed.ids), tensor(feed.local)
        self.patches = torch.from_numpy(np.ascontiguousarray(feed.patches)).to(device)
        self.pixels = torch.arange(len(feed.patches), device=device)
        self.places = tensor(feed.places)
        self.marks = tensor(np.flatnonzero(feed.ids == PATCH))
        self._positions = cache.append(feed.rows, feed.counts)
        self.positions, self._first = tensor(self._positions), tensor(feed.first)
        self.row_of = tensor(np.repeat(feed.rows, feed.counts))
        ends = np.cumsum(feed.counts)
        self._starts = ends - feed.counts
        asked = ends[:, None] - feed.wanted + np.arange(feed.wanted)
        self.wanted = tensor(asked.flatten())
        self._tensor, self._asked = tensor, asked

    def look(self, cache: KeyValueCache) -> None:
        """Find out who sees what, once the cache knows the new tokens' slots."""
        feed, used = self._feed, cache.used()
        longest = int(feed.counts.max())
        everybody = len(feed.rows) == len(cache)
        rows = None if everybody else feed.rows.tolist()
        index = self._tensor(feed.rows)

        def sight(grid: np.ndarray | None, width: int) -> _Sight:
            places = slice(None) if grid is None else self._tensor(grid.flatten())
            shape = len(feed.rows), width
            positions, first = (x[places].view(shape) for x in (self.positions, self._first))
            seen = cache.visible(index, positions, first, used)
            bias = torch.zeros(seen.shape, dtype=self.dtype, device=seen.device)
            return _Sight(bias.masked_fill_(~seen, -torch.inf)[:, None], rows)

        self.last = sight(self._asked, feed.wanted)
        if (feed.counts == longest).all():
            self.all = sight(None, longest)
            return
        # Shorter rows repeat their last token, and nobody reads what it finds.
        steps = np.arange(longest)
        grid = self._starts[:, None] + np.minimum(steps, feed.counts[:, None] - 1)
        self.all = sight(grid, longest)
        self.all.padded = self._tensor(grid.flatten())
        real = steps < feed.counts[:, None]
        self.all.real = self._tensor(np.flatnonzero(real))


@dataclass
class _Sight:
    """Attention of (R, T) queries under a bias (R, 1, T, C)."""

    bias: Tensor
    rows: list[int] | None
    """Of the cache; None = all."""
    padded: Tensor | None = None
    """(R * T,) which query stands where, where rows differ in length."""
    real: Tensor | None = None
    """(N,) where the queries stand."""

    def attend(self, query: Tensor, cache: KeyValueCache, layer: int) -> Tensor:
        """(N, H, K) queries -> (N, D)."""
        query = self._grid(query)
        used = self.bias.shape[-1]
        keys, values = (table[layer, :, :, :used] for table in (cache.keys, cache.values))
        attend: Callable[..., Tensor] = functional.scaled_dot_product_attention
        if self.rows is None:
            found = attend(query, keys, values, attn_mask=self.bias)
        else:
            found = torch.cat(
                [
                    attend(
                        query[i : i + 1],
                        keys[row : row + 1],
                        values[row : row + 1],
                        attn_mask=self.bias[i : i + 1],
                    )
                    for i, row in enumerate(self.rows)
                ]
            )
        found = found.transpose(1, 2).flatten(0, 1).flatten(1)
        return found if self.real is None else found[self.real]

    def weights(self, query: Tensor, cache: KeyValueCache, layer: int) -> Tensor:
        """(N, H, K) queries -> (R, H, T, C) float32 attention weights."""
        query = self._grid(query)
        keys = cache.keys[layer, :, :, : self.bias.shape[-1]]
        keys = keys if self.rows is None else keys[self.rows]
        scores = query.float() @ keys.float().transpose(2, 3) * query.shape[-1] ** -0.5
        return (scores + self.bias.float()).softmax(-1)

    def _grid(self, query: Tensor) -> Tensor:
        """(N, H, K) -> (R, H, T, K)."""
        query = query if self.padded is None else query[self.padded]
        return query.unflatten(0, (len(self.bias), -1)).transpose(1, 2)
