"""What tells episodes apart: names for people, a split that lasts, a digest of what a run reads.

All of it comes from the manifest and says nothing of where a record lies: a copied or merged corpus
with the same episodes in the same order is the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gato_gym.data.manifest import EpisodeEntry


def episode_name(entry: EpisodeEntry) -> str:
    """What the episode is a function of, in words; noise and random start only where there are."""
    name = f"{entry.task} by {entry.expert}, seed {entry.seed}"
    if entry.learner:
        name += f", played by {entry.learner}"
        name += f" on {entry.noise:g} of the steps" if entry.noise else ""
    elif entry.noise:
        name += f", noise {entry.noise:g}"
    if entry.random_start:
        name += f", random start {entry.random_start}"
    if entry.max_steps:
        name += f", cut at {entry.max_steps} steps"
    return name


def split(
    entries: Sequence[EpisodeEntry], share: float
) -> tuple[tuple[EpisodeEntry, ...], tuple[EpisodeEntry, ...]]:
    """The episodes of one task as (train, validation), in their order.

    A hash of task and seed decides on which side an episode is: the same with more episodes beside
    it, and the same for all episodes of a seed, which begin alike whoever plays them. Where all
    would be validation's, those of the seed with the largest hash train.

    Args:
        entries: at least one.
        share: expected share of validation, in [0, 1).
    """
    places = [_place(entry) for entry in entries]
    last = max(places)
    held = [place < share and place < last for place in places]
    train = tuple(entry for entry, out in zip(entries, held, strict=True) if not out)
    return train, tuple(entry for entry, out in zip(entries, held, strict=True) if out)


def _place(entry: EpisodeEntry) -> float:
    """In [0, 1), as good as uniform over seeds."""
    key = json.dumps([entry.task, entry.seed]).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=6).digest()) / (1 << 48)


def digest(entries: Iterable[EpisodeEntry]) -> str:
    """Hexadecimal digest of episodes and their order: keys, lengths, returns, bytes."""
    found = hashlib.sha256()
    for entry in entries:
        said = *entry.key, entry.steps, entry.size, entry.episode_return, entry.success
        found.update(repr(said).encode())
    return found.hexdigest()


def changed_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two `Mixture.settings()`, in words; "" where nothing does.

    Args:
        before: of the run that was begun, read from JSON.
        now: of the run that would go on.
    """
    told = []
    for name in ("filter", "held_out", "part"):
        if before.get(name) != now.get(name):
            told.append(f"{name} is {now.get(name)!r}, was {before.get(name)!r}")
    old, new = before.get("tasks", {}), now.get("tasks", {})
    for task in sorted(old.keys() | new.keys()):
        if task not in new or task not in old:
            told.append(f"{task} is {'gone' if task in old else 'new'}")
            continue
        for name, words in (("episodes", "{} episodes, had {}"), ("share", "share {:g}, had {:g}")):
            if old[task].get(name) != new[task][name]:
                told.append(f"{task} has {words.format(new[task][name], old[task].get(name, 0))}")
        same_count = old[task].get("episodes") == new[task]["episodes"]
        if same_count and old[task].get("digest") != new[task]["digest"]:
            told.append(f"{task} has as many episodes, but others or in another order")
    return "; ".join(told)
