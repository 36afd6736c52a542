"""`make` and `make_vec`: the standardised raw environment; `task_spec`: what it is to Gato."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import RescaleAction

from gato_gym.envs.images import ResizeImages, default_size
from gato_gym.envs.registry import (
    RENDERS_ANY_SIZE,
    missing_extra,
    package_of,
    registered,
    resolve,
)
from gato_gym.envs.spaces import (
    TuplesToDicts,
    action_spec,
    has_tuple,
    image_leaves,
    observation_specs,
)
from gato_gym.errors import MissingExtraError
from gato_gym.types import ObservationSpec, TaskSpec


def make(id: str, *, image_size: tuple[int, int] | None = None, **kwargs: Any) -> gym.Env:
    """An environment of the suite, or any registered Gymnasium id with supported spaces.

    Images are resized to the task's size, tuples become mappings with index keys, and continuous
    actions are rescaled to [-1, 1].

    Args:
        id: as Gymnasium's, "module:id" included.
        image_size: (height, width) of the images, multiples of 16; default is the task's own, for
            an unknown task see `gato_gym.envs.images.default_size`.
        kwargs: passed on to `gymnasium.make`, e.g. render_mode="rgb_array".

    Raises:
        UnknownTaskError: no such id; lists the nearest ones.
        MissingExtraError: its package is not installed; names the extra.
        UnsupportedSpaceError: a space that has no tokens.
        InvalidObservationError: an image size that is no multiple of 16.
    """
    name = resolve(id)
    if image_size is not None and name in RENDERS_ANY_SIZE:
        kwargs["image_size"] = image_size
    env = _gymnasium_make(name, **kwargs)
    try:
        if has_tuple(env.observation_space):
            env = TuplesToDicts(env)
        observations = _observations(env, image_size)
        action = action_spec(env.action_space)
    except Exception:
        env.close()
        raise
    sizes = {leaf.key: leaf.shape[:2] for leaf in observations if leaf.kind == "image"}
    # A size that was asked for is worn even if it changes nothing: `task_spec` reads it there.
    if sizes and (image_size is not None or sizes != image_leaves(env.observation_space)):
        env = ResizeImages(env, sizes)  # type: ignore[arg-type]
    space = env.action_space
    if action.kind == "continuous" and ((space.low != -1).any() or (space.high != 1).any()):  # type: ignore[attr-defined]
        one = space.dtype.type(1)  # type: ignore[union-attr]
        env = RescaleAction(env, min_action=-one, max_action=one)
    return env


def make_vec(
    id: str, num_envs: int, *, make_one: Callable[..., gym.Env] = make, **kwargs: Any
) -> gym.vector.VectorEnv:
    """`num_envs` copies of `make_one(id, **kwargs)`, stepped together.

    Each is reset as soon as its episode ends (Gymnasium's same-step mode, as in Stable-Baselines3).
    """
    return gym.vector.SyncVectorEnv(
        [partial(make_one, id, **kwargs) for _ in range(num_envs)],
        autoreset_mode=gym.vector.AutoresetMode.SAME_STEP,
    )


def task_spec(env_or_id: str | gym.Env | gym.vector.VectorEnv) -> TaskSpec:
    """What a task is to Gato.

    Of an id in the catalogue: its entry. Of an environment: its catalogue entry, or one of domain
    "other", with the observations it really has, at the size the tokenizer wants. Any other id is
    built once to look at its spaces.

    Raises:
        UnknownTaskError, MissingExtraError, UnsupportedSpaceError: see `make`.
    """
    if isinstance(env_or_id, str):
        known = registered(env_or_id.rpartition(":")[2])
        if known is not None:
            return known
        env = make(env_or_id)
        try:
            return task_spec(env)
        finally:
            env.close()
    if isinstance(env_or_id, gym.vector.VectorEnv):
        copies = getattr(env_or_id.unwrapped, "envs", None)
        if not copies:
            raise TypeError(f"{env_or_id} hides its environments: pass the task id instead")
        return task_spec(copies[0])
    if not isinstance(env_or_id, gym.Env):
        raise TypeError(f"{type(env_or_id).__name__} is no Gymnasium environment: pass the task id")
    for layer in _layers(env_or_id):
        # Wrappers that change observations for good (the tokenizing one) carry the spec of the raw.
        carried = vars(layer).get("task_spec")
        if isinstance(carried, TaskSpec):
            return carried
    return _derive(env_or_id)


def _derive(env: gym.Env) -> TaskSpec:
    if env.spec is None:
        raise TypeError(f"{env} was not made by gymnasium.make, so it has no id: register it")
    observations, action = _observations(env, None), action_spec(env.action_space)
    known = registered(env.spec.id)
    if known is not None:
        return replace(known, observations=observations, action=action)
    return TaskSpec(
        id=env.spec.id,
        domain="other",
        family=env.spec.namespace or "gymnasium",
        observations=observations,
        action=action,
        horizon=env.spec.max_episode_steps,
    )


def _observations(env: gym.Env, image_size: tuple[int, int] | None) -> tuple[ObservationSpec, ...]:
    """The leaves; image sizes are those asked for, else set already, the package's, the default."""
    leaves = observation_specs(env.observation_space)
    resized = next((layer.sizes for layer in _layers(env) if isinstance(layer, ResizeImages)), {})
    package = package_of(env.spec.id) if env.spec else None
    images = image_leaves(env.observation_space)

    def size(key: str) -> tuple[int, int]:
        if image_size is not None:
            return image_size
        if key in resized:
            return resized[key]
        return (package and package.image_size) or default_size(*images[key])

    return tuple(
        ObservationSpec(leaf.key, "image", (*size(leaf.key), 3)) if leaf.kind == "image" else leaf
        for leaf in leaves
    )


def _layers(env: gym.Env) -> Iterator[gym.Env]:
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env
    yield env


def _gymnasium_make(name: str, **kwargs: Any) -> gym.Env:
    try:
        return gym.make(name, **kwargs)
    except gym.error.DependencyNotInstalled as error:
        if "mujoco" in str(error).lower():
            raise missing_extra(name, "mujoco") from error
        raise MissingExtraError(f"{name}: {error}") from error
