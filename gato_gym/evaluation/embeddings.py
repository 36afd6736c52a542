"""What an agent's layers make of its tasks: activations averaged over a stretch of an episode
(paper section 5.7, Figure 13).

From each episode a random stretch of whole steps is read, as training reads it and without a
prompt. The activations of its first `length` tokens are averaged: one vector per episode and layer.
Layer 0 is what goes into the first block, so what tokens are before any attention; the paper's
layer 12 of 24 is the middle one.

Shapes: N windows, S layers + 1, D width.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from tqdm import tqdm

from gato_gym.config import ModelConfig
from gato_gym.data.corpus import Corpus
from gato_gym.data.documents import Cut
from gato_gym.data.mixture import Mixture
from gato_gym.data.packing import Window
from gato_gym.data.windows import WindowSource
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training.step import INPUTS, to_device
from gato_gym.types import TaskSpec

LENGTH = 128
"""Tokens of a window, as in the paper; less where the context is shorter."""
BATCH = 16
_STREAM = [name for name in INPUTS if name not in ("queries", "targets")]


@dataclass(frozen=True)
class EpisodeWindow:
    """A stretch of an episode.

    task      its id
    expert    who played
    seed      of the episode
    step      the first one of the stretch
    tokens    how many are averaged: fewer than asked for where the episode is shorter
    cut       where it is in a `WindowSource`
    """

    task: str
    expert: str
    seed: int
    step: int
    tokens: int
    cut: Cut


def task_source(
    corpus: Corpus,
    tasks: Sequence[str],
    specs: Mapping[str, TaskSpec],
    config: ModelConfig,
    text: TextTokenizer | None,
) -> WindowSource:
    """The episodes of some tasks, tokenised as for training.

    Args:
        corpus: has episodes of all of them.
        tasks: their ids.
        specs: under which the agent knows them.
        config, text: of the agent.

    Raises:
        UnknownTaskError: the corpus has no episode of a task.
        ValueError: a step does not fit the agent's context.
    """
    mixture = Mixture(corpus, dict.fromkeys(tasks, 1.0))
    vocabulary = Vocabulary(config.text_size)
    return WindowSource(corpus, mixture, specs, config.context, vocabulary, text, prompt_share=0)


def choose_windows(
    source: WindowSource, episodes: int, length: int, seed: int
) -> list[EpisodeWindow]:
    """A window of each of so many random episodes per task, of all where there are fewer.

    A window begins at a random step after which the episode has `length` more tokens, at the first
    where it has fewer. Which one depends on seed, task and episode, not on what else is chosen, and
    none of it on the order in which episodes were collected.

    Args:
        source: the episodes.
        episodes: per task.
        length: tokens of a window.
        seed: of both draws.
    """
    windows = []
    for task, of_task in enumerate(source.mixture.tasks):
        entries = of_task.entries
        order = sorted(range(len(entries)), key=lambda index: entries[index].key)
        count = min(episodes, len(order))
        # The same in every process, as `hash` is not.
        name = zlib.crc32(of_task.task.encode())
        rng = np.random.default_rng([seed, name])
        for place in sorted(rng.choice(len(order), count, replace=False).tolist()):
            index = order[place]
            entry = entries[index]
            ends = source.token_ends(task, index)
            draw = np.random.default_rng([seed, name, entry.seed])
            starts = max(1, int(np.searchsorted(ends, ends[-1] - length, side="right")))
            start = int(draw.integers(starts))
            stop = min(int(np.searchsorted(ends, ends[start] + length)), entry.steps)
            tokens = min(int(ends[stop] - ends[start]), length)
            cut = Cut(task, index, start, stop - start)
            windows.append(
                EpisodeWindow(of_task.task, entry.expert, entry.seed, start, tokens, cut)
            )
    return windows


def mean_states(
    model: Gato,
    source: WindowSource,
    windows: Sequence[EpisodeWindow],
    *,
    batch: int = BATCH,
    progress: bool | None = None,
) -> np.ndarray:
    """(N, S, D) float32: the mean activation of each window's tokens in each layer.

    Args:
        model: the network; its mode stays as it is.
        source: what the windows were chosen from.
        windows: at least one.
        batch: windows at a time.
        progress: show a bar; None where stderr is a terminal.
    """
    if not windows:
        raise ValueError("no windows to average over")
    device = next(model.parameters()).device
    hidden = None if progress is None else not progress
    means = []
    with tqdm(total=len(windows), unit="window", disable=hidden, leave=False) as bar:
        for first in range(0, len(windows), batch):
            part = windows[first : first + batch]
            inputs = to_device(_laid_out(source, part), device)
            with torch.inference_mode():
                # What a step has beyond the window's end is not averaged, and nothing before it
                # sees it.
                tokens = torch.tensor([window.tokens for window in part], device=device)
                inside = torch.arange(inputs["ids"].shape[1], device=device) < tokens[:, None]
                weights = (inside / tokens[:, None])[:, None]
                states = model.states(**{name: inputs[name] for name in _STREAM})
                layers = [(weights @ state.float())[:, 0] for state in states]
            means.append(torch.stack(layers, dim=1).cpu().numpy())
            bar.update(len(part))
    return np.concatenate(means)


def _laid_out(source: WindowSource, part: Sequence[EpisodeWindow]) -> Window:
    sizes = []
    for window in part:
        cut = window.cut
        ends = source.token_ends(cut.task, cut.episode)
        sizes.append(int(ends[cut.start + cut.length] - ends[cut.start]))
    planned = [[[window.cut]] for window in part]
    return source.lay_out(planned, range(len(part)), None, length=max(sizes))


def random_model(config: ModelConfig, seed: int) -> Gato:
    """A network of the same shape that has learned nothing: the control."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Gato(replace(config, stochastic_depth=0.0)).eval()
