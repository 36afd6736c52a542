"""The experts that make each task's data: learned ones as safetensors + JSON, and scripted ones.

All of them run on numpy. The package `sb3` trains the learned ones; it alone needs torch.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from gato_gym.agents import Agent
from gato_gym.agents.experts.policy import CARD, PolicyExpert
from gato_gym.agents.experts.scripted import SCRIPTED, SCRIPTED_FIRST, load_scripted, scripted_for
from gato_gym.envs.families.dm_control import state_task
from gato_gym.envs.registry import registered
from gato_gym.errors import UnknownTaskError

__all__ = ["expert_for", "expert_ids", "expert_name", "learned_cards", "load_expert"]

WEIGHTS = Path(__file__).with_name("weights")


def weights_folder(task: str, root: Path = WEIGHTS) -> Path:
    """Where the learned expert of a task is stored: "ALE/Boxing-v5" -> root/ALE__Boxing-v5."""
    return root / task.replace("/", "__")


def learned_cards(root: Path = WEIGHTS) -> list[dict[str, Any]]:
    """What is known of each learned expert (its policy.json), in order of the tasks."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in root.glob(f"*/{CARD}")]
    return sorted(found, key=lambda card: card["task"])


def expert_ids() -> tuple[str, ...]:
    """All expert ids that `load_expert` knows, sorted."""
    learned = (path.parent.name.replace("__", "/") for path in WEIGHTS.glob(f"*/{CARD}"))
    return tuple(sorted([*(f"sb3/{task}" for task in learned), *SCRIPTED]))


def expert_for(task: str) -> str | None:
    """The id of the expert that makes a task's data, None where there is none.

    A learned expert comes before a scripted one, except in the tasks of `SCRIPTED_FIRST`. That of a
    task of dm_control also plays its variants with pixels and with random dynamics.
    """
    learned = state_task(task)
    if task not in SCRIPTED_FIRST and (weights_folder(learned) / CARD).is_file():
        return f"sb3/{learned}"
    return scripted_for(task)


def load_expert(expert: str | Path) -> Agent:
    """An expert, ready for `agent.reset(env)`.

    Args:
        expert: its id ("sb3/CartPole-v1", "scripted/stacker"), the id of a task of the catalogue,
            or a folder that `gato_gym.agents.experts.sb3` exported.

    Raises:
        UnknownTaskError: neither; lists the nearest ids.
        CorruptCheckpointError: the folder's files are damaged.
    """
    if _is_folder(expert):
        return PolicyExpert.load(Path(expert))
    name = _resolve(str(expert))
    if name in SCRIPTED:
        return load_scripted(name)
    return PolicyExpert.load(weights_folder(name.removeprefix("sb3/")))


def expert_name(expert: str | Path) -> str:
    """Who made an episode: the id; of a folder its task and tensors, wherever it lies.

    Args:
        expert: what `load_expert` takes; a folder gives e.g. "sb3/CartPole-v1@1a2b3c4d".

    Raises:
        UnknownTaskError: no such expert; lists the nearest ids.
        CorruptCheckpointError: the folder's files are damaged.
    """
    if not _is_folder(expert):
        return _resolve(str(expert))
    card = PolicyExpert.load(Path(expert)).card
    return f"sb3/{card['task']}@{card['sha256'][:8]}"


def _is_folder(expert: str | Path) -> bool:
    return (Path(expert) / CARD).is_file()


def _resolve(expert: str) -> str:
    spec = registered(expert)
    name = spec.expert if spec and spec.expert else expert
    ids = expert_ids()
    if name in ids:
        return name
    near = difflib.get_close_matches(name, ids, cutoff=0.4) or ids
    raise UnknownTaskError(f"unknown expert {name!r}: did you mean {', '.join(map(repr, near))}?")
