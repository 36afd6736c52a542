"""Time a compiled block in bfloat16 on a CPU, forward and backward: attention fused or by blocks.

    python benchmarks/compiled_attention.py --out benchmarks/results/compiled_attention.json

Both ways take turns in one process, so that a busy machine slows both. Exit code 1 where their
results differ by more than --tolerance of the largest value.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gato_gym.cli.export import machine
from gato_gym.config import ModelConfig, model_config
from gato_gym.models import attention
from gato_gym.models.gato import Block, rotary_angles
from gato_gym.training.step import autocast

CPU = torch.device("cpu")


def passes(config: ModelConfig, rows: int, short: int) -> Callable[[], Any]:
    """A forward and a backward pass of one compiled block, with `attention.SHORT` at `short`."""
    torch.manual_seed(0)
    block = Block(config)
    length = config.context
    x = torch.randn(rows, length, config.width)
    angles = rotary_angles(torch.arange(length)[None], config.width // config.heads)
    see = attention.MaskedAttention(
        attention.visible_mask(torch.zeros(rows, length, dtype=torch.long)), causal=True
    )
    compiled = torch.compile(lambda x: block(x, angles, see))

    def run() -> tuple[Tensor, Tensor]:
        # Compiled code is chosen, or made, by the value at the call.
        before, attention.SHORT = attention.SHORT, short
        leaf = x.clone().requires_grad_()
        try:
            with autocast(CPU, "bfloat16"):
                out = compiled(leaf)
        finally:
            attention.SHORT = before
        out.square().mean().backward()
        assert leaf.grad is not None
        return out.detach(), leaf.grad

    run()
    return run


def compare(config: ModelConfig, rows: int, repeats: int) -> dict[str, Any]:
    """The shortest time of both in seconds, and how far apart their results are."""
    ways = {
        "fused": passes(config, rows, short=0),
        "blocks": passes(config, rows, short=config.heads * config.context),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    found = {name: min(values) for name, values in seconds.items()}
    apart = max(
        float((a - b).abs().max() / a.abs().max())
        for a, b in zip(*(run() for run in ways.values()), strict=True)
    )
    return {
        "value": found["fused"] / found["blocks"],
        "unit": "times faster by blocks",
        "seconds": found,
        "apart": apart,
        "rows": rows,
        "model": config.to_json(),
        "threads": torch.get_num_threads(),
        "repeats": repeats,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="bundle")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--tolerance", type=float, default=0.02, help="bfloat16 has 8 bits")
    parser.add_argument("--out", type=Path, help="write the figures there, too")
    options = parser.parse_args(arguments)
    config = model_config(options.size)
    found = compare(config, options.rows, options.repeats)
    fused, blocks = (1e3 * found["seconds"][name] for name in ("fused", "blocks"))
    print(
        f"fused {fused:.1f} ms, by blocks {blocks:.1f} ms, {found['value']:.2f}x; results "
        f"{found['apart']:.1e} of the largest apart"
    )
    words = sys.argv[1:] if arguments is None else arguments
    command = shlex.join(["python", "benchmarks/compiled_attention.py", *words])
    if options.out is not None:
        record = found | {"machine": machine(), "command": command}
        options.out.write_text(json.dumps(record, indent=1) + "\n")
    return 0 if found["apart"] <= options.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
