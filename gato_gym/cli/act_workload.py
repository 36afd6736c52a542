"""What `gato-gym bench act` acts in: the agent, the task, and observations of its play."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector.utils import concatenate, create_empty_array

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli.bench_workload import build_model_config, choose, make_env
from gato_gym.config import ModelConfig
from gato_gym.errors import UnknownTaskError
from gato_gym.models.device import choose_device
from gato_gym.models.gato import Gato
from gato_gym.models.precision import check_precision, set_precision

if TYPE_CHECKING:
    from gato_gym.cli.bench import Options

SHAPE = ("size", "layers", "width", "heads", "context")
PAPER_CONTEXT = 1024
EPISODE_CONTEXTS = 4
"""A row of a batch restarts after as many steps as fit so many contexts."""


def check(options: Options) -> None:
    """Raise ValueError for values out of range, and for a checkpoint of another shape."""
    if not options.batch_sizes or min(options.batch_sizes) < 1:
        raise ValueError(f"--batch-sizes must be at least 1, got {list(options.batch_sizes)}")
    if options.threads is not None and options.threads < 1:
        raise ValueError(f"--threads must be at least 1, got {options.threads}")
    if options.checkpoint is not None:
        for name in SHAPE:
            if getattr(options, name) != getattr(type(options), name):
                raise ValueError(f"--{name} is for random weights: --checkpoint has its own")


@contextmanager
def open_task(options: Options) -> Iterator[tuple[GatoAgent, gym.Env]]:
    """The agent and an environment of the task for which it is reset, closed afterwards."""
    task = find_task(options.task[0])
    device = choose_device(options.device)
    check_precision(options.precision)
    env = envs.make(task) if options.checkpoint is not None else make_env(task)
    try:
        if options.checkpoint is not None:
            agent = GatoAgent.from_pretrained(
                options.checkpoint, device=str(device), precision=options.precision
            )
        else:
            torch.manual_seed(0)
            model = set_precision(Gato(shape(options)).to(device), options.precision)
            spec = envs.task_spec(env)
            agent = GatoAgent(model, {spec.id: spec}, name="random")
        agent.reset(env, prompt=None)
        yield agent, env
    finally:
        env.close()


def shape(options: Options) -> ModelConfig:
    """The preset of --size with its changes; of another shape with the paper's context (2.3)."""
    changed = options.layers is not None or options.width is not None
    config = build_model_config(options)
    if changed and options.context is None:
        return replace(config, context=PAPER_CONTEXT)
    return config


def find_task(name: str) -> str:
    """A task's id, or the first installed one of a domain."""
    try:
        return next(iter(choose([name], {spec.id: spec.domain for spec in envs.tasks()})))
    except UnknownTaskError:
        return name  # perhaps registered by others; if not, it is told when it is made


def observe(env: gym.Env, number: int) -> list[Any]:
    """Observations of random play."""
    env.action_space.seed(0)
    found = [env.reset(seed=0)[0]]
    while len(found) < number:
        obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
        found.append(env.reset()[0] if terminated or truncated else obs)
    return found


def stack(env: gym.Env, observations: Sequence[Any]) -> Any:
    """One of a vector environment, of its copies'."""
    out = create_empty_array(env.observation_space, len(observations))
    assert out is not None
    return concatenate(env.observation_space, observations, out)


def stacks(env: gym.Env, observations: Sequence[Any], copies: int) -> list[Any]:
    """For each observation one of a vector environment, whose copies are at different ones."""
    number = len(observations)
    return [
        stack(env, [observations[(step + 7 * copy) % number] for copy in range(copies)])
        for step in range(number)
    ]


class Batch:
    """`agent.predict` on copies of a task whose episodes end at different times.

    Args:
        agent: after its reset.
        observations: stacked, for so many copies.
        copies: B.
        fill: steps that make a context full.
    """

    def __init__(
        self, agent: GatoAgent, observations: Sequence[Any], copies: int, fill: int
    ) -> None:
        self._agent, self._observations, self._steps = agent, observations, count()
        self.state: Any = None
        length = EPISODE_CONTEXTS * fill
        self._ends = (length * (np.arange(copies) + 0.5) / copies).astype(int)
        self._length = length
        never, first = np.zeros(copies, bool), np.arange(copies) == 0
        for step in range(fill + 1):  # one row begins again at once: a pass of unequal lengths
            self._predict(step, first if step == 1 else never)

    def __call__(self) -> None:
        """One step of all copies."""
        step = next(self._steps)
        self._predict(step, np.equal(step % self._length, self._ends))

    def _predict(self, step: int, starts: np.ndarray) -> None:
        observation = self._observations[step % len(self._observations)]
        _, self.state = self._agent.predict(observation, self.state, starts)
