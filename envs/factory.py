"""`make`: the standardised raw environment; `task_spec`: what an environment is to Gato."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator
from gymnasium.wrappers import RescaleAction

from gato_gym.envs import layers
from gato_gym.envs.families import Family, family_of_spec
from gato_gym.envs.images import ResizeImages, checked_size, default_size
from gato_gym.envs.registry import current_version, load_tasks, registered, resolve
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
        ValueError: the task has no such render mode.
        TypeError: the task takes no such keyword argument.
    """
    name = resolve(id)
    family = family_of_spec(gym.spec(name))
    if image_size is not None:
        image_size = checked_size(image_size)
    if image_size is not None and family is not None and family.any_size:
        kwargs["image_size"] = image_size
    return standardise(_build(name, family, kwargs), image_size)


def standardise(env: gym.Env, image_size: tuple[int, int] | None = None) -> gym.Env:
    """Wrap an environment as `make` does; its id decides the size of its images.

    Raises:
        UnsupportedSpaceError: a space that has no tokens; the environment is closed then.
    """
    try:
        if has_tuple(env.observation_space):
            env = TuplesToDicts(env)
        observations = observed_leaves(env, image_size)
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


def task_spec(env_or_id: str | gym.Env | gym.vector.VectorEnv) -> TaskSpec:
    """What a task is to Gato.

    Of an id in the catalogue: its entry. Of an environment: its catalogue entry, or one of domain
    "other", with the observations it really has, at the size the tokenizer wants. Any other id is
    built once to look at its spaces. Vector environments may be Stable-Baselines3's too.

    Raises:
        UnknownTaskError, MissingExtraError, UnsupportedSpaceError: see `make`.
        TypeError: no environment, or one that tells no id.
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
    if layers.is_vector(env_or_id):
        return _of_vector(env_or_id)
    if not isinstance(env_or_id, gym.Env):
        raise TypeError(f"{type(env_or_id).__name__} is no Gymnasium environment: pass the task id")
    for layer in layers.layers(env_or_id):
        # Wrappers that change observations for good (the tokenizing one) carry the spec of the raw.
        carried = vars(layer).get("task_spec")
        if isinstance(carried, TaskSpec):
            return carried
    fresh = derive(env_or_id)
    known = registered(fresh.id)
    if known is None:
        return fresh
    same = _plays_as_registered(env_or_id)
    return replace(
        fresh,
        expert=known.expert,
        random_score=known.random_score if same else None,
        random_source=known.random_source if same else "",
        expert_score=known.expert_score if same else None,
        expert_source=known.expert_source if same else "",
    )


def _of_vector(env: Any) -> TaskSpec:
    stack = list(layers.vector_layers(env))
    for layer in stack:
        carried = vars(layer).get("task_spec")
        if isinstance(carried, TaskSpec):
            return carried
    if hasattr(stack[-1], "envs"):
        copy = stack[-1].envs[0]
        told, before = task_spec(copy), copy.observation_space
    elif hasattr(stack[-1], "env_fns"):
        twin = layers.build_twin(env)
        try:
            told, before = task_spec(twin), twin.observation_space
        finally:
            twin.close()
    else:
        carried = layers.ask_copy(env, "task_spec") if layers.is_foreign_vector(env) else None
        if isinstance(carried, TaskSpec):
            return carried
        spec = layers.spec_of(env)
        if spec is None:
            raise TypeError(f"{env} hides its environments: pass the task id instead")
        told, before = task_spec(spec.id), None
    space = layers.shown_space(env)
    if space == before:
        return told
    sizes = {leaf.key: leaf.shape[:2] for leaf in told.observations if leaf.kind == "image"}
    return replace(told, observations=_leaves(space, sizes))


# Keyword arguments that change what is seen, not what is played for.
_LOOKS = {
    *("render_mode", "image_size", "observation", "raw", "width", "height", "camera"),
    *("camera_id", "camera_name", "renderer", "palette"),
}


def _plays_as_registered(env: gym.Env) -> bool:
    """Whether an environment was made with the arguments that the catalogue's scores are of."""
    assert env.spec is not None
    registered_as = gym.registry.get(env.spec.id)
    if registered_as is None:
        return True
    theirs, ours = registered_as.kwargs, env.spec.kwargs
    return all(
        theirs.get(key) == ours.get(key) for key in {*theirs, *ours} - _LOOKS
    ) and registered_as.max_episode_steps in (None, env.spec.max_episode_steps)


