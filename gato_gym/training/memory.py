"""What a training step needs in memory, estimated before the first one.

Rough by design, some 20 % on either side: it decides whether blocks compute their activations again
in the backward pass, and refuses what cannot work with a figure instead of a crash.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from gato_gym.config import ModelConfig, TrainConfig
from gato_gym.errors import OutOfMemoryError
from gato_gym.models.loss import CHUNK
from gato_gym.tokenizers.vocabulary import Vocabulary

# Vectors of D numbers that a block keeps per token: residual stream and norms, keys, values and
# queries before and after rotation, the attended; and what its feed-forward part keeps of `hidden`.
_VECTORS = 11
_HIDDEN = 2
# Share of what is free that a run may plan with; the rest is for what the estimate does not see.
_USABLE = 0.9
GIB = 1 << 30
MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes per rank.

    state   weights, gradients, the optimiser's moments, the running mean; their copy for a save
    loss    logits of a chunk of targets and the gradient of the table
    block   activations of one block
    rest    activations outside of the blocks, and what one block needs while it is computed again
    blocks  how many blocks there are
    """

    state: int
    loss: int
    block: int
    rest: int
    blocks: int

    def total(self, recomputed: int = 0) -> int:
        """With `recomputed` of the blocks keeping nothing but their input, which `rest` counts."""
        kept = self.blocks - recomputed
        return self.state + self.loss + self.rest + self.block * (kept + (recomputed > 0))


def estimate(
    model: ModelConfig, config: TrainConfig, parameters: int, ranks: int, device: torch.device
) -> MemoryEstimate:
    """Of a step.

    Args:
        model, config: shapes and settings.
        parameters: how many the model has.
        ranks: processes that share weights, moments and rows.
        device: bf16 arithmetic on a GPU, fp32 on a CPU.
    """
    cuda = device.type == "cuda"
    tokens = config.batch * model.context // (config.accumulate * ranks)
    number = 2 if cuda else 4
    kept = 3 + (config.ema > 0)  # weights and moments; a running mean
    # A GPU's bf16 copy of the weights. On a CPU a save holds a copy of all until it is written.
    copies = 4 * (kept + 1) + (2 if cuda else 4 * kept)
    whole = 4 * 2 * model.width * Vocabulary(model.text_size).size if ranks > 1 else 0
    vocabulary = Vocabulary(model.text_size).size
    stream = 4 * tokens * model.width
    return MemoryEstimate(
        state=copies * parameters // ranks + whole,
        loss=4 * vocabulary * (2 * min(CHUNK, tokens) + 2 * model.width),
        # The residual stream and both norms are fp32 everywhere.
        block=tokens * number * (_VECTORS * model.width + _HIDDEN * model.hidden)
        + (stream * 3 if cuda else 0),
        rest=stream * (model.layers + 8),
        blocks=model.layers,
    )


def plan_recomputed_blocks(found: MemoryEstimate, setting: str, free: int) -> int:
    """How many blocks compute their activations again: as few as fit.

    Args:
        found: the estimate.
        setting: "on" = all, "off" = none, "auto" = as few as possible.
        free: bytes that there are.

    Raises:
        OutOfMemoryError: it does not fit; says by how much, and what would.
    """
    usable = int(free * _USABLE)
    choices = {"on": [found.blocks], "off": [0]}.get(setting, range(found.blocks + 1))
    for recomputed in choices:
        if found.total(recomputed) <= usable:
            return recomputed
    least = min(found.total(recomputed) for recomputed in choices)
    advice = "a smaller --batch, more micro-batches (--accumulate), a smaller --size, or more ranks"
    if setting == "off" and found.total(found.blocks) <= usable:
        advice = "--checkpoint-activations auto, or " + advice
    raise OutOfMemoryError(
        f"a step needs about {least / GIB:.1f} GiB and {usable / GIB:.1f} GiB may be used "
        f"({free / GIB:.1f} GiB are free): {(least - usable) / GIB:.1f} GiB are missing. Weights, "
        f"gradients and moments take {found.state / GIB:.1f} GiB, activations "
        f"{(least - found.state - found.loss) / GIB:.1f} GiB. Try {advice}"
    )


def free_memory(device: torch.device) -> int:
    """Bytes that this process could still take: of the GPU, or of the machine or its container."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    free = 1 << 62
    with suppress(OSError, StopIteration):  # no Linux: nothing is known, so nothing is refused
        free = _number(MEMINFO.read_text(), "MemAvailable:") * 1024
    for most, used, inactive in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            room = int((CGROUP / most).read_text()) - int((CGROUP / used).read_text())
            # Files that were read count as used there, and go when memory is asked for.
            stat = (CGROUP / used).parent / "memory.stat"
            free = min(free, room + _number(stat.read_text(), f"{inactive} "))
        except (OSError, ValueError, StopIteration):
            continue  # no container, or one without a limit ("max")
    return free


def _number(text: str, name: str) -> int:
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name))
