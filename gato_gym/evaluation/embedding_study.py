"""The paper's Figure 13 as data: places of episodes on a plane, and how well their tasks are told.

Everything that the figure shows is in the result, so that it can be drawn again or otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from gato_gym.data.windows import WindowSource
from gato_gym.evaluation.embeddings import EpisodeWindow, mean_states, random_model
from gato_gym.evaluation.separation import (
    COMPONENTS,
    NEIGHBOURS,
    PERPLEXITY,
    Separation,
    chance,
    plane,
    principal_components,
    separation,
)
from gato_gym.training.adapt import fingerprint


def embed(
    agent: Any,
    source: WindowSource,
    windows: Sequence[EpisodeWindow],
    *,
    layer: int,
    length: int,
    neighbours: int = NEIGHBOURS,
    perplexity: float = PERPLEXITY,
    seed: int = 0,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Average, compare by layer, and lay one layer out on a plane; JSON-ready.

    Args:
        agent: a `GatoAgent`.
        source, windows: see `embeddings.choose_windows`.
        layer: the one that is laid out, 0 ... the number of blocks.
        length: tokens of a window.
        neighbours: how many vote on what a window's task is.
        perplexity: of t-SNE.
        seed: of t-SNE and of the random weights.
        progress: show a bar; None where stderr is a terminal.

    Returns:
        `checkpoint`, `weights` (their fingerprint), `layer`, `layers` (number of blocks),
        `settings`, `chance`, `accuracy` and `silhouette` of the layer, `by_layer` with the same of
        every layer and of random weights, `tasks` and `points`.

    Raises:
        ValueError: see `check_layer` and `separation.check_perplexity`; fewer than two tasks, or no
            more windows than neighbours.
    """
    check_layer(agent.config.layers, layer)
    names = sorted({window.task for window in windows})
    labels = np.array([names.index(window.task) for window in windows])
    if len(names) < 2:
        raise ValueError(f"tasks are told apart from each other: one is too few, got {names}")
    if len(windows) <= neighbours:
        raise ValueError(
            f"{neighbours} neighbours cannot be found among {len(windows)} episodes: use more "
            "--episodes, or fewer --neighbours"
        )
    average = partial(mean_states, source=source, windows=windows, progress=progress)
    trained = average(agent.model)
    device = next(agent.model.parameters()).device
    control = random_model(agent.config, seed).to(device)
    random = average(control)
    by_layer = []
    chosen: Separation | None = None
    for index in range(agent.config.layers + 1):
        reduced = principal_components(trained[:, index])
        found = separation(reduced, labels, neighbours)
        if index == layer:
            chosen, places = found, plane(reduced, perplexity, seed)
        beside = separation(principal_components(random[:, index]), labels, neighbours)
        by_layer.append({"layer": index, **_figures(found), "random": _figures(beside)})
    assert chosen is not None
    said = [names[label] for label in chosen.said]
    return {
        "checkpoint": agent.checkpoint,
        "weights": fingerprint(agent.model),
        "layer": layer,
        "layers": agent.config.layers,
        "settings": {
            "length": length,
            "neighbours": neighbours,
            "components": min(COMPONENTS, len(windows) - 1, agent.config.width),
            "perplexity": perplexity,
            "seed": seed,
        },
        "episodes": len(windows),
        "chance": chance(labels),
        **_figures(chosen),
        "by_layer": by_layer,
        "tasks": _by_task(windows, said, source, length),
        "points": [
            {
                "task": window.task,
                "expert": window.expert,
                "seed": window.seed,
                "step": window.step,
                "tokens": window.tokens,
                "x": round(float(x), 4),
                "y": round(float(y), 4),
                "taken_for": name,
            }
            for window, (x, y), name in zip(windows, places, said, strict=True)
        ],
    }


def check_layer(layers: int, layer: int) -> None:
    """Raise ValueError unless a network of so many blocks has the layer."""
    if not 0 <= layer <= layers:
        raise ValueError(
            f"no layer {layer}: this agent has the layers 0 (what goes into its first block) to "
            f"{layers}"
        )


def _figures(found: Separation) -> dict[str, float]:
    return {"accuracy": found.accuracy, "silhouette": found.silhouette}


def _by_task(
    windows: Sequence[EpisodeWindow], said: Sequence[str], source: WindowSource, length: int
) -> list[dict[str, Any]]:
    """By domain and name: how many episodes, and which tasks they are taken for."""
    domains: Mapping[str, str] = {one.spec.id: one.spec.domain for one in source.tokenizers}
    rows = []
    for task in sorted({window.task for window in windows}, key=lambda t: (domains[t], t)):
        own = [(w, name) for w, name in zip(windows, said, strict=True) if w.task == task]
        taken = Counter(name for _, name in own)
        rows.append(
            {
                "task": task,
                "domain": domains[task],
                "episodes": len(own),
                "short": sum(window.tokens < length for window, _ in own),
                "mean_tokens": round(sum(window.tokens for window, _ in own) / len(own), 1),
                "accuracy": taken[task] / len(own),
                "taken_for": {n: k for n, k in taken.most_common() if n != task},
            }
        )
    return rows
