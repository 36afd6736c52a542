"""What an environment is made of: wrappers, and the copies of a vector environment.

Vector environments are Gymnasium's, and those with the interface of Stable-Baselines3's `VecEnv`,
which are known by it and not imported. Copies may live in other processes: what is known of them is
what they answer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

_INTERFACE = ("num_envs", "get_attr", "has_attr", "step_async", "observation_space", "action_space")
# Neither their base class nor their name says so, and where they are elsewhere no space does.
_CHANGERS = ("MaxAndSkipEnv", "AtariWrapper", "AtariPreprocessing")
# Twins of the copies of Gymnasium's `AsyncVectorEnv`, closed.
_twins: WeakKeyDictionary[gym.vector.VectorEnv, gym.Env] = WeakKeyDictionary()


def is_vector(env: Any) -> bool:
    """Whether it is a vector environment, of Gymnasium or with Stable-Baselines3's interface."""
    return isinstance(env, gym.vector.VectorEnv) or is_foreign_vector(env)


def is_foreign_vector(env: Any) -> bool:
    """Whether it has the interface of Stable-Baselines3's vector environments."""
    if isinstance(env, type | gym.Env | gym.vector.VectorEnv):
        return False
    return all(hasattr(env, name) for name in _INTERFACE)


def layers(env: gym.Env) -> Iterator[gym.Env]:
    """An environment's wrappers, the outermost first, and itself."""
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env
    yield env


def vector_layers(env: Any) -> Iterator[Any]:
    """A vector environment's own wrappers, the outermost first, and itself."""
    while env is not None:
        yield env
        env = _inner(env)


def first_copy(env: Any) -> gym.Env | None:
    """The first copy of a vector environment; None where it cannot be had.

    Of Gymnasium's copies in other processes it is a twin, built here by the same function and
    closed: asking them is no way, for an answer that cannot be pickled ends them.
    """
    *_, innermost = vector_layers(env)
    copies = getattr(innermost, "envs", None)
    if copies:
        first: gym.Env = copies[0]
        return first
    if innermost not in _twins and hasattr(innermost, "env_fns"):
        build_twin(env).close()
    return _twins.get(innermost)


def build_twin(env: Any) -> gym.Env:
    """A twin of the copies of Gymnasium's `AsyncVectorEnv`, open; the caller closes it."""
    *_, innermost = vector_layers(env)
    twin: gym.Env = innermost.env_fns[0]()
    _twins[innermost] = twin
    return twin


def ask_copy(env: Any, attribute: str) -> Any:
    """An attribute of the first of copies in other processes; None where it has no such.

    Raises:
        TypeError: it cannot be sent from there.
    """
    *_, innermost = vector_layers(env)
    try:
        if not innermost.has_attr(attribute):
            return None
        return innermost.get_attr(attribute, [0])[0]
    except (EOFError, ConnectionError) as error:
        raise TypeError(
            f"{type(env).__name__}: the {attribute!r} of its environments cannot be pickled, which "
            "ended their processes: register them by name, entry_point='module:Class'"
        ) from error


def spec_of(env: Any) -> EnvSpec | None:
    """How Gymnasium made an environment, or the copies of a vector environment."""
    if not is_vector(env):
        spec: EnvSpec | None = env.spec
        return spec
    copy = first_copy(env)
    if copy is not None:
        return copy.spec
    if is_foreign_vector(env):
        asked: EnvSpec | None = ask_copy(env, "spec")
        return asked
    return getattr(env.unwrapped, "spec", None)


def shown_space(env: Any) -> gym.Space:
    """The space of one environment's observations as a vector environment shows them.

    Where `VecTransposeImage` puts the channels of images first, it is that of the images before.
    """
    for layer in vector_layers(env):
        inner = _inner(layer)
        if inner is None or (not _transposes(layer) and _space(layer) != _space(inner)):
            break
    return _space(layer)


def changers(env: Any) -> list[str]:
    """Wrappers that change observations, by the name of their class; this project's are left out.

    Known by their class (Gymnasium's `ObservationWrapper`), their name, or another space; of copies
    in other processes by class and name only.
    """
    copy: Any = env
    found = []
    if is_vector(env):
        found = [type(one).__name__ for one in vector_layers(env) if _changes(one)]
        copy = first_copy(env)
    if copy is not None:
        return found + [type(one).__name__ for one in layers(copy) if _changes(one)]
    spec = spec_of(env)
    for wrapper in reversed(() if spec is None else spec.additional_wrappers):
        module, _, name = wrapper.entry_point.partition(":")
        cls = getattr(sys.modules.get(module), name, None)
        if not module.startswith("gato_gym.") and _is_changer(cls, wrapper.name):
            found.append(wrapper.name)
    return found


def _changes(layer: Any) -> bool:
    inner, cls = _inner(layer), type(layer)
    if inner is None or _transposes(layer) or cls.__module__.startswith("gato_gym."):
        return False
    if vars(layer).get("norm_obs") or _is_changer(cls, cls.__name__):
        return True
    shown, before = _space(layer), _space(inner)
    return shown is not before and shown != before


def _is_changer(cls: type | None, name: str) -> bool:
    if cls is not None and issubclass(
        cls, gym.ObservationWrapper | gym.vector.VectorObservationWrapper
    ):
        return True
    return "Observation" in name or name in _CHANGERS


def _transposes(layer: Any) -> bool:
    """Whether it does nothing but turn (height, width, channels) into (channels, height, width)."""
    return type(layer).__name__ == "VecTransposeImage"


def _inner(layer: Any) -> Any:
    if isinstance(layer, gym.Wrapper | gym.vector.VectorWrapper):
        return layer.env
    return vars(layer).get("venv")


def _space(env: Any) -> gym.Space:
    space = getattr(env, "single_observation_space", None)
    return env.observation_space if space is None else space
