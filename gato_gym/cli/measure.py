"""What `gato-gym bench env` measures, and its references."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import Any

import gymnasium as gym
import numpy as np

import gato_gym
from gato_gym import envs
from gato_gym.cli.bench import Pair
from gato_gym.envs.registry import resolve
from gato_gym.tokenizers.wrapper import TokenizeObservation

STEPS_PER_WORK = 50
COPIES = 8
ALE_VECTOR = "ale_py.vector_env:AtariVectorEnv"

Environment = gym.Env | gym.vector.VectorEnv


@contextmanager
def env(task: str) -> Iterator[Pair]:
    """Steps of the tokenizing environment, against those of the bare one; random actions.

    Parts: "numbers", an environment that only returns an observation of 40 numbers; "vector" and
    "vector_raw", 8 copies with and without tokens, against the package's own vector environment.
    """
    with ExitStack() as stack:

        def pair(ours: Environment, bare: Environment) -> Pair:
            for one in (ours, bare):
                stack.callback(one.close)
            threads = isinstance(ours, gym.vector.VectorEnv)
            clock = time.perf_counter if threads else time.process_time
            work = stepper(ours, _random), stepper(bare, _random)
            return Pair("steps/s", *work, clock=clock)

        # Neither has Gymnasium's checker: it would make the bare one slower.
        bare = gym.make(resolve(task), disable_env_checker=True)
        vectors = {
            name: pair(gato_gym.make_vec(task, COPIES, tokenize=tokens), plain_vector(task))
            for name, tokens in (("vector", True), ("vector_raw", False))
        }
        numbers = pair(TokenizeObservation(Numbers()), Numbers())
        whole = pair(gato_gym.make(task, disable_env_checker=True), bare)
        yield replace(whole, parts={"numbers": numbers, **vectors})


class Numbers(gym.Env):
    """Costs nothing and observes 40 numbers."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (40,))
    action_space = gym.spaces.Discrete(2)
    spec = gym.envs.registration.EnvSpec("bench/Numbers-v0")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Draw the numbers."""
        super().reset(seed=seed)
        self._numbers = self.np_random.normal(scale=10, size=40).astype(np.float32)
        return self._numbers, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """The same numbers again."""
        return self._numbers, 0.0, False, False, {}


def plain_vector(task: str, threads: int = 0) -> gym.vector.VectorEnv:
    """What the task's package offers without us, at the same image size.

    ale-py's engine resizes by itself and takes as many threads as it likes, as ours does, unless
    told how many; for other packages it is Gymnasium's vector environment, which has one.
    """
    spec = gym.spec(resolve(task))
    if spec.vector_entry_point == ALE_VECTOR:
        from ale_py import AtariVectorEnv

        height, width = envs.task_spec(task).observations[0].shape[:2]
        game = {k: v for k, v in spec.kwargs.items() if k != "game"}
        return AtariVectorEnv(
            spec.kwargs["game"],
            COPIES,
            img_height=height,
            img_width=width,
            grayscale=False,
            stack_num=1,
            maxpool=False,
            noop_max=0,
            use_fire_reset=False,
            reward_clipping=False,
            autoreset_mode=gym.vector.AutoresetMode.SAME_STEP,
            num_threads=threads,
            **game,
        )
    return gym.vector.SyncVectorEnv(
        [partial(gym.make, spec.id, disable_env_checker=True)] * COPIES,
        autoreset_mode=gym.vector.AutoresetMode.SAME_STEP,
    )


def stepper(environment: Environment, choose: Callable[[gym.Space], Any]) -> Callable[[], int]:
    """Steps an environment with actions that were chosen before; counts the steps of all copies."""
    environment.action_space.seed(0)
    environment.reset(seed=0)
    # Drawn before: choosing is not what is measured.
    actions = cycle([choose(environment.action_space) for _ in range(1000)])
    copies = getattr(environment, "num_envs", 1)
    restarts = isinstance(environment, gym.Env)

    def steps() -> int:
        for _ in range(STEPS_PER_WORK):
            _, _, terminated, truncated, _ = environment.step(next(actions))
            if restarts and (terminated or truncated):
                environment.reset()
        return STEPS_PER_WORK * copies

    return steps


def _random(space: gym.Space) -> Any:
    return space.sample()


def nothing(space: gym.Space) -> Any:
    """The action that comes nearest to doing nothing."""
    if isinstance(space, gym.spaces.Box):
        return np.zeros(space.shape, space.dtype)
    return space.dtype.type(0) if isinstance(space, gym.spaces.Discrete) else space.sample() * 0
