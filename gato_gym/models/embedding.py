"""Tokens -> vectors: id table, patch network, local and patch positions (section 2.2, appendix C).

With `ModelConfig.parallel_actions` an action token says only that an action stands there: its id
counts for nothing, so predictions depend on observations alone (appendix G).

Shapes: L tokens, P patch marks, U distinct patches, D width.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from gato_gym.config import ModelConfig
from gato_gym.tokenizers.image import POSITION_BINS
from gato_gym.tokenizers.timestep import ACTION_ROW, LOCAL_ROWS
from gato_gym.tokenizers.vocabulary import PATCH, Vocabulary

# Cells per side of the grid on which the residual block works.
GRID = 4
GROUPS = 32


class PatchNetwork(nn.Module):
    """One pre-activation residual block per 16 x 16 patch (appendix C.2: GroupNorm 32, GELU).

    The paper gives no kernel sizes. A 4 x 4 convolution of stride 4 makes the block's grid: at full
    resolution the block alone would cost more than a whole transformer layer of the bundled size. A
    1 x 1 convolution then keeps F features per cell, so that the projection stays below 1 M
    parameters at width 2048.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, side = config.patch_channels, 16 // GRID
        self.stem = nn.Conv2d(3, channels, side, stride=side)
        self.norm1 = nn.GroupNorm(GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.squeeze = nn.Conv2d(channels, config.patch_features, 1)
        self.project = nn.Linear(config.patch_features * GRID * GRID, config.width)

    def forward(self, patches: Tensor) -> Tensor:
        """(U, 16, 16, 3) uint8 -> (U, D). Pixels go to [-1, 1], then are divided by 4 (2.1)."""
        # In float32 also where the weights are bfloat16, which would blur them by a grey level.
        x = (patches.float() / 127.5 - 1.0) / 4.0
        x = self.stem(x.to(self.stem.weight.dtype).movedim(-1, 1))
        y = self.conv1(functional.gelu(self.norm1(x)))
        x = x + self.conv2(functional.gelu(self.norm2(y)))
        return self.project(self.squeeze(x).flatten(1))


class Embedding(nn.Module):
    """One parameterised embedding of all modalities; `ids.weight` is also the output projection."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.parallel_actions = config.parallel_actions
        self.ids = nn.Embedding(Vocabulary(config.text_size).size, config.width)
        self.local = nn.Embedding(LOCAL_ROWS, config.width)
        self.rows = nn.Embedding(POSITION_BINS, config.width)
        self.columns = nn.Embedding(POSITION_BINS, config.width)
        self.patches = PatchNetwork(config)

    def forward(
        self,
        ids: Tensor,
        local: Tensor,
        patches: Tensor,
        pixels: Tensor,
        positions: Tensor,
        marks: Tensor | None = None,
    ) -> Tensor:
        """Vectors of all tokens.

        Args:
            ids: (..., L) int64, -1 where a patch stands.
            local: (..., L) int64, row of the local position table.
            patches: (U, 16, 16, 3) uint8, distinct patches: most of a video repeats itself.
            pixels: (P,) int64, which of them stands at each -1 mark, in order.
            positions: (P, 2) int64, row and column index of each mark.
            marks: (P,) int64, where in the flat ids the marks are; None looks for them, for which
                a GPU has to wait.

        Returns:
            (..., L, D)
        """
        # The table is small for the output; times sqrt(D) it has the residual stream's scale.
        x = self.ids(ids.clamp(min=0)) * self.ids.embedding_dim**0.5
        if self.parallel_actions:
            x = x.masked_fill((local == ACTION_ROW).unsqueeze(-1), 0.0)
        if len(pixels):
            if marks is None:
                marks = (ids == PATCH).flatten().nonzero().squeeze(1)
            drawn = functional.embedding(pixels, self.patches(patches))
            drawn = drawn + self.rows(positions[:, 0]) + self.columns(positions[:, 1])
            x = x.flatten(0, -2).index_copy(0, marks, drawn.to(x.dtype)).view_as(x)
        return x + self.local(local)
