"""`make_vec`: many copies of a task, stepped together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import gymnasium as gym

from gato_gym.envs.factory import make, task_spec
from gato_gym.envs.families import family_of
from gato_gym.envs.registry import resolve
from gato_gym.errors import MissingExtraError, UnknownTaskError

Vectorization = Literal["auto", "native", "sync", "async"]

# For the engine of a native vector environment; no single environment takes them.
_ENGINE_SETTINGS = ("num_threads", "thread_affinity_offset")
_NATIVE_FAMILY = "ale"


def make_vec(
    id: str,
    num_envs: int,
    *,
    vectorization: Vectorization = "auto",
    make_one: Callable[..., gym.Env] = make,
    **kwargs: Any,
) -> gym.vector.VectorEnv:
    """`num_envs` copies of `make(id, **kwargs)`, stepped together.

    Each is reset as soon as its episode ends (Gymnasium's same-step mode, as in Stable-Baselines3);
    `infos["final_obs"]` holds the last observations. `vec.task_spec` is what the task is to Gato.

    The processes of "async" start afresh and import the main script: what a script does must stand
    under `if __name__ == "__main__":`.

    Args:
        id: as of `make`.
        num_envs: how many, at least 1.
        vectorization: "native" the package's own engine (ale-py's, in threads), "sync" one after
            the other, "async" one process each, "auto" native where there is one for these
            arguments, else sync.
        make_one: makes a copy, for "sync" and "async".
        kwargs: as of `make`; for a native engine also num_threads and thread_affinity_offset.

    Raises:
        ValueError: no such vectorization, no native engine for these arguments, or no copies.
        TypeError: the task takes no such keyword argument.
        RuntimeError: a copy could not be made in its process.
    """
    if vectorization not in get_args(Vectorization):
        raise ValueError(
            f"vectorization {vectorization!r}: one of {', '.join(get_args(Vectorization))}"
        )
    if num_envs < 1:
        raise ValueError(f"num_envs must be at least 1, got {num_envs}")
    native = vectorization in ("auto", "native") and _has_native(id, kwargs)
    if native:
        return _native(id, num_envs, kwargs)
    if vectorization == "native":
        raise ValueError(
            f"{id} has no native vector environment for {sorted(kwargs) or 'any arguments'}: "
            'pass vectorization="sync" or "async"'
        )
    engine = [name for name in _ENGINE_SETTINGS if name in kwargs]
    if engine:
        raise TypeError(f"{id}: {' and '.join(engine)} is for native vector environments only")
    mode = gym.vector.AutoresetMode.SAME_STEP
    if vectorization == "async":
        return _processes(id, num_envs, make_one, mode, kwargs)
    vec = gym.vector.SyncVectorEnv(
        [partial(make_one, id, **kwargs) for _ in range(num_envs)], autoreset_mode=mode
    )
    try:
        vec.task_spec = task_spec(vec.envs[0])  # type: ignore[attr-defined]
    except Exception:
        vec.close()
        raise
    return vec


class _Processes(gym.vector.AsyncVectorEnv):
    """One process for each copy; none is left behind if one of them fails to start.

    They are spawned: a forked process would share the GL state of this one and wait for it forever.
    """

    def __init__(self, copies: list[Callable[[], gym.Env]], mode: gym.vector.AutoresetMode) -> None:
        try:
            super().__init__(copies, context="spawn", autoreset_mode=mode)
        except Exception as error:
            self._abandon()
            if isinstance(error, EOFError | ConnectionError):
                raise RuntimeError(
                    "a copy could not be made in its process, which wrote why to stderr; scripts "
                    'need `if __name__ == "__main__":`, and all arguments must be picklable'
                ) from error
            raise

    def _abandon(self) -> None:
        self.closed = True
        for process in getattr(self, "processes", ()):
            if process.pid is not None:
                process.terminate()
                process.join()
        for pipe in getattr(self, "parent_pipes", ()):
            pipe.close()


def _processes(
    id: str,
    num_envs: int,
    make_one: Callable[..., gym.Env],
    mode: gym.vector.AutoresetMode,
    kwargs: dict[str, Any],
) -> gym.vector.VectorEnv:
    # The copies live in other processes: this one tells what they are, before any is started.
    single = make(id, **kwargs)
    try:
        told = task_spec(single)
    finally:
        single.close()
    copy = partial(_make_copy, gym.spec(resolve(id)), make_one, id, **kwargs)
    vec = _Processes([copy] * num_envs, mode)
    vec.task_spec = told  # type: ignore[attr-defined]
    return vec


def _make_copy(
    spec: gym.envs.registration.EnvSpec, make_one: Callable[..., gym.Env], /, id: str, **kwargs: Any
) -> gym.Env:
    """Run in a process that has no ids but those of installed packages."""
    try:
        resolve(id)
    except (MissingExtraError, UnknownTaskError):
        gym.registry[spec.id] = spec
    return make_one(id, **kwargs)


def _has_native(id: str, kwargs: dict[str, Any]) -> bool:
    name = resolve(id)
    family = family_of(name)
    if family is None or family.name != _NATIVE_FAMILY:
        return False
    from gato_gym.envs.families.ale_vector import is_native

    return is_native(kwargs)


def _native(id: str, num_envs: int, kwargs: dict[str, Any]) -> gym.vector.VectorEnv:
    from gato_gym.envs.families.ale_vector import NativeAtari

    engine = {name: kwargs[name] for name in _ENGINE_SETTINGS if name in kwargs}
    single = make(id, **{name: kwargs[name] for name in kwargs if name not in engine})
    try:
        return NativeAtari(single, task_spec(single), num_envs, **engine)
    finally:
        single.close()
