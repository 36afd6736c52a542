"""The Gymnasium spaces of a task's episodes: the environment's own where it can be made here.

A part whose data does not fit the environment's space, or that Minari cannot write down, gets the
widest space of its dtype and shape: the data counts.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from gato_gym import envs
from gato_gym.data.records import Leaf
from gato_gym.envs.registry import named_by_data, registered
from gato_gym.envs.space_advice import DISCRETE_VALUES
from gato_gym.errors import DatasetError
from gato_gym.types import ROOT_KEY, flatten_observation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spaces:
    """What Minari wants to know of a task; `env_spec` is JSON, None where there is none."""

    observation: gym.Space
    action: gym.Space
    env_spec: str | None


def find_spaces(
    task: str, leaves: Mapping[str, Leaf], actions: Leaf, texts: Callable[[str], Iterable[str]]
) -> Spaces:
    """The spaces of episodes with these leaves; `texts` gives every text of a key.

    Raises:
        DatasetError: HDF5 has no such name, or the keys cannot be nested.
    """
    try:
        env = envs.make(named_by_data(task))
    except Exception as error:  # not installed, no GL, unknown here: the data says enough
        logger.info("%s: spaces are taken from the data: %s", task, error)
        return Spaces(_observation(task, None, leaves, texts), _action(task, None, actions), None)
    try:
        observation = _observation(task, env.observation_space, leaves, texts)
        return Spaces(observation, _action(task, env.action_space, actions), _spec(env))
    finally:
        env.close()


def nested(task: str, flat: Mapping[str, Any]) -> Any:
    """Flat keys as mappings in mappings; a bare value where there is only the root key.

    Raises:
        DatasetError: HDF5 has no such name, or a key is also the beginning of another.
    """
    if set(flat) == {ROOT_KEY}:
        return flat[ROOT_KEY]
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in (*path, last)):
            raise DatasetError(f"{task}: a Minari data set cannot hold the key {key!r}")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise DatasetError(f"{task}: {key!r} stands below a key that holds a value")
        if last in node:
            raise DatasetError(f"{task}: {key!r} holds a value and other keys")
        node[last] = value
    return tree


def _observation(
    task: str,
    space: gym.Space | None,
    leaves: Mapping[str, Leaf],
    texts: Callable[[str], Iterable[str]],
) -> gym.Space:
    known = flatten_observation(_plain(space)) if space is not None else {}
    found = {
        key: known[key] if _fits(known.get(key), leaf) else _widest(task, key, leaf, texts)
        for key, leaf in leaves.items()
    }
    return _as_space(nested(task, found))


def _plain(space: gym.Space) -> Any:
    """Dict spaces as mappings."""
    if isinstance(space, spaces.Dict):
        return {name: _plain(child) for name, child in space.items()}
    return space


def _as_space(tree: Any) -> gym.Space:
    if isinstance(tree, dict):
        return spaces.Dict({name: _as_space(child) for name, child in tree.items()})
    return tree


def _fits(space: gym.Space | None, leaf: Leaf) -> bool:
    kind = type(space)  # not its subclasses: Minari writes these only
    if kind is spaces.Text:
        return leaf.kind == "text"
    if space is None or leaf.kind == "text" or space.shape != leaf.shape:
        return False
    dtype = np.dtype(leaf.dtype)
    if kind is spaces.Box:
        return space.dtype == dtype
    return kind in (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary) and dtype.kind in (
        "iu"
    )


def _widest(task: str, key: str, leaf: Leaf, texts: Callable[[str], Iterable[str]]) -> gym.Space:
    if leaf.kind == "text":
        if leaf.shape:
            raise DatasetError(f"{task}: {key!r} holds several texts a step, Minari holds one")
        lengths, letters = {1}, {" "}
        for text in texts(key):
            lengths.add(len(text))
            letters.update(text)
        return spaces.Text(max(lengths), min_length=min(lengths), charset="".join(sorted(letters)))
    dtype = np.dtype(leaf.dtype)
    if dtype.kind == "b":
        return spaces.MultiBinary(leaf.shape) if leaf.shape else spaces.Discrete(2)
    if dtype.kind == "f":
        return spaces.Box(-np.inf, np.inf, leaf.shape, dtype.type)
    limits = np.iinfo(dtype)
    low, high = (np.full(leaf.shape, bound, dtype) for bound in (limits.min, limits.max))
    return spaces.Box(low, high, leaf.shape, dtype.type)


def _action(task: str, space: gym.Space | None, actions: Leaf) -> gym.Space:
    size = int(np.prod(actions.shape, dtype=int))
    continuous = actions.kind == "continuous"
    if isinstance(space, spaces.Box) and continuous and int(np.prod(space.shape)) == size:
        return space
    if type(space) is spaces.Discrete and not continuous and actions.shape == ():
        return space
    several = (spaces.MultiDiscrete, spaces.MultiBinary)
    if type(space) in several and not continuous and int(np.prod(space.shape)) == size:  # type: ignore[union-attr,arg-type]
        return space  # type: ignore[return-value]
    if continuous:
        return spaces.Box(-1, 1, actions.shape, np.float32)
    spec = registered(task)
    counts = spec.action.n if spec is not None and spec.action.size == size else ()
    counts = counts or (DISCRETE_VALUES,) * size
    return spaces.MultiDiscrete(list(counts)) if actions.shape else spaces.Discrete(counts[0])


def _spec(env: gym.Env) -> str | None:
    """The environment with our wrappers as JSON, so that Minari can make it again."""
    spec = env.spec
    if spec is None or any(wrapper.kwargs is None for wrapper in spec.additional_wrappers):
        return None
    for wrapper in spec.additional_wrappers:
        for name, value in wrapper.kwargs.items():  # type: ignore[union-attr]
            wrapper.kwargs[name] = value.tolist() if isinstance(value, np.generic) else value  # type: ignore[index]
    try:
        text = spec.to_json()
        return text if json.loads(text)["id"] else None
    except (TypeError, ValueError):
        return None
