"""Model sizes by name, and the settings of a training run. Frozen dataclasses, no torch.

One dial: `--size`. The paper's three sizes have the shapes of its Table 5 (appendix C.1); the small
ones are for tests (`tiny`) and for the bundled weights (`bundle`).
"""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the decoder.

    width      d, the residual stream
    layers     transformer blocks
    heads      attention heads; width / heads is the key size
    hidden     feed-forward size before the GEGLU gate halves it (Table 5 lists this one: with a
               tied table of 33 k rows only this reading gives the paper's parameter counts)
    context    tokens the model sees at once (section 2.3: 1024)
    text_size  V, the text ids [0, V); never below 1024, as discrete values share the ids [0, 1024)
    patch_channels   channels of the patch network's residual block
    patch_features   channels kept per cell of the patch's 4 x 4 grid before the projection to width
    stochastic_depth probability with which a sub-layer is skipped in training (appendix C)
    parallel_actions hides the ids of action tokens from the model, in training and in acting: it
               predicts all numbers of an action at once, from observations alone (appendix G, real
               robot)
    """

    size: str
    width: int
    layers: int
    heads: int
    hidden: int
    context: int = 1024
    text_size: int = 32_000
    patch_channels: int = 64
    patch_features: int = 16
    stochastic_depth: float = 0.1
    parallel_actions: bool = False

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(
                f"width {self.width} over {self.heads} heads must give an even key size (rotary)"
            )
        if self.hidden % 2:
            raise ValueError(f"hidden {self.hidden} must be even: GEGLU halves it")
        if self.text_size < 1024:
            raise ValueError(
                f"text_size {self.text_size} is below 1024, the ids that discrete values share"
            )
        if self.patch_channels % 32:
            raise ValueError(
                f"patch_channels {self.patch_channels} must be a multiple of 32 (GroupNorm)"
            )
        if not 0 <= self.stochastic_depth < 1:
            raise ValueError(f"stochastic_depth {self.stochastic_depth} must be in [0, 1)")

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; `ModelConfig(**config.to_json())` is its inverse.

        `parallel_actions` is there only where it is set: agents and runs that know nothing of it
        stay what they are, byte for byte, and can be loaded and resumed.
        """
        told = asdict(self)
        if not self.parallel_actions:
            del told["parallel_actions"]
        return told


MODELS = {
    model.size: model
    for model in (
        ModelConfig("1.2b", width=2048, layers=24, heads=16, hidden=8192),
        ModelConfig("364m", width=1536, layers=12, heads=12, hidden=6144),
        ModelConfig("79m", width=768, layers=8, heads=24, hidden=3072),
        ModelConfig(
            "bundle",
            width=192,
            layers=4,
            heads=6,
            hidden=768,
            # 14 Boxing steps or 11 stacking steps exactly, so that rows have no padding.
            context=308,
            text_size=1024,
            patch_channels=32,
            patch_features=32,
            stochastic_depth=0.0,
        ),
        ModelConfig(
            "tiny",
            width=32,
            layers=2,
            heads=2,
            hidden=64,
            context=96,
            text_size=1024,
            patch_channels=32,
            stochastic_depth=0.0,
        ),
    )
}

# Parameters as the paper prints them (section 5.1); ours are counted, never read off the name.
PAPER_PARAMETERS = {"1.2b": 1.18e9, "364m": 364e6, "79m": 79e6}


def model_config(size: str) -> ModelConfig:
    """The preset named `size`.

    Raises:
        ValueError: no such preset; the message lists all and the nearest.
    """
    if size not in MODELS:
        near = difflib.get_close_matches(size, MODELS, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown model size {size!r}: choose one of {', '.join(MODELS)}{hint}")
    return MODELS[size]


OPTIMIZERS = ("adamw", "muon")
SCHEDULES = ("cosine", "wsd", "constant")
CHECKPOINT_ACTIVATIONS = ("auto", "on", "off")
ARITHMETIC = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class TrainConfig:
    """One training run. Defaults are the paper's recipe (appendix D), scaled to `steps`.

    steps            optimiser steps
    batch            rows of `context` tokens per step, over all ranks and micro-batches
    accumulate       micro-batches of a step on each rank: less memory, the same step
    learning_rate    peak; linear from 1e-7 over `warmup` steps, then what `schedule` says
    warmup           steps; -1 = the paper's share of the run, 1.5 %
    optimizer        adamw (the paper's) or muon for the matrices of the blocks
    schedule         cosine to a tenth at `steps` (the paper's), wsd, or constant
    weight_decay     on matrices only
    clip             gradient norm limit; 0 = off (the paper mentions none)
    ema              decay of a running mean of the weights, which is then exported; 0 = off
    prompt_share     share of documents that start with a prompt (section 2.3)
    held_out         share of each task's episodes that only validation sees
    validate_every   steps between validation losses; 0 = never
    validation_rows  rows of each
    seed             sample order and initialisation are a function of it
    save_every       steps between checkpoints
    log_every        steps between log lines
    loader_threads   threads that build windows ahead of the step
    loader_workers   processes for that, each with so many threads; 0 = the one that trains
    compile          torch.compile; None = where it pays, on a GPU
    arithmetic       of matrix products: float32, bfloat16 (weights and sums stay float32), or auto,
                     which is bfloat16 on a GPU
    checkpoint_activations  compute the blocks again in the backward pass: on, off, or auto, where
                     the memory asks for it
    """

    steps: int = 1000
    batch: int = 16
    accumulate: int = 1
    learning_rate: float = 1e-3
    warmup: int = -1
    optimizer: str = "adamw"
    schedule: str = "cosine"
    weight_decay: float = 0.1
    clip: float = 1.0
    ema: float = 0.0
    prompt_share: float = 0.25
    held_out: float = 0.0
    validate_every: int = 0
    validation_rows: int = 32
    seed: int = 0
    save_every: int = 500
    log_every: int = 20
    loader_threads: int = 2
    loader_workers: int = 0
    compile: bool | None = None
    arithmetic: str = "auto"
    checkpoint_activations: str = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "validation_rows", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name, known in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("checkpoint_activations", CHECKPOINT_ACTIVATIONS),
            ("arithmetic", ARITHMETIC),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r} must be one of {known}")
        if self.batch % self.accumulate:
            raise ValueError(
                f"a batch of {self.batch} rows cannot be cut into {self.accumulate} micro-batches: "
                "choose a divisor"
            )
        for name in ("prompt_share", "held_out", "ema"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} must be in [0, 1]")
        if self.held_out == 1 or self.ema == 1:
            raise ValueError("held_out and ema must be below 1")
        if self.validate_every < 0:
            raise ValueError(f"validate_every must be at least 0, got {self.validate_every}")
        if self.validate_every and not self.held_out:
            raise ValueError("validate_every needs held-out episodes: set held_out above 0")
        if self.warmup < -1:
            raise ValueError(f"warmup must be at least 0, or -1 for 1.5 %, got {self.warmup}")
        if not 0 <= self.seed < 1 << 31:
            raise ValueError(f"seed {self.seed} must be in [0, 2^31)")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate {self.learning_rate} must be positive")
        if not self.clip >= 0:
            raise ValueError(f"clip {self.clip} must be positive, or 0 for none")

    @property
    def warmup_steps(self) -> int:
        """Warm-up in steps: 15,000 of 1,000,000 in the paper."""
        return self.warmup if self.warmup >= 0 else max(1, round(0.015 * self.steps))

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; `TrainConfig(**config.to_json())` is its inverse."""
        return {f.name: getattr(self, f.name) for f in fields(self)}
