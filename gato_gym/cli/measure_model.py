"""What `gato-gym bench act | train` measure, and their references. Weights are random."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import count
from typing import Any

import numpy as np
import torch

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli.bench import Pair
from gato_gym.config import model_config
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.image import acting_positions
from gato_gym.tokenizers.timestep import ACTION_ROW, StepTokenizer, TokenSequence

BATCH = 8


class Recompute:
    """Decides each action number by running the whole context again, without a cache."""

    def __init__(self, agent: GatoAgent, tokenizer: StepTokenizer) -> None:
        self.model, self.tokenizer = agent.model, tokenizer
        # Whole steps, the one that is being decided among them.
        self.past: deque[TokenSequence] = deque(
            maxlen=max(1, agent.config.context // tokenizer.tokens_per_step)
        )

    @torch.inference_mode()
    def act(self, obs: Any) -> np.ndarray:
        """The most likely ids of one action."""
        self.past.append(self.tokenizer.observe(obs))
        for low, high in self.tokenizer.legal_ids:
            logits = self._logits()[low:high]
            self._append(int(logits.argmax()) + int(low))
        return self.past[-1].ids[-len(self.tokenizer.legal_ids) :]

    def _append(self, token: int) -> None:
        last = self.past[-1]
        self.past[-1] = replace(
            last, ids=np.append(last.ids, token), local=np.append(last.local, ACTION_ROW)
        )

    def _logits(self) -> torch.Tensor:
        merged = {
            f.name: np.concatenate([getattr(step, f.name) for step in self.past])
            for f in fields(TokenSequence)
        }
        ids = torch.from_numpy(merged["ids"].astype(np.int64))[None]
        return self.model(
            ids,
            torch.from_numpy(merged["local"].astype(np.int64))[None],
            torch.from_numpy(merged["patches"]),
            torch.arange(len(merged["patches"])),
            torch.from_numpy(acting_positions(merged["intervals"]).astype(np.int64)),
            torch.zeros_like(ids),
            torch.tensor([[ids.shape[1] - 1]]),
        )[0, 0]


@contextmanager
def act(task: str, size: str) -> Iterator[Pair]:
    """Actions on the same observations, once the context is full."""
    torch.manual_seed(0)
    env = envs.make(task)
    try:
        agent = GatoAgent(Gato(model_config(size)), {task: envs.task_spec(env)})
        agent.reset(env, prompt=None)
        tokenizer = StepTokenizer(envs.task_spec(env), agent.vocabulary)
        reference = Recompute(agent, tokenizer)
        env.action_space.seed(0)
        observations = [env.reset(seed=0)[0]]
        for _ in range(agent.config.context // tokenizer.tokens_per_step + 1):
            obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
            observations.append(obs)
            if terminated or truncated:
                env.reset()
    finally:
        env.close()
    for obs in observations:
        agent.act(obs)
        reference.act(obs)
    yield Pair("actions/s", _cycle(agent.act, observations), _cycle(reference.act, observations))


def _cycle(decide: Callable[[Any], Any], observations: list[Any]) -> Callable[[], int]:
    steps = count()

    def once() -> int:
        decide(observations[next(steps) % len(observations)])
        return 1

    return once
