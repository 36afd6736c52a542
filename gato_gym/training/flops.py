"""Floating-point operations that a training step needs, and how many the device can do.

Their ratio over a step's time is the model-flops utilisation. What counts is what the model needs:
two per multiply-add of the matrix products and convolutions, three times for a training step
(forward, and backward to the inputs and to the weights). What does not count, however much time an
implementation spends on it: padding, pairs of tokens that do not see each other, the last block's
queries and the vocabulary where nothing is predicted, patches that are in the step already,
sub-layers that stochastic depth skips, anything computed twice.

Shapes: B rows, L tokens, Q target positions per row.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from gato_gym.config import ModelConfig
from gato_gym.data.packing import Window
from gato_gym.models.embedding import GRID
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import PATCH_SIDE

GPU_PEAKS = {
    # Part of the name that CUDA reports -> dense bf16 FLOP/s with fp32 sums, from NVIDIA's data
    # sheets (theirs with sparsity are twice as high). The first that fits counts.
    "B200": 2250e12,
    "GH200": 989e12,
    "H200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10G": 70e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


def step_flops(model_config: ModelConfig, window: Window, training: bool = True) -> float:
    """Operations of a step on a window; the gradient norm and the optimiser are not counted.

    Args:
        model_config: the shape of the decoder.
        window: rows with or without their first axis.
        training: forward and backward; else forward only, where no sub-layer is skipped.
    """
    config = model_config
    first = np.atleast_2d(window.first_visible)
    seen = np.where(padding_mask(first), 0, np.arange(first.shape[1]) - first + 1)
    queries, targets = np.atleast_2d(window.queries), np.atleast_2d(window.targets)
    seen_by_targets = np.take_along_axis(seen, queries, axis=1)[targets >= 0]
    tokens, wanted = int(np.count_nonzero(seen)), len(seen_by_targets)

    width = config.width
    keys = 2 * width * 2 * width
    # Queries and the attention's output; the gated feed-forward part.
    rest = 2 * (2 * width * width) + 2 * width * config.hidden + width * config.hidden
    pair = 2 * (2 * width)  # a score and its share of the sum
    full = tokens * (keys + rest) + int(seen.sum()) * pair
    last = tokens * keys + wanted * rest + int(seen_by_targets.sum()) * pair
    blocks = float((config.layers - 1) * full + last)
    if training:
        blocks *= 1 - config.stochastic_depth
    vocabulary = wanted * 2 * width * Vocabulary(config.text_size).size
    stem, after = _patch_flops(config)
    patches = len(window.patches)
    total = blocks + vocabulary + patches * (stem + after)
    # Pixels have no gradient.
    return float(3 * total - patches * stem if training else total)


def padding_mask(first_visible: np.ndarray) -> np.ndarray:
    """(B, L) first visible positions -> (B, L) bool, where a row is padding.

    Padding sees only itself, as the first token of a document does; a document has at least two
    tokens, so padding is what nothing sees.
    """
    index = np.arange(first_visible.shape[1])
    alone = first_visible == index
    followed = np.zeros_like(alone)
    followed[:, :-1] = first_visible[:, 1:] == index[:-1]
    return alone & ~followed


def _patch_flops(config: ModelConfig) -> tuple[int, int]:
    """Forward operations of the patch network per patch: its first convolution, all others."""
    cells, channels, features = GRID * GRID, config.patch_channels, config.patch_features
    stem = 2 * PATCH_SIDE * PATCH_SIDE * 3 * channels
    residual = 2 * (2 * cells * channels * 9 * channels)
    squeeze = 2 * cells * channels * features
    return stem, residual + squeeze + 2 * cells * features * config.width


def peak_flops(device: torch.device | str) -> tuple[float, str]:
    """What the device can do per second, and where the figure comes from.

    For a known GPU the data sheet's dense bf16 figure; else the best of some matrix products, in
    the number format that training uses there, with the threads that PyTorch has now.
    """
    device = torch.device(device)
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for part, peak in GPU_PEAKS.items():
            if part in name:
                return peak, f"data sheet of {part}, bf16 without sparsity"
        return _measured(device, torch.bfloat16, 8192), f"measured on {name}: 8192 x 8192 in bf16"
    threads = torch.get_num_threads()
    size = 1024
    return (
        _measured(device, torch.float32, size),
        f"measured: {size} x {size} in fp32, {threads} thread{'s' * (threads > 1)}",
    )


def _measured(device: torch.device, dtype: torch.dtype, size: int, repeats: int = 8) -> float:
    a, b = (torch.ones(size, size, device=device, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        product = a @ b
        product[0, 0].item()  # waits for the device
        times.append(time.perf_counter() - began)
    return 2 * size**3 / min(times)
