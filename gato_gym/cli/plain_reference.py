"""The training path that a person would write first, and what `gato-gym bench train` compares with.

The same network with the same weights as `models/gato.py`, after published reproductions of Gato
(torch-gato, NEKO, JAT and its predecessor): one document per row, padded to the context; explicit
attention scores under a dense mask; every layer and the vocabulary at all positions, then a
cross-entropy that ignores those without a target; every patch through the patch network by itself,
as floats from the loader; stochastic depth that multiplies with a mask; AdamW as PyTorch gives it;
nothing compiled. Nothing is slower than these ways make it: there is no loop over tokens, and the
number format is that of the path it is compared with.

Shapes: B rows, L tokens, D width, H heads, K key size, P patches, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gato_gym.config import ModelConfig, TrainConfig
from gato_gym.data.documents import Cut, Planner
from gato_gym.data.mixture import below
from gato_gym.data.packing import Window
from gato_gym.data.windows import WindowSource
from gato_gym.models.embedding import Embedding, PatchNetwork
from gato_gym.tokenizers.image import POSITION_BINS
from gato_gym.tokenizers.timestep import ACTION_ROW, LOCAL_ROWS
from gato_gym.tokenizers.vocabulary import PATCH, Vocabulary
from gato_gym.training.optim import BETAS, EPSILON

ROTARY_BASE = 10_000.0
IGNORED = -1


class PlainPatches(PatchNetwork):
    """The patch network on floats: the loader has scaled them."""

    def forward(self, patches: Tensor) -> Tensor:
        """(P, 3, 16, 16) float -> (P, D)."""
        x = self.stem(patches)
        y = self.conv1(functional.gelu(self.norm1(x)))
        x = x + self.conv2(functional.gelu(self.norm2(y)))
        return self.project(self.squeeze(x).flatten(1))


class PlainEmbedding(nn.Module):
    """Tables and patch network."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.parallel_actions = config.parallel_actions
        self.ids = nn.Embedding(Vocabulary(config.text_size).size, config.width)
        self.local = nn.Embedding(LOCAL_ROWS, config.width)
        self.rows = nn.Embedding(POSITION_BINS, config.width)
        self.columns = nn.Embedding(POSITION_BINS, config.width)
        self.patches = PlainPatches(config)

    def forward(self, ids: Tensor, local: Tensor, patches: Tensor, positions: Tensor) -> Tensor:
        """(B, L), (B, L), (P, 3, 16, 16), (P, 2) -> (B, L, D)."""
        x = self.ids(ids.clamp(min=0)) * self.ids.embedding_dim**0.5
        if self.parallel_actions:
            x[local == ACTION_ROW] = 0.0
        if len(patches):
            drawn = self.patches(patches)
            drawn = drawn + self.rows(positions[:, 0]) + self.columns(positions[:, 1])
            x[ids == PATCH] = drawn.to(x.dtype)
        return x + self.local(local)


class PlainBlock(nn.Module):
    """Attention, then GEGLU; both at all positions."""

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
        self, x: Tensor, tables: tuple[Tensor, Tensor], mask: Tensor, keep: Tensor | None
    ) -> Tensor:
        """(B, L, D) -> (B, L, D); rotary tables, mask (B, 1, L, L) bool, keep (B, 2)."""
        normed = self.norm1(x)
        key, value = self.key_value(normed).chunk(2, dim=-1)
        query, key = (rotated(self.split(y), tables) for y in (self.query(normed), key))
        return self.add(x, naive_attention(query, key, self.split(value), mask), keep)

    def split(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, H, L, K)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def add(self, x: Tensor, attended: Tensor, keep: Tensor | None) -> Tensor:
        """(B, L, D) and what its heads found (B, H, L, K) -> (B, L, D) after the block."""
        update = self.out(attended.transpose(1, 2).flatten(2))
        x = x + (update if keep is None else update * keep[:, 0, None, None])
        gate, linear = self.up(self.norm2(x)).chunk(2, dim=-1)
        update = self.down(functional.gelu(gate) * linear)
        return x + (update if keep is None else update * keep[:, 1, None, None])


def naive_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """(B, H, Q, K), (B, H, L, K), (B, H, L, K) -> (B, H, Q, K) under a mask (B, 1, Q, L)."""
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    return scores.masked_fill(~mask, float("-inf")).softmax(dim=-1).to(value.dtype) @ value


