"""The decoder (paper section 2.3, appendix C.1).

- pre-norm blocks, attention and GEGLU without biases; the id table is also the output projection
- rotary positions. The paper's parameter counts point to Transformer-XL relative attention; rotary
  lets a sliding cache stand in for its memory and runs on fused attention
- one mask for everything: a token sees positions first_visible..itself. Packed documents, the
  sliding context and a full recomputation differ only in `first_visible`
- what has no target costs nothing after the last keys: the last block's queries, its feed-forward
  part and the output projection run at target positions only

Shapes: B rows, L tokens, Q target positions per row, D width, H heads, K key size, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from gato_gym.config import ModelConfig
from gato_gym.models.cache import KeyValueCache
from gato_gym.models.embedding import Embedding
from gato_gym.tokenizers.vocabulary import BINS, Vocabulary

ROTARY_BASE = 10_000.0

Store = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]


def rotary_angles(positions: Tensor, key_size: int) -> tuple[Tensor, Tensor]:
    """cos and sin (..., 1, L, K/2) of each position's angles; (..., L) -> broadcast over heads.

    In double precision until the cosine: an Atari episode reaches position 40,000, where a float32
    angle is off by 0.004.
    """
    steps = torch.arange(0, key_size, 2, device=positions.device, dtype=torch.float64) / key_size
    angles = positions[..., None].double() * ROTARY_BASE**-steps
    return angles.cos().float().unsqueeze(-3), angles.sin().float().unsqueeze(-3)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + K/2) of (..., L, K) by its position's angle."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)


def visible_mask(first_visible: Tensor) -> Tensor:
    """(B, L) first visible positions -> (B, 1, L, L), True where a row may see a column."""
    index = torch.arange(first_visible.shape[1], device=first_visible.device)
    mask = (index <= index[:, None]) & (index >= first_visible[:, :, None])
    return mask[:, None]


def smooth_rows(bins: int, width: int, std: float) -> Tensor:
    """(bins, width) start of the continuous ids: random Fourier features of the bin's centre.

    Neighbouring bins start out similar. With independent rows a model learns each of the 1024 bins
    from scratch.
    """
    centres = torch.linspace(-1 + 1 / bins, 1 - 1 / bins, bins)[:, None]
    # From half a turn over the whole range to a tenth of a turn per bin.
    frequencies = torch.exp(torch.empty(width).uniform_(math.log(math.pi / 2), math.log(300.0)))
    phases = torch.empty(width).uniform_(0, 2 * math.pi)
    return std * math.sqrt(2) * torch.cos(frequencies * centres + phases)


class Block(nn.Module):
    """Attention, then GEGLU; in training each is skipped with probability p (appendix C)."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        width = config.width
        self.layer, self.heads, self.drop = layer, config.heads, config.stochastic_depth
        self.norm1 = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden // 2, width, bias=False)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)

    def _keep(self, x: Tensor) -> Tensor:
        """Stochastic depth: zero a sub-layer's output for some rows, scale the others up."""
        if not self.training or self.drop == 0:
            return x
        kept = torch.rand(len(x), 1, 1, device=x.device) >= self.drop
        return x * (kept / (1 - self.drop)).to(x.dtype)

    def forward(
        self,
        x: Tensor,
        angles: tuple[Tensor, Tensor],
        mask: Tensor,
        queries: Tensor | None = None,
        store: Store | None = None,
    ) -> Tensor:
        """(B, L, D) -> (B, L, D), or (B, Q, D) at the positions `queries` (B, Q) where given.

        `store` keeps the new keys and values and returns all that can be attended to.
        """
        cos, sin = angles
        normed = self.norm1(x)
        key, value = (self._heads(part) for part in self.key_value(normed).chunk(2, dim=-1))
        key = rotate(key, cos, sin)
        if store is not None:
            key, value = store(self.layer, key, value)
        if queries is not None:
            x, normed = (_take(part, queries) for part in (x, normed))
            rows = queries[:, None, :, None]
            cos, sin, mask = (torch.take_along_dim(part, rows, dim=2) for part in (cos, sin, mask))
        query = rotate(self._heads(self.query(normed)), cos, sin)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self._keep(self.out(attended.transpose(1, 2).flatten(2)))
        gate, linear = self.up(self.norm2(x)).chunk(2, dim=-1)
        return x + self._keep(self.down(functional.gelu(gate) * linear))


