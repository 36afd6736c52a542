"""Which seeds are trained on: one rule for captions, questions and dialogues."""

from typing import Literal, get_args

Part = Literal["training", "evaluation"]
PARTS: tuple[Part, ...] = get_args(Part)

EVALUATION_SEEDS = range(7000, 10_000)
"""Of evaluation: they may show what is held out. All others are training's and never do."""

FIRST_TRAINING_SEED = 10_000
"""From here on no seed is of evaluation: where a corpus begins."""


def part_of(seed: int | None) -> Part:
    """Whose a seed is; to reset without one is training."""
    return "evaluation" if seed in EVALUATION_SEEDS else "training"