def rotary_tables(positions: Tensor, key_size: int) -> tuple[Tensor, Tensor]:
    """(B, L) positions -> cos and sin (B, 1, L, K/2)."""
    half = key_size // 2
    rates = ROTARY_BASE ** -(torch.arange(half, device=positions.device).double() / half)
    angles = positions[:, None, :, None] * rates
    return angles.cos().float(), angles.sin().float()


def rotated(x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """(B, H, L, K), each pair (i, i + K/2) turned by its angle."""
    cos, sin = tables
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)


class PlainGato(nn.Module):
    """The decoder; its state dict is that of `models.gato.Gato`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding: PlainEmbedding | Embedding = PlainEmbedding(config)
        self.blocks = nn.ModuleList(PlainBlock(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        """(B, L, D)."""
        found: Tensor = self.embedding(
            *(batch[name] for name in ("ids", "local", "patches", "positions"))
        )
        return found

    def hidden(self, batch: dict[str, Tensor], keep: Tensor | None) -> Tensor:
        """(B, L, D) before the vocabulary."""
        x = self.embed(batch)
        tables = rotary_tables(
            torch.arange(x.shape[1], device=x.device)[None], x.shape[2] // self.config.heads
        )
        mask = dense_mask(batch["first_visible"])
        for layer, block in enumerate(self.blocks):
            x = block(x, tables, mask, None if keep is None else keep[:, layer])
        return self.norm(x)

    def forward(self, batch: dict[str, Tensor], keep: Tensor | None = None) -> Tensor:
        """Mean loss over the targets of a batch of `plain_batch`.

        Args:
            batch: its tensors on the model's device.
            keep: (B, layers, 2), what each sub-layer's output is multiplied with.
        """
        logits = functional.linear(self.hidden(batch, keep), self.embedding.ids.weight)
        return functional.cross_entropy(
            logits.flatten(0, 1).float(), batch["labels"].flatten(), ignore_index=IGNORED
        )


def dense_mask(first_visible: Tensor) -> Tensor:
    """(B, L) first visible positions -> (B, 1, L, L), True where a row may see a column."""
    index = torch.arange(first_visible.shape[1], device=first_visible.device)
    return ((index <= index[:, None]) & (index >= first_visible[:, :, None]))[:, None]


def plain_batch(window: Window) -> dict[str, Tensor]:
    """What a plain loader gives: a label at every position, every patch by itself as floats."""
    labels = np.full(window.ids.shape, IGNORED, np.int64)
    rows, columns = np.nonzero(window.targets >= 0)
    labels[rows, window.queries[rows, columns]] = window.targets[rows, columns]
    images = window.patches[window.pixels].transpose(0, 3, 1, 2).astype(np.float32)
    arrays = {
        "ids": window.ids,
        "local": window.local,
        "first_visible": window.first_visible,
        "positions": window.positions,
        "patches": (images / 127.5 - 1.0) / 4.0,
        "labels": labels,
    }
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


class OneDocument(Planner):
    """One document per row: an episode is divided into rows and its last one padded, as JAT's
    loader does. All rows of a task are as likely, so all steps are, as with packed rows."""

    def row(self, room: int, rng: np.random.Generator) -> list[list[Cut]]:
        """The one document, of the task that a packed row begins with; maybe half of it a prompt
        from another episode."""
        task = self.mixture.draw(rng, self._smallest <= room)
        source = self.mixture.tasks[task]
        prompted = rng.random() < self.prompt_share and room // 2 >= self._most[task]
        room -= room // 2 if prompted else 0
        most, sure = room // self._least[task], room // self._most[task]
        while True:
            index = source.draw(most - 1, rng)
            total, steps = source.entries[index].steps, room // self._step_tokens(task, index)
            rows = -(-total // steps)
            if rng.random() * (total + most - 1) < rows * sure:
                break  # an episode is as likely as it has rows
        start = below(rows, rng) * steps
        prompt = self._prompt(task, index, sure, rng) if prompted else []
        return [[*prompt, Cut(task, index, start, min(steps, total - start))]]


class PlainSource(WindowSource):
    """Rows of one document each, the rest being padding."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        packing = self._planner
        self._planner = OneDocument(
            packing.mixture,
            packing._least,
            packing._most,
            packing._step_tokens,
            packing._cut_tokens,
            packing.prompt_share,
        )


def plain_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW with the settings of `training.optim`, as PyTorch gives it."""
    groups = [
        {
            "params": [p for p in model.parameters() if p.ndim >= 2],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=BETAS, eps=EPSILON)
