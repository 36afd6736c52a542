"""Useful operations of a step, against what PyTorch's own counter sees."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gato_gym.cli.plain_reference import PlainGato, plain_batch
from gato_gym.config import ModelConfig
from gato_gym.data.packing import Document, pack
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.timestep import TokenSequence
from gato_gym.training.flops import padding_mask, peak_flops, step_flops

L = 24
CONFIG = ModelConfig(
    "test",
    width=32,
    layers=3,
    heads=2,
    hidden=64,
    context=L,
    text_size=1024,
    patch_channels=32,
    stochastic_depth=0.0,
)


def document(length, targets, images=0, seed=0):
    """Predicts its last tokens; starts with patches that are all different."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 1024, length).astype(np.int32)
    ids[:images] = -1
    wanted = np.full(length, -1, np.int32)
    wanted[length - targets :] = ids[length - targets :]
    patches = rng.integers(0, 256, (images, 16, 16, 3)).astype(np.uint8)
    intervals = np.tile(np.array([0, 8, 0, 8], np.int16), (images, 1))
    return Document(0, [TokenSequence(ids, np.zeros(length, np.int16), wanted, patches, intervals)])


def window(*rows):
    numbers = range(len(rows))
    names = [("an episode",) for _ in rows]
    return pack(L, rows, numbers, names, [np.random.default_rng(i) for i in numbers])


def counted(run):
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return counter.get_total_flops()


def wasted(pairs):
    """Operations for pairs of tokens that do not see each other, in a training step."""
    return 3 * 4 * CONFIG.width * pairs


@pytest.mark.parametrize("images", [0, 5])
def test_a_dense_step_is_what_the_counter_counts(images):
    """All positions but the last have a target, so the plain model wastes these and the future."""
    rows = window(
        [document(L, L - 1, seed=1)], [document(L, L - 1 - images, images=images, seed=2)]
    )
    found = counted(lambda: PlainGato(CONFIG)(plain_batch(rows)).backward())
    without = int(rows.queries[1][rows.targets[1] >= 0].min())
    # The last layer of positions without a target: queries, their pairs, feed-forward, vocabulary.
    width, seen = CONFIG.width, np.arange(1, L + 1)
    idle = [*range(without), L - 1, L - 1]
    per_token = 4 * width * width + 3 * width * CONFIG.hidden + 2 * width * 2049
    last = sum(3 * (per_token + 4 * width * seen[i]) for i in idle)
    future = wasted(CONFIG.layers * 2 * (L * L - seen.sum()))
    assert found == step_flops(CONFIG, rows) + last + future


def test_packed_rows_are_what_our_model_computes():
    """Equal numbers of targets, no padding: what is left over is the future in each document."""
    rows = window(
        [document(8, 3, images=2, seed=1), document(16, 3, seed=2)],
        [document(12, 3, images=2, seed=3), document(12, 3, seed=4)],
    )
    batch = {
        name: torch.from_numpy(np.ascontiguousarray(getattr(rows, name)))
        for name in ("ids", "local", "patches", "pixels", "positions", "first_visible")
    }
    queries, targets = torch.from_numpy(rows.queries), torch.from_numpy(rows.targets)

    def forward():
        with torch.no_grad():
            Gato(CONFIG)(**batch, queries=queries)

    lengths = np.array([8, 16, 12, 12])
    future = (CONFIG.layers - 1) * (lengths**2 - lengths * (lengths + 1) // 2).sum()
    # The last layer's few queries look at the whole row.
    behind = (
        targets.numel() * L
        - (rows.queries - np.take_along_axis(rows.first_visible, rows.queries, 1) + 1).sum()
    )
    found = counted(forward)
    assert found == step_flops(CONFIG, rows, training=False) + wasted(future + behind) // 3


def test_nothing_is_counted_for_padding_and_repeated_patches():
    plain = [step_flops(CONFIG, window([document(length, 4)])) for length in (L, L // 2)]
    assert plain[1] < 0.8 * plain[0]  # the vocabulary is as large
    padded = window([document(L // 2, 4, images=3)])
    twice = window([document(L // 2, 4, images=3), document(L // 2, 4, images=3)])
    patches = step_flops(CONFIG, padded) - step_flops(
        CONFIG, replace(padded, patches=padded.patches[:0])
    )
    assert step_flops(CONFIG, twice) == 2 * step_flops(CONFIG, padded) - patches
    assert padding_mask(padded.first_visible).sum() == padded.padding == L // 2
    assert not padding_mask(twice.first_visible).any()


def test_skipped_sub_layers_are_not_counted():
    rows = window([document(L, 4)])
    whole, half = (step_flops(replace(CONFIG, stochastic_depth=p), rows) for p in (0.0, 0.5))
    vocabulary = 3 * 4 * 2 * CONFIG.width * 2049
    assert half - vocabulary == (whole - vocabulary) / 2
    evaluated = [
        step_flops(replace(CONFIG, stochastic_depth=p), rows, training=False) for p in (0.0, 0.5)
    ]
    assert evaluated[0] == evaluated[1] == whole / 3


def test_the_peak_of_a_cpu_is_measured():
    peak, source = peak_flops("cpu")
    assert peak > 1e8 and source.startswith("measured: 1024 x 1024 in fp32, 1 thread")


def test_the_peak_of_a_known_gpu_is_its_data_sheets(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert peak_flops("cuda") == (989e12, "data sheet of H200, bf16 without sparsity")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    assert peak_flops("cuda")[0] == 989e12
