"""How many tokens steps have, which differs where there is text."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from gato_gym.tokenizers.timestep import StepTokenizer


def text_keys(tokenizer: StepTokenizer) -> list[str]:
    """The keys of observed texts."""
    return [leaf.key for leaf in tokenizer.spec.observations if leaf.kind == "text"]


def least_tokens(tokenizer: StepTokenizer) -> int:
    """Tokens of a step whose texts are all empty."""
    spoken = 0 if tokenizer.end is None else tokenizer.spec.action.size - 1
    texts = len(text_keys(tokenizer)) * tokenizer.text_slot
    return tokenizer.tokens_per_step - texts - spoken


def step_lengths(
    tokenizer: StepTokenizer,
    steps: int,
    observed: Callable[[str], np.ndarray],
    spoken: Callable[[], np.ndarray],
) -> np.ndarray:
    """(T,) tokens of each step of an episode.

    Args:
        tokenizer: of its task.
        steps: T.
        observed: the texts of an observation key; what comes after the T-th belongs to no step.
        spoken: the T actions; asked for only where they are text.
    """
    tokens = np.full(steps, least_tokens(tokenizer))
    words = tokenizer.words
    if words is None:
        return tokens
    for key in text_keys(tokenizer):
        tokens += _counted(observed(key).tolist()[:steps], words.observed_tokens)
    if tokenizer.end is not None:
        tokens += _counted(spoken().tolist(), words.reply_tokens) - 1
    return tokens


def _counted(texts: Iterable[str], tokens: Callable[[str], int]) -> np.ndarray:
    # Most steps of an episode of control have the same sentence.
    texts = list(texts)
    counts = {text: tokens(text) for text in set(texts)}
    return np.array([counts[text] for text in texts])