def derive(env: gym.Env) -> TaskSpec:
    """What a built environment shows, without a look into the catalogue.

    Raises:
        TypeError: the environment has no id.
        UnsupportedSpaceError: a space that has no tokens.
    """
    if env.spec is None:
        raise TypeError(f"{env} was not made by gymnasium.make, so it has no id: register it")
    observations, action = observed_leaves(env), action_spec(env.action_space)
    family = family_of_spec(env.spec)
    if family is None:
        return TaskSpec(
            id=env.spec.id,
            domain="other",
            family=env.spec.namespace or "gymnasium",
            observations=observations,
            action=action,
            horizon=env.spec.max_episode_steps,
        )
    facts = {"horizon": env.spec.max_episode_steps} | family.facts(env)
    return TaskSpec(
        id=env.spec.id,
        domain=family.domain(env.spec.id),
        family=family.name,
        observations=observations,
        action=action,
        extra=family.extra,
        package=family.distribution,
        **facts,  # type: ignore[arg-type]  # the families name the fields
    )


def observed_leaves(
    env: gym.Env, image_size: tuple[int, int] | None = None
) -> tuple[ObservationSpec, ...]:
    """What an environment shows.

    Image sizes are those asked for, else set already, else the package's, else the default.
    """
    worn = [layer for layer in layers.layers(env) if isinstance(layer, ResizeImages)]
    family = family_of_spec(env.spec) if env.spec else None
    images = image_leaves(env.observation_space)
    if image_size is not None:
        sizes = dict.fromkeys(images, image_size)
    else:
        own = family and family.image_size
        sizes = (dict.fromkeys(images, own) if own else {}) | (worn[0].sizes if worn else {})
    return _leaves(env.observation_space, sizes)


def _leaves(space: gym.Space, sizes: Mapping[str, tuple[int, ...]]) -> tuple[ObservationSpec, ...]:
    """What a space shows; images without a size get the default."""
    images = image_leaves(space)
    return tuple(
        ObservationSpec(
            leaf.key, "image", (*(sizes.get(leaf.key) or default_size(*images[leaf.key])), 3)
        )
        if leaf.kind == "image"
        else leaf
        for leaf in observation_specs(space)
    )


def _build(name: str, family: Family | None, kwargs: dict[str, Any]) -> gym.Env:
    """`gymnasium.make` with its complaints turned into advice, and the family's amendments."""
    _check_render_mode(name, kwargs.get("render_mode"))
    if kwargs.get("render_mode") == "human" and family and "mujoco" in family.modules:
        _check_display(name)
    if name in load_tasks():
        # The suite test has run the checker on every task of the catalogue.
        kwargs = {"disable_env_checker": True} | kwargs
    try:
        build = gym.make if family is None or family.build is None else family.build
        env = build(name, **kwargs)
    except gym.error.DependencyNotInstalled as error:
        hint = f' (pip install "gato-gym[{family.extra}]")' if family and family.extra else ""
        newer = current_version(name)
        if newer is not None and name not in load_tasks():
            hint = f": {newer!r} is the version that is maintained"
        raise MissingExtraError(f"{name}: {error}{hint}") from error
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise TypeError(f"{name}: {error}; {_accepted(name)}") from error
    return env if family is None else family.adapt(env)


def _check_display(name: str) -> None:
    # Without one, the attempt leaves GL unusable for the rest of the process.
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise ValueError(f'{name}: render_mode "human" needs a display; use "rgb_array"')


def _creator(name: str) -> Any:
    """The class or function that builds a task, None where it cannot be looked up."""
    entry = gym.spec(name).entry_point
    if callable(entry) or entry is None:
        return entry
    try:
        return load_env_creator(entry)
    except (ImportError, gym.error.DependencyNotInstalled):
        return None  # gymnasium.make tells it better


def _check_render_mode(name: str, mode: Any) -> None:
    if mode is None:
        return
    creator = _creator(name)
    known = getattr(creator, "metadata", {}).get("render_modes")
    if known and mode in known:
        return
    if not known:
        if isinstance(creator, type) and "render_mode" not in _parameters(creator):
            raise ValueError(f"{name} cannot be drawn: leave render_mode out")
        return
    # Gymnasium builds these from a mode that returns single frames.
    if mode in ("human", "rgb_array_list", "ansi_list") and mode.removesuffix("_list") in known:
        return
    if mode == "human" and {"rgb_array", "rgb_array_list"} & set(known):
        return
    raise ValueError(
        f"{name} has no render_mode {mode!r}; it has {', '.join(map(repr, known))} and None"
    )


def _parameters(creator: Any) -> list[str]:
    """The names of the keyword arguments that something takes, one of them maybe "kwargs"."""
    try:
        return list(inspect.signature(creator).parameters)
    except (TypeError, ValueError):
        return []


def _accepted(name: str) -> str:
    """The keyword arguments that a task takes, for people."""
    names = _parameters(_creator(name))
    return f"it takes {', '.join(names)}" if names else "see the documentation of its package"
