"""Ways to catch an environment out: observations outside of their space, rollouts that differ."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from gato_gym.types import ROOT_KEY, flatten_observation


@dataclass(frozen=True)
class Misfit:
    """What is wrong with one leaf of an observation, continuing "observation 'key' ..."."""

    key: str
    problem: str
    fix: str


class EnvironmentFailed(Exception):
    """`reset` or `step` raised; the message says where and what."""


def misfits(space: gym.Space, observation: Any, key: str = ROOT_KEY) -> Iterator[Misfit]:
    """Each leaf that is not what its space declares, or is not finite.

    Args:
        space: of the observation; Dicts and any other spaces.
        observation: what the environment returned.
        key: of both in a larger observation.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(observation, Mapping):
            problem = f"is a {type(observation).__name__}, its space a Dict"
            yield Misfit(key, problem, "return a dict with the keys of the space")
            return
        prefix = "" if key == ROOT_KEY else f"{key}/"
        for name in sorted({*space.spaces, *observation}, key=str):
            inner = f"{prefix}{name}"
            if name not in observation:
                yield Misfit(inner, "is missing", "return it at every reset and step")
            elif name not in space.spaces:
                yield Misfit(inner, "is not in the observation space", "declare or drop it")
            else:
                yield from misfits(space[name], observation[name], inner)
        return
    found: tuple[str, str] | None = None
    if isinstance(space, spaces.Box):
        found = _box_misfit(space, observation)
    elif isinstance(space, spaces.Text):
        found = _text_misfit(space, observation)
    elif not space.contains(observation):
        found = f"is {_shown(observation)}, outside of {space}", "declare what is returned"
    if found is not None:
        yield Misfit(key, *found)


def _shown(value: Any) -> str:
    text = f"{type(value).__name__} {value}"
    return text if len(text) < 60 else f"{text[:57]}..."


def _box_misfit(space: spaces.Box, value: Any) -> tuple[str, str] | None:
    kind, shape = space.dtype, space.shape
    if not isinstance(value, np.ndarray | np.generic):
        return f"is {_shown(value)}, its space has arrays", f"return np.array(..., np.{kind})"
    if value.dtype != kind:
        return f"is {value.dtype}, its space declares {kind}", f"return x.astype(np.{kind})"
    if value.shape != shape:
        return f"has shape {value.shape}, its space declares {shape}", f"return x.reshape({shape})"
    value = np.asarray(value)
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        where = _first(~np.isfinite(value))
        fix = "find where it comes from, or replace it with np.nan_to_num"
        return f"is not finite: {value[where]} at index {where}", fix
    for bad, bound, name in (
        (value < space.low, space.low, "below the lowest"),
        (value > space.high, space.high, "above the highest"),
    ):
        if bad.any():
            where = _first(bad)
            problem = f"is {value[where]} at index {where}, {name} value {bound[where]}"
            return problem, "widen the bounds of its space, or return np.clip(x, low, high)"
    return None


def _first(bad: np.ndarray) -> tuple[int, ...]:
    return tuple(int(n) for n in np.argwhere(bad)[0])


def _text_misfit(space: spaces.Text, value: Any) -> tuple[str, str] | None:
    if not isinstance(value, str):
        return f"is {_shown(value)}, its space has text", "return a str"
    foreign = "".join(sorted(set(value) - set(space.character_set)))
    if foreign:
        return (
            f"is {_shown(value)}, with letters {foreign!r} that are not in its charset (without "
            "charset= a Text has only a-z, A-Z and 0-9)",
            f"spaces.Text({space.max_length}, charset=string.printable)",
        )
    if not space.min_length <= len(value) <= space.max_length:
        problem = (
            f"has {len(value)} letters, its space allows {space.min_length} to {space.max_length}"
        )
        low, high = min(space.min_length, len(value)), max(space.max_length, len(value))
        return problem, f"spaces.Text({high}, min_length={low}, charset=...)"
    return None


Outcome = tuple[Any, Any, Any]
"""What a step returns besides observation and info: reward, terminated, truncated."""

Watch = Callable[[int, Any, Any, Outcome | None], None]
"""Called with step, observation, info and outcome. The outcome is None after a reset: there is
none, while each of its parts may be None if the environment is broken."""


@dataclass
class Trace:
    """What a rollout showed.

    events   (where, {key: value or hash}) of each reset and step
    seconds  of CPU time spent inside of `env.step`
    steps    how many
    ended    whether an episode ended within them
    """

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    seconds: float = 0.0
    steps: int = 0
    ended: bool = False


def trace(env: gym.Env, actions: Sequence[Any], seed: int, watch: Watch | None = None) -> Trace:
    """Play the actions from `reset(seed=seed)`; the k-th further episode starts from seed + k.

    Raises:
        EnvironmentFailed: the environment raised.
    """
    result = Trace()

    def reset(number: int, where: str) -> None:
        try:
            observation, info = env.reset(seed=number)
        except Exception as error:
            raise EnvironmentFailed(f"{where} raises {described(error)}") from error
        result.events.append((where, _fingerprint(observation)))
        if watch is not None:
            watch(result.steps, observation, info, None)

    reset(seed, f"reset(seed={seed})")
    for action in actions:
        begin = time.process_time()
        try:
            observation, reward, terminated, truncated, info = env.step(copy.copy(action))
        except Exception as error:
            where = f"step {result.steps + 1} with action {_shown(action)}"
            raise EnvironmentFailed(f"{where} raises {described(error)}") from error
        result.seconds += time.process_time() - begin
        result.steps += 1
        seen = {"reward": reward, "terminated": terminated, "truncated": truncated}
        result.events.append((f"step {result.steps}", _fingerprint(observation) | seen))
        if watch is not None:
            watch(result.steps, observation, info, (reward, terminated, truncated))
        if terminated or truncated:
            result.ended = True
            seed += 1
            reset(seed, f"reset(seed={seed}) after step {result.steps}")
    return result


def described(error: BaseException) -> str:
    """Kind and text of an exception, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _fingerprint(observation: Any) -> dict[str, Any]:
    return {
        f"observation {key!r}": hash(value.tobytes()) if isinstance(value, np.ndarray) else value
        for key, value in flatten_observation(observation).items()
    }


def first_difference(one: Trace, other: Trace) -> str | None:
    """Where two rollouts part, e.g. "observation 'position' at step 3"; None if nowhere."""
    for (where, seen), (elsewhere, also) in zip(one.events, other.events, strict=False):
        if where != elsewhere:
            return f"the end of an episode: one has {where}, the other {elsewhere}"
        for key in {**seen, **also}:
            # NaN is equal to itself here: that it is one was found before.
            if key not in seen or key not in also or repr(seen[key]) != repr(also[key]):
                return f"{key} at {where}"
    return None


def compare_rollouts(
    make_env: Callable[[], gym.Env], seed: int = 0, steps: int = 200
) -> str | None:
    """Whether one seed means one episode: in two instances, and again after other episodes.

    Args:
        make_env: builds the environment; called twice.
        seed: of the first episode and of the random actions.
        steps: of each rollout.

    Returns:
        None, or where the rollouts part, see `first_difference`.

    Raises:
        EnvironmentFailed: the environment raised.
    """
    one, other = make_env(), make_env()
    try:
        space = copy.deepcopy(one.action_space)
        space.seed(seed)
        actions = [space.sample() for _ in range(steps)]
        first = trace(one, actions, seed)
        found = first_difference(first, trace(other, actions, seed))
        return found or first_difference(first, trace(one, actions, seed))
    finally:
        one.close()
        other.close()
