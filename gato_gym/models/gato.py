"""The decoder (paper section 2.3, appendix C.1).

- pre-norm blocks, attention and GEGLU without biases; the id table is also the output projection
- rotary positions. The paper's parameter counts point to Transformer-XL relative attention; rotary
  lets a sliding cache stand in for its memory and runs on fused attention
- a token sees positions first_visible..itself, see attention.py
- what has no target costs nothing after the last keys: the last block's queries, its feed-forward
  part and the output projection run at target positions only

Shapes: B rows, L tokens, Q target positions per row, D width, H heads, K key size, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from gato_gym.config import ModelConfig
from gato_gym.models.attention import Attention, attention, query_attention
from gato_gym.models.embedding import Embedding
from gato_gym.models.loss import TargetLosses, target_losses
from gato_gym.tokenizers.vocabulary import BINS, Vocabulary

ROTARY_BASE = 10_000.0


def rotary_angles(positions: Tensor, key_size: int) -> tuple[Tensor, Tensor]:
    """cos and sin (..., L, 1, K/2) of each position's angles; (..., L) -> broadcast over heads.

    In double precision until the cosine: an Atari episode reaches position 40,000, where a float32
    angle is off by 0.004.
    """
    steps = torch.arange(0, key_size, 2, device=positions.device, dtype=torch.float64) / key_size
    angles = positions[..., None].double() * ROTARY_BASE**-steps
    return angles.cos().float().unsqueeze(-2), angles.sin().float().unsqueeze(-2)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + K/2) of (..., L, H, K) by its position's angle."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)


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
    """Attention, then GEGLU."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden // 2, width, bias=False)

    def forward(
        self,
        x: Tensor,
        angles: tuple[Tensor, Tensor],
        attend: Attention,
        queries: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> Tensor:
        """(B, L, D) -> (B, L, D), or (B, Q, D) at the positions `queries` (B, Q) where given.

        Args:
            x: the residual stream.
            angles: of every position, see `rotary_angles`.
            attend: attention of all positions, or of the queries where given.
            queries: where the result is wanted.
            keep: (B, 2), what each sub-layer's output is multiplied with in each row.
        """

        def attention(rows: Tensor | None) -> Tensor:
            part, cos, sin, see, wanted = x, *angles, attend, queries
            if rows is not None:
                part, see = x[rows], attend.rows(rows)
                wanted = None if queries is None else queries[rows]
            normed = self.norm1(part)
            key, value = self.key_value(normed).chunk(2, dim=-1)
            key, value = rotate(self._heads(key), cos, sin), self._heads(value)
            key, value = key.transpose(1, 2), value.transpose(1, 2)
            if wanted is not None:
                normed = _take(normed, wanted)
                cos, sin = (
                    torch.take_along_dim(table, wanted[:, :, None, None], dim=1)
                    for table in (cos, sin)
                )
            query = rotate(self._heads(self.query(normed)), cos, sin).transpose(1, 2)
            return self.out(see(query, key, value).transpose(1, 2).flatten(2))

        residual = x if queries is None else _take(x, queries)
        x1 = _add(residual, attention, None if keep is None else keep[:, 0])

        def feed_forward(rows: Tensor | None) -> Tensor:
            gate, linear = self.up(self.norm2(x1 if rows is None else x1[rows])).chunk(2, dim=-1)
            return self.down(functional.gelu(gate) * linear)

        return _add(x1, feed_forward, None if keep is None else keep[:, 1])

    def _heads(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, H, K)."""
        return x.unflatten(-1, (self.heads, -1))


def _add(x: Tensor, update: Callable[[Tensor | None], Tensor], keep: Tensor | None) -> Tensor:
    """x + update, in each row times its factor of `keep` (B,); on a CPU rows of factor 0 are not
    computed (stochastic depth, appendix C)."""
    if keep is None:
        return x + update(None)
    if keep.is_cuda or torch.compiler.is_compiling():  # shapes must not change
        return x + update(None) * keep[:, None, None].to(x.dtype)
    factor = float(keep.max())
    rows = keep.nonzero().squeeze(1)
    if len(rows) == len(keep):
        return torch.add(x, update(None), alpha=factor)
    if not len(rows):
        # Gradients of zero rather than none, so that an optimiser step is the same on all ranks.
        rows = torch.zeros(1, dtype=torch.long)
    return x.index_add(0, rows, update(rows), alpha=factor)


def _take(x: Tensor, index: Tensor) -> Tensor:
    """Rows (B, Q) of (B, L, D)."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))


class Gato(nn.Module):
    """One network for all tasks and modalities."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        # The first so many blocks keep no activations but compute them again in the backward pass.
        self.recomputed_blocks = 0
        # "documents", "flex" or "masked"; None chooses by device and visibility.
        self.attention: str | None = None
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

    def compile_blocks(self) -> None:
        """Compile each block with torch.compile; all share the code that the first one gives.

        Shapes that vary become dynamic at their second size: nothing compiles again after the first
        steps. On a CPU this gives up what depends on lengths: attention by document, skipped rows.
        """
        for block in self.blocks:
            block.compile()
        if self.attention is None and not next(self.parameters()).is_cuda:
            self.attention = "masked"

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
        targets: Tensor | None = None,
        keep: Tensor | None = None,
        marks: Tensor | None = None,
        wanted: Tensor | None = None,
    ) -> Tensor | TargetLosses:
        """Logits of the next id after each position, or only after `queries`; or the losses there.

        Args:
            ids: (B, L) int64, -1 where a patch stands.
            local: (B, L) int64, local position rows.
            patches, pixels, positions: distinct patches and where they stand, see `Embedding`.
            first_visible: (B, L) int64, the first position of the row that each token may see.
            queries: (B, Q) int64 positions whose prediction is wanted.
            targets: (B, Q) int64, the id to predict at each query, -1 for none.
            keep: (B, layers, 2) factors of the sub-layers' outputs, 0 = skipped (stochastic depth).
            marks: (P,) int64, see `Embedding`.
            wanted: (N,) int64, where in the flat targets there are some, see `target_losses`.

        Returns:
            (B, L, V) or (B, Q, V); with targets their losses, for which no tensor of all logits is
            ever made.
        """
        x = self.embedding(ids, local, patches, pixels, positions, marks)
        angles = self._angles(ids)
        attend = attention(first_visible, self.attention)
        last = attend if queries is None else query_attention(first_visible, queries)
        for layer, block in enumerate(self.blocks):
            asked, see = (None, attend) if layer < len(self.blocks) - 1 else (queries, last)
            kept = None if keep is None else keep[:, layer]
            x = self._run(layer, block, x, angles, see, asked, kept)
        x = self.norm(x)
        if targets is None:
            return self.logits(x)
        return target_losses(x, self.embedding.ids.weight, targets, wanted)

    def states(
        self,
        ids: Tensor,
        local: Tensor,
        patches: Tensor,
        pixels: Tensor,
        positions: Tensor,
        first_visible: Tensor,
        marks: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """The residual stream of every position, layers + 1 times (B, L, D).

        The first is what goes into the first block, the others what each block gives, in order.
        Arguments as of `forward`.
        """
        x = self.embedding(ids, local, patches, pixels, positions, marks)
        yield x
        angles = self._angles(ids)
        attend = attention(first_visible, self.attention)
        for block in self.blocks:
            x = block(x, angles, attend)
            yield x

    def _angles(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        index = torch.arange(ids.shape[1], device=ids.device)[None]
        return rotary_angles(index, self.config.width // self.config.heads)

    def _run(self, layer: int, block: nn.Module, *args: Any) -> Tensor:
        if layer < self.recomputed_blocks and torch.is_grad_enabled():
            return checkpoint(block, *args, use_reentrant=False, preserve_rng_state=False)
        return block(*args)
