"""What a corpus holds, in numbers: counts, returns, tokens, who made it and from which seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from gato_gym.config import MODELS
from gato_gym.data.corpus import Corpus
from gato_gym.data.lengths import step_lengths
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.data.records import Leaf
from gato_gym.envs.registry import registered
from gato_gym.envs.spaces import MOST_REPLY, is_image_shape
from gato_gym.errors import GatoGymError
from gato_gym.evaluation.scores import normalize
from gato_gym.tokenizers.timestep import StepTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import ActionSpec, ObservationSpec, TaskSpec


def corpus_stats(corpus: Corpus) -> dict[str, Any]:
    """Episodes, tasks, steps, tokens and bytes, in total and by task; JSON-ready.

    `tokens` is what training on all steps once feeds to the model; None for a task whose
    observations have no tokens, and the total then. Per task also: mean, std, min and max of the
    returns, the mean length, the success rate (None where the task reports none), `random` and
    `expert`, the catalogue's scores, with the `normalized` mean return, and see `parts`.
    """
    groups: dict[str, list[EpisodeEntry]] = {}
    for entry in corpus.episodes():
        groups.setdefault(entry.task, []).append(entry)
    by_task = {task: _row(corpus, task, group) for task, group in sorted(groups.items())}
    tokens = [row["tokens"] for row in by_task.values()]
    counted = corpus.stats()
    return {
        **{name: counted[name] for name in ("episodes", "tasks", "steps", "bytes")},
        "tokens": None if None in tokens else sum(tokens),
        "experts": sorted({entry.expert for entry in corpus.episodes()}),
        "versions": versions(corpus.episodes()),
        "by_task": by_task,
    }


def _row(corpus: Corpus, task: str, entries: Sequence[EpisodeEntry]) -> dict[str, Any]:
    returns = np.array([entry.episode_return for entry in entries])
    successes = [entry.success for entry in entries if entry.success is not None]
    spec = registered(task)
    mean = float(returns.mean())
    random, expert = (spec.random_score, spec.expert_score) if spec else (None, None)
    seeds = [entry.seed for entry in entries]
    return {
        "domain": spec.domain if spec else "other",
        "episodes": len(entries),
        "steps": sum(entry.steps for entry in entries),
        "tokens": _tokens(corpus, entries),
        "bytes": sum(entry.size for entry in entries),
        "mean_return": mean,
        "std_return": float(returns.std()),
        "min_return": float(returns.min()),
        "max_return": float(returns.max()),
        "mean_length": float(np.mean([entry.steps for entry in entries])),
        "success_rate": float(np.mean(successes)) if successes else None,
        "random": random,
        "expert": expert,
        "normalized": normalize(mean, random, expert),
        "experts": sorted({entry.expert for entry in entries}),
        "seeds": [min(seeds), max(seeds)],
        "parts": parts(entries),
    }


def parts(entries: Iterable[EpisodeEntry]) -> list[dict[str, Any]]:
    """One task's episodes by who made them and how; `seeds` are the first and the last."""
    groups: dict[tuple, list[EpisodeEntry]] = {}
    for entry in entries:
        groups.setdefault((entry.expert, *entry.injected), []).append(entry)
    return [
        {
            "expert": expert,
            "noise": noise,
            "burst": list(burst),
            "random_start": random_start,
            **({"max_steps": max_steps} if max_steps else {}),
            **({"learner": learner} if learner else {}),
            "episodes": len(group),
            "seeds": [min(e.seed for e in group), max(e.seed for e in group)],
            "mean_return": round(sum(e.episode_return for e in group) / len(group), 3),
        }
        for (expert, noise, burst, random_start, max_steps, learner), group in sorted(
            groups.items()
        )
    ]


def versions(entries: Iterable[EpisodeEntry]) -> dict[str, list[str]]:
    """Package -> the versions that episodes were made with."""
    found: dict[str, set[str]] = {}
    for entry in entries:
        for package, version in entry.versions.items():
            found.setdefault(package, set()).add(version)
    return {package: sorted(found[package]) for package in sorted(found)}


def _tokens(corpus: Corpus, entries: Iterable[EpisodeEntry]) -> int | None:
    total = 0
    for entry in entries:
        tokens = episode_tokens(
            entry,
            partial(corpus.read_observation, entry),
            partial(_actions, corpus, entry),
        )
        if tokens is None:
            return None
        total += tokens
    return total


def _actions(corpus: Corpus, entry: EpisodeEntry) -> np.ndarray:
    actions: np.ndarray = corpus.read_steps(entry, 0, entry.steps)["actions"]
    return actions


def episode_tokens(
    entry: EpisodeEntry, observation: Callable[[str], np.ndarray], actions: Callable[[], np.ndarray]
) -> int | None:
    """What training on an episode once feeds to the model; None if it has no tokens.

    Args:
        entry: the episode.
        observation: its observations of one key, (T + 1, ...); asked for the texts only.
        actions: its (T,) actions; asked for only where they are text.
    """
    tokenizer = _tokenizer(tuple(entry.observations.items()), entry.actions)
    if tokenizer is None:
        return None
    return int(step_lengths(tokenizer, entry.steps, observation, actions).sum())


@cache
def _tokenizer(leaves: tuple[tuple[str, Leaf], ...], actions: Leaf) -> StepTokenizer | None:
    """What would tokenise such an episode; None if it has no tokens.

    Read off the episode, not off its task, which need not be installed.
    """
    try:
        observations = tuple(_observation(key, leaf) for key, leaf in leaves)
        spec = TaskSpec("episode", "other", "other", observations, _action(actions))
        return StepTokenizer(spec, Vocabulary(MODELS["bundle"].text_size))
    except GatoGymError:
        return None


def _action(leaf: Leaf) -> ActionSpec:
    if leaf.kind == "text":
        return ActionSpec("text", MOST_REPLY)
    size = int(np.prod(leaf.shape, dtype=int))
    if leaf.kind == "continuous":
        return ActionSpec("continuous", size)
    return ActionSpec("discrete", size, (1,) * size)


def _observation(key: str, leaf: Leaf) -> ObservationSpec:
    if leaf.kind == "image" and not is_image_shape(leaf.shape):
        return ObservationSpec(key, "discrete", leaf.shape)  # a table of symbols, as MiniGrid's
    return ObservationSpec(key, leaf.kind, leaf.shape)  # type: ignore[arg-type]
