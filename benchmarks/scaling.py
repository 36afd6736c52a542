"""What the paper's sizes cost: memory per GPU, and how fast 1 to 256 of them could train. No GPU
is needed: nothing here is measured, all of it is arithmetic on the assumptions that it prints.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --json > benchmarks/results/scaling.json

Per token a step takes what `training/flops.py` counts, and computes at an assumed share of the
GPU's peak. Meanwhile each GPU sends and receives its part of the weights and gradients. Within a
machine the model is cut into shards (FSDP2); machines hold replicas of each other and add up their
shards' gradients. What overlaps is the longer of both; the rest of the time nothing computes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gato_gym.config import MODELS, ModelConfig, TrainConfig
from gato_gym.data.packing import Window
from gato_gym.models.gato import Gato
from gato_gym.training.flops import GPU_PEAKS, step_flops
from gato_gym.training.memory import GIB, estimate, plan_recomputed_blocks

SIZES = ("79m", "364m", "1.2b")
GPU = "H200"
MEMORY = 139 * GIB
# Share of the peak that is assumed: what good trainers of this size reach, not measured here.
UTILISATION = {"79m": 0.30, "364m": 0.40, "1.2b": 0.50}
# Bytes per second and GPU, one direction: NVLink within a machine; 400 Gbit/s between machines.
WITHIN, BETWEEN = 450e9, 50e9
PER_MACHINE = 8
GPUS = (1, 8, 32, 64, 128, 256)
PAPER_BATCH, PAPER_STEPS = 512, 1_000_000
# Share of positions with a target, as in the mixture of block stacking, Boxing and BabyAI.
TARGETS = 0.1
DISTINCT_PATCHES = 200
"""Distinct patches of a row."""


def row(config: ModelConfig) -> Window:
    """A full row of one document with targets at every tenth position."""
    queries = np.arange(0, config.context, round(1 / TARGETS))
    zeros = np.zeros(config.context, np.int64)
    return Window(
        ids=zeros,
        local=zeros,
        first_visible=zeros,
        queries=queries,
        targets=np.zeros_like(queries),
        tasks=np.zeros_like(queries),
        patches=np.zeros((DISTINCT_PATCHES, 16, 16, 3), np.uint8),
        pixels=np.zeros(0, np.int64),
        positions=np.zeros((0, 2), np.int64),
        marks=np.zeros(0, np.int64),
        rows=np.zeros((), np.int64),
        episodes=(),
        padding=0,
    )


def parameters(size: str) -> int:
    """Of a size, counted without memory for them."""
    with torch.device("meta"):
        return Gato(MODELS[size]).parameter_count()


def memory(size: str, gpus: int) -> dict[str, Any]:
    """Bytes per GPU at the paper's batch, and in how many micro-batches it fits."""
    config, count = MODELS[size], parameters(size)
    shards = min(gpus, PER_MACHINE)
    for rows in (64, 32, 16, 8, 4, 2, 1):
        if rows * gpus > PAPER_BATCH:
            continue
        # Rows per GPU and micro-batch decide the activations; shards the state.
        train = TrainConfig(batch=rows * shards)
        needed = estimate(config, train, count, shards, torch.device("cuda"))
        try:
            recomputed = plan_recomputed_blocks(needed, "auto", MEMORY)
        except MemoryError:
            continue
        if recomputed == 0 or rows == 1:
            break
    return {
        "rows": rows,
        "micro_batches": PAPER_BATCH // (rows * gpus),
        "state_gib": needed.state / GIB,
        "total_gib": needed.total(recomputed) / GIB,
        "recomputed_blocks": recomputed,
    }


def speed(size: str, gpus: int) -> dict[str, Any]:
    """Seconds of a step at the paper's batch, and tokens per second."""
    config, count = MODELS[size], parameters(size)
    flops = step_flops(config, row(config)) * PAPER_BATCH
    compute = flops / gpus / (GPU_PEAKS[GPU] * UTILISATION[size])
    needed = memory(size, gpus)
    shards, machines = min(gpus, PER_MACHINE), max(1, gpus // PER_MACHINE)
    # Weights are gathered as bf16 before the forward and the backward pass of each micro-batch;
    # gradients are summed as fp32 once a step: over the shards, then each shard over the machines.
    gathered = 2 * 2 * count * needed["micro_batches"]
    inside = (gathered + 4 * count) * (shards - 1) / shards
    across = 2 * 4 * count / shards * (machines - 1) / machines
    talk = inside / WITHIN + across / BETWEEN
    seconds = max(compute, talk)
    tokens = PAPER_BATCH * config.context
    return {
        "compute_ms": compute * 1e3,
        "communication_ms": talk * 1e3,
        "tokens_per_second": tokens / seconds,
        "days": PAPER_STEPS * seconds / 86_400,
    }


def figures() -> dict[str, Any]:
    """All of it, with the assumptions."""
    flops = {
        size: step_flops(MODELS[size], row(MODELS[size])) / MODELS[size].context for size in SIZES
    }
    return {
        "measured": False,
        "gpu": GPU,
        "peak_flops": GPU_PEAKS[GPU],
        "utilisation": UTILISATION,
        "bytes_per_second": {"within a machine": WITHIN, "between machines": BETWEEN},
        "gpus_per_machine": PER_MACHINE,
        "batch": PAPER_BATCH,
        "context": MODELS[SIZES[0]].context,
        "target_share": TARGETS,
        "parameters": {size: parameters(size) for size in SIZES},
        "flops_per_token": flops,
        "memory": {size: {n: memory(size, n) for n in GPUS} for size in SIZES},
        "speed": {size: {n: speed(size, n) for n in GPUS} for size in SIZES},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    found = figures()
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    print(f"{GPU}, not measured: assumed {UTILISATION} of {GPU_PEAKS[GPU]:.3g} FLOP/s")
    print(f"{'size':6}{'GPUs':>6}{'rows':>6}{'micro':>7}{'GiB':>8}", end="")
    print(f"{'compute ms':>12}{'talk ms':>10}{'tokens/s':>14}{'days':>8}")
    for size in SIZES:
        for gpus in GPUS:
            room, pace = found["memory"][size][gpus], found["speed"][size][gpus]
            print(f"{size:6}{gpus:6}{room['rows']:6}{room['micro_batches']:7}", end="")
            print(f"{room['total_gib']:8.1f}{pace['compute_ms']:12.0f}", end="")
            print(f"{pace['communication_ms']:10.0f}", end="")
            print(f"{pace['tokens_per_second']:14,.0f}{pace['days']:8.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
