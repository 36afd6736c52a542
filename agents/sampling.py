"""How an action is drawn from the network's predictions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Sampler:
    """Draws values by their probabilities; a `models.choice.Choose`.

    Args:
        generator: of random numbers, on the CPU.
        temperature: above 0; the lower, the likelier the likeliest.
        top_p: draws among the likeliest values that hold this share of all probability together,
            in (0, 1] (nucleus sampling, arXiv 1904.09751); the likeliest one is always among them.
    """

    def __init__(
        self, generator: torch.Generator, temperature: float = 1.0, top_p: float = 1.0
    ) -> None:
        self.generator, self.temperature, self.top_p = generator, temperature, top_p

    def __call__(self, logits: Tensor, rows: list[int], ordered: bool = False) -> np.ndarray:
        """(G,) values for (G, n) logits."""
        # However low the temperature, the likeliest value stays finite.
        above = logits - logits.amax(-1, keepdim=True)
        probabilities = (above / max(self.temperature, 1e-30)).softmax(-1).cpu()
        if self.top_p < 1:
            probabilities = _nucleus(probabilities, self.top_p)
        drawn = torch.multinomial(probabilities, 1, generator=self.generator)[:, 0]
        found: np.ndarray = drawn.numpy()
        return found


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Those outside of the nucleus as 0."""
    ordered, values = probabilities.sort(dim=-1, descending=True, stable=True)
    # What the likelier ones hold: 0 for the likeliest.
    before = ordered.cumsum(-1) - ordered
    before[:, 0] = 0
    kept = torch.zeros_like(probabilities)
    return kept.scatter_(-1, values, ordered.masked_fill(before >= top_p, 0))
