"""The network as it acts: only new tokens are computed, everything else is in the cache.

The same weights as in training and, up to rounding, the same logits as a full recomputation (tests
hold them together at every step). One pass appends tokens to some rows of a cache, however many to
each: what does not depend on other tokens is computed for all of them at once, attention row by
row. The vocabulary is multiplied with the positions and for the ids that are asked for.

Shapes: R rows of B, N new tokens of all of them, T the most of one row, W wanted predictions per
row, D width, H heads, K key size, C slots.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gato_gym.models.cache import KeyValueCache
from gato_gym.models.gato import Block, Gato, rotary_angles, rotate
from gato_gym.models.layout import Feed, Layout, Tensors
from gato_gym.models.packed import pack
from gato_gym.models.programs import Programs

# Numbers of a matrix that tell whether it has changed.
SAMPLES = 64


class Decoder:
    """Runs passes over a cache.

    Args:
        model: in eval mode; its weights are used where they are. After a change `forget` what was
            made of them; an agent's reset does that.
        compile: passes of fixed shapes, compiled, on a GPU as CUDA graphs (`programs.Programs`);
            None = on a GPU.
    """

    def __init__(self, model: Gato, compile: bool | None = None) -> None:
        self.model, self.config = model, model.config
        self.programs: Programs | None = None
        self._blocks: list[Any] = list(model.blocks)
        if self.device.type == "cuda" if compile is None else compile:
            self.programs = Programs(self._compute)
        else:
            self._blocks = [_Block(block) for block in self._blocks]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.norm.weight.device

    @property
    def captures(self) -> int:
        """Passes of a new shape that were prepared so far; constant once everything is warm."""
        return 0 if self.programs is None else self.programs.captures

    def new_cache(self, rows: int, slack: int) -> KeyValueCache:
        """An empty cache for this network, see `KeyValueCache`."""
        dtype = self.model.norm.weight.dtype
        with torch.inference_mode(False):  # whoever asks, it is written in either mode
            return KeyValueCache(self.config, rows, slack, self.device, dtype)

    def fingerprint(self) -> tuple[Any, ...]:
        """A few numbers of each weight, equal for equal ones; and where and in what format."""
        weights = [p.detach() for p in self.model.parameters()]
        plain = [w for w in weights if type(w) is Tensor]
        parts = [w.reshape(-1)[:: max(1, w.numel() // SAMPLES)].double().sum() for w in plain]
        told = torch.stack(parts).cpu().numpy().tobytes()
        return told, self.config, [(w.data_ptr(), w.dtype, w.device) for w in plain]

    def forget(self) -> None:
        """Make anew what was made of weights that have changed: laid out matrices, programs."""
        if self.programs is None:
            self._blocks = [_Block(block) for block in list[Any](self.model.blocks)]
        else:
            self.programs = Programs(self._compute)

    @torch.inference_mode()
    def run(
        self,
        cache: KeyValueCache,
        feed: Feed,
        attention: list[Tensor] | None = None,
        once: bool = False,
    ) -> Tensor:
        """Append the tokens to the cache, changed in place.

        Args:
            cache: of this network.
            feed: what to append.
            attention: where given, gets the (R, H, W, C) attention weights of each block.
            once: the shape will not come again, so that compiling it is not worth while.

        Returns:
            (R, W, D), the normalised states that `logits` takes.
        """
        positions = cache.append(feed.rows, feed.counts)
        layout = Layout.of(feed, positions, len(cache), cache.used())
        if self.programs is None or attention is not None or once:
            return self._compute(layout.tensors(self.device), cache, attention)
        return self.programs.run(layout, cache)

    @torch.inference_mode()
    def logits(self, states: Tensor, low: int, high: int) -> Tensor:
        """(..., D) states -> (..., high - low) float32 logits of the ids in [low, high).

        Rounded weights are multiplied in float32 too: near ties decide many an action.
        """
        table = self.model.embedding.ids.weight[low:high]
        return functional.linear(states.float(), table.float())

    def _compute(
        self, new: Tensors, cache: KeyValueCache, attention: list[Tensor] | None = None
    ) -> Tensor:
        """See `run`; all that it does is done on the device and depends on shapes only."""
        heads = self.config.heads
        x = self.model.embedding(new.ids, new.local, new.patches, new.pixels, new.places, new.marks)
        angles = rotary_angles(new.positions, self.config.width // heads)
        slots = cache.place(new.row_of, new.positions)
        everyone, last = _Sight.of_all(new, cache), _Sight.of_asked(new, cache)
        for layer, block in enumerate(self._blocks):
            normed = block.norm1(x)
            key, value = block.key_value(normed).unflatten(-1, (2, heads, -1)).unbind(1)
            cache.write(layer, slots, rotate(key, *angles), value)
            see = everyone
            if layer == len(self._blocks) - 1:
                # What nobody asks for ends at the last keys.
                normed, x, see = normed[new.asked], x[new.asked], last
                angles = angles[0][new.asked], angles[1][new.asked]
            query = rotate(block.query(normed).unflatten(-1, (heads, -1)), *angles)
            x = x + block.out(see.attend(query, cache, layer))
            if attention is not None:
                asked = query if see is last else query[new.asked]
                attention.append(last.weights(asked, cache, layer))
            gate, linear = block.up(block.norm2(x)).chunk(2, dim=-1)
            x = x + block.down(functional.gelu(gate) * linear)
        return self.model.norm(x).unflatten(0, (-1, new.wanted))


class _Block:
    """The parts of a block, its matrices as they are multiplied fastest."""

    def __init__(self, block: Block) -> None:
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.query, self.key_value, self.out, self.up, self.down = (
            pack(linear)
            for linear in (block.query, block.key_value, block.out, block.up, block.down)
        )


class _Sight:
    """Attention of a rectangle (R, T) of queries over the slots of their rows.

    Args:
        new: the pass.
        cache: that has places for its tokens.
        grid: (R * T,) the token of each query; None = all tokens in order.
    """

    def __init__(self, new: Tensors, cache: KeyValueCache, width: int, grid: Tensor | None) -> None:
        self.rows, self.used = new.rows, new.used
        positions, first = new.positions, new.first
        if grid is not None:
            positions, first = positions[grid], first[grid]
        held = cache.positions[:, None, : self.used]
        if new.rows is not None:
            held = held[list(new.rows)]
        seen = (held <= positions.view(-1, width, 1)) & (held >= first.view(-1, width, 1))
        bias = torch.zeros(seen.shape, dtype=cache.keys[0].dtype, device=seen.device)
        self.bias = bias.masked_fill_(~seen, -torch.inf)[:, None]
        """(R, 1, T, C)."""
        self.grid: Tensor | None = None
        self.real: Tensor | None = None

    @classmethod
    def of_all(cls, new: Tensors, cache: KeyValueCache) -> _Sight:
        """Of all new tokens."""
        if not len(new.grid):
            return cls(new, cache, new.width, None)
        sight = cls(new, cache, new.width, new.grid)
        sight.grid, sight.real = new.grid, new.real
        return sight

    @classmethod
    def of_asked(cls, new: Tensors, cache: KeyValueCache) -> _Sight:
        """Of those whose predictions are wanted."""
        return cls(new, cache, new.wanted, new.asked)

    def attend(self, query: Tensor, cache: KeyValueCache, layer: int) -> Tensor:
        """(N, H, K) queries -> (N, D)."""
        query = self._rectangle(query)
        keys, values = (table[layer][:, :, : self.used] for table in (cache.keys, cache.values))
        if self.rows is None:
            found = functional.scaled_dot_product_attention(query, keys, values, self.bias)
        else:  # one by one: taking some rows of the cache would copy them
            parts = []
            for i, row in enumerate(self.rows):
                at, of = slice(i, i + 1), slice(row, row + 1)
                parts.append(
                    functional.scaled_dot_product_attention(
                        query[at], keys[of], values[of], self.bias[at]
                    )
                )
            found = torch.cat(parts)
        found = found.transpose(1, 2).flatten(0, 1).flatten(1)
        return found if self.real is None else found[self.real]

    def weights(self, query: Tensor, cache: KeyValueCache, layer: int) -> Tensor:
        """(N, H, K) queries -> (R, H, T, C) float32 attention weights."""
        query = self._rectangle(query).float()
        keys = cache.keys[layer][:, :, : self.used]
        if self.rows is not None:
            keys = keys[list(self.rows)]
        scores = query @ keys.float().transpose(2, 3) * query.shape[-1] ** -0.5
        return (scores + self.bias.float()).softmax(-1)

    def _rectangle(self, query: Tensor) -> Tensor:
        """(N, H, K) -> (R, H, T, K)."""
        if self.grid is not None:
            query = query[self.grid]
        return query.unflatten(0, (-1, self.bias.shape[2])).transpose(1, 2)