def _take(x: Tensor, index: Tensor) -> Tensor:
    """Rows (B, Q) of (B, L, D)."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))


class Gato(nn.Module):
    """One network for all tasks and modalities."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.init_weights()

    def init_weights(self) -> None:
        """Every parameter's start; d = width.

        id table: normal 0.02, used as it is for the output and times sqrt(d) for the input; the
        rows of the continuous bins: smooth in the bin's value (see `smooth_rows`). Other tables:
        normal 0.02 sqrt(d), so that what a token is and where it stands weigh the same. Matrices:
        normal fan_in^-1/2; projections back into the residual stream (`out`, `down`) divided by
        sqrt(2 layers). Convolutions: PyTorch's default; norms 1 and 0.
        """
        vocabulary = Vocabulary(self.config.text_size)
        for name, module in self.named_modules():
            last = name.rsplit(".", 1)[-1]
            if isinstance(module, nn.Embedding):
                scale = 1.0 if last == "ids" else self.config.width**0.5
                nn.init.normal_(module.weight, std=0.02 * scale)
            elif isinstance(module, nn.Linear):
                scale = (2 * self.config.layers) ** -0.5 if last in ("out", "down") else 1.0
                nn.init.normal_(module.weight, std=scale * module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        with torch.no_grad():
            rows = slice(vocabulary.continuous_start, vocabulary.separator)
            self.embedding.ids.weight[rows] = smooth_rows(BINS, self.config.width, std=0.02)

    def parameter_count(self) -> int:
        """Number of parameters, the tied table once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V) through the tied table."""
        return functional.linear(hidden, self.embedding.ids.weight)

    def forward(
        self,
        ids: Tensor,
        local: Tensor,
        patches: Tensor,
        pixels: Tensor,
        positions: Tensor,
        first_visible: Tensor,
        queries: Tensor | None = None,
    ) -> Tensor:
        """Logits of the next id after each position, or only after the positions `queries`.

        Args:
            ids: (B, L) int64, -1 where a patch stands.
            local: (B, L) int64, local position rows.
            patches, pixels, positions: distinct patches and where they stand, see `Embedding`.
            first_visible: (B, L) int64, the first position of the row that each token may see.
            queries: (B, Q) int64 positions whose prediction is wanted.

        Returns:
            (B, L, V), or (B, Q, V).
        """
        x = self.embedding(ids, local, patches, pixels, positions)
        index = torch.arange(ids.shape[1], device=ids.device)[None]
        angles = rotary_angles(index, self.config.width // self.config.heads)
        mask = visible_mask(first_visible)
        for block in self.blocks[:-1]:
            x = block(x, angles, mask)
        x = self.blocks[-1](x, angles, mask, queries)
        return self.logits(self.norm(x))

    @torch.inference_mode()
    def extend(
        self,
        cache: KeyValueCache,
        rows: Tensor,
        ids: Tensor,
        local: Tensor,
        patches: Tensor,
        pixels: Tensor,
        positions: Tensor,
        first_visible: Tensor,
    ) -> Tensor:
        """Append T tokens to R rows of the cache, changed in place; logits (R, V) after the last.

        Args:
            cache: of this model.
            rows: (R,) int64, which rows, ascending.
            ids, local: (R, T) int64.
            patches, pixels, positions: distinct patches and where they stand, see `Embedding`.
            first_visible: (R, T) int64, the first position each token may see.
        """
        x = self.embedding(ids, local, patches, pixels, positions)
        index, slots, mask = cache.place(rows, first_visible)
        angles = rotary_angles(index, self.config.width // self.config.heads)
        last = torch.full((len(ids), 1), ids.shape[1] - 1, device=ids.device)

        def store(layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            return cache.write(layer, rows, slots, keys, values)

        for block in self.blocks[:-1]:
            x = block(x, angles, mask, store=store)
        x = self.blocks[-1](x, angles, mask, last, store)
        return self.logits(self.norm(x[:, 0]))
