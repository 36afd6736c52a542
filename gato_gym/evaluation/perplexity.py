"""How well an agent foresees the words of an expert: perplexity under teacher forcing.

The expert's own replies stand before each token, as in training, so a wrong word costs once. Tokens
are the pieces of the agent's text model and the end of each reply: perplexities compare only where
the text model is the same, bits per letter everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from gato_gym.agents.demonstrations import PROMPT_SHARE
from gato_gym.agents.role import Role, find_prompt, find_spec
from gato_gym.data.packing import Document, Window, pack
from gato_gym.tokenizers.timestep import ACTION_ROW, TokenSequence
from gato_gym.training.step import to_device
from gato_gym.types import Episode

BATCH = 8


@dataclass(frozen=True)
class Perplexity:
    """Of the tokens of some replies.

    perplexity       exp of the mean loss of a token, in nats
    token_accuracy   share of tokens that were the likeliest
    bits_per_letter  losses of all tokens, in bits, by the letters of all replies
    tokens, replies  how many there are
    """

    perplexity: float
    token_accuracy: float
    bits_per_letter: float
    tokens: int
    replies: int

    def to_json(self) -> dict[str, float]:
        """A JSON-ready dict."""
        return asdict(self)


def perplexity(
    agent: Any, episodes: Sequence[Episode], *, prompt: str | None = "expert", batch: int = BATCH
) -> Perplexity:
    """How well an agent foresees the replies of episodes.

    Each reply is read after as many whole steps as fit the context: those of its episode, and
    before them of the prompt what acting would read of it.

    Args:
        agent: a `GatoAgent`.
        episodes: at least one, all of one task whose actions are text.
        prompt: "expert" for the agent's own demonstration, or None.
        batch: windows at a time.

    Raises:
        ValueError: there is no episode, or its actions are no text.
    """
    if not episodes or not all(one.actions.dtype.kind == "U" for one in episodes):
        raise ValueError("perplexity needs at least one episode, with actions that are text")
    spec = find_spec(episodes[0].task, agent.specs)
    role = Role(spec, None, agent.vocabulary, agent.text, agent.config.context)
    shown = find_prompt(spec, prompt, agent.prompts)
    before = [] if shown is None else _prompt(role, shown, agent.config.context)
    documents = [
        document
        for episode in episodes
        for document in _documents(before, _steps(role, episode), agent.config.context)
    ]
    device = next(agent.model.parameters()).device
    loss, correct, tokens = 0.0, 0, 0
    # Of like lengths, so that little of a window is padding.
    documents.sort(key=lambda document: -sum(map(len, document)))
    for start in range(0, len(documents), batch):
        window = _window(documents[start : start + batch])
        with torch.inference_mode():
            found = agent.model(**to_device(window, device))
        loss += float(found.losses.double().sum())
        correct += int((found.correct & (torch.from_numpy(window.targets >= 0).to(device))).sum())
        tokens += window.target_count
    letters = sum(len(reply) for episode in episodes for reply in episode.actions.tolist())
    return Perplexity(
        perplexity=math.exp(loss / tokens),
        token_accuracy=correct / tokens,
        bits_per_letter=loss / math.log(2) / max(letters, 1),
        tokens=tokens,
        replies=sum(len(episode) for episode in episodes),
    )


def _steps(role: Role, episode: Episode, count: int | None = None) -> list[TokenSequence]:
    """Its first steps, one sequence each, with the tokens of the replies as targets."""
    count = len(episode) if count is None else count
    observations = {key: values[:count] for key, values in episode.observations.items()}
    actions = episode.actions[:count]
    steps = role.tokenizer.sequences(observations, actions, actions, [1] * count)
    return [
        replace(step, targets=np.where(step.local == ACTION_ROW, step.targets, -1))
        for step in steps
    ]


def _prompt(role: Role, episode: Episode, context: int) -> list[TokenSequence]:
    room = int(context * PROMPT_SHARE)
    if role.step_tokens(episode)[0] > room:
        return []
    return [
        _silent(step) for step in _steps(role, episode, role.prompt_steps(episode, room, False))
    ]


def _silent(step: TokenSequence) -> TokenSequence:
    return replace(step, targets=np.full_like(step.targets, -1))


def _documents(
    before: Sequence[TokenSequence], steps: Sequence[TokenSequence], context: int
) -> Iterator[list[TokenSequence]]:
    """Windows that hold each step once with targets, after as many whole steps as fit."""
    every = [*before, *steps]
    ends = np.cumsum([0, *map(len, every)])
    index = len(before)
    while index < len(every):
        # The first step from which on this one fits; those after it fit the same window, or not.
        first = int(np.searchsorted(ends, ends[index + 1] - context))
        until = index + 1
        while until < len(every) and ends[until + 1] - ends[first] <= context:
            until += 1
        yield [*map(_silent, every[first:index]), *every[index:until]]
        index = until


def _window(documents: Sequence[Sequence[TokenSequence]]) -> Window:
    longest = max(sum(map(len, document)) for document in documents)
    rows = [[Document(0, document)] for document in documents]
    return pack(longest, rows, range(len(rows)), [()] * len(rows), None)
