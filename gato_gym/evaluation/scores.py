"""How well an agent plays: mean return with a bootstrap interval, and the expert-normalised score.

Normalised (paper section 4.1): 0 is random play, 1 the expert that made the data. It is linear in
the return, so intervals of the one are intervals of the other.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import gymnasium
import numpy as np

from gato_gym import envs
from gato_gym.agents import Agent
from gato_gym.evaluation.batched import batched_rollout, check_batches
from gato_gym.evaluation.intervals import bootstrap_interval, ratio_interval
from gato_gym.evaluation.language import Interval, LanguageScore, ReplyRecorder, language_score
from gato_gym.evaluation.rollout import EpisodeResult, Observer, rollout
from gato_gym.types import TaskSpec


@dataclass(frozen=True)
class Score:
    """How `episodes` episodes with seeds `seed`, `seed` + 1, ... went.

    ci95           95 % interval of the mean return
    random, expert the reference returns, None where nobody measured them
    normalized     None unless both references are known and the expert is above random
    success_rate   None where the task reports no success, and of text, which has an accuracy
    checkpoint     who played: a checkpoint's name, an expert's id or "random"
    steps_per_second  of the wall clock, all episodes together, environments included
    num_envs       episodes played at once

    Of a task whose actions are text, else None:

    accuracy       mean reward of a step, in [0, 1], with its 95 % interval over episodes
    language       by source, and beside the expert's words; None where nobody saw the replies, as
                   on a cluster
    beside         what else was measured, as JSON, see `comparisons`; of any task
    """

    task: str
    episodes: int
    seed: int
    mean_return: float
    ci95: tuple[float, float]
    random: float | None
    expert: float | None
    normalized: float | None
    success_rate: float | None
    checkpoint: str
    steps_per_second: float
    mean_length: float
    returns: tuple[float, ...]
    num_envs: int = 1
    accuracy: float | None = None
    accuracy_ci95: Interval | None = None
    language: LanguageScore | None = None
    beside: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; with `accuracy` and what else there is only where actions are text."""
        apart = ("accuracy", "accuracy_ci95", "language", "beside")
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in apart}
        found |= {"ci95": list(self.ci95), "returns": list(self.returns)}
        if self.accuracy_ci95 is not None:
            found |= {"accuracy": self.accuracy, "accuracy_ci95": list(self.accuracy_ci95)}
        if self.language is not None:
            found |= self.language.to_json()
        return found | dict(self.beside)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Score:
        """A score of which `to_json` gives `row` again; what is said of words is in `beside`.

        Raises:
            KeyError, TypeError: it is not such a row.
        """
        own = {one.name for one in fields(cls)} - {"language", "beside"}
        found = {name: value for name, value in row.items() if name in own}
        found |= {"ci95": tuple(row["ci95"]), "returns": tuple(row["returns"])}
        if "accuracy_ci95" in row:
            found["accuracy_ci95"] = tuple(row["accuracy_ci95"])
        beside = {name: value for name, value in row.items() if name not in own}
        return cls(**found, beside=beside)


def evaluate(
    task: str,
    agent: Agent,
    *,
    episodes: int,
    seed: int,
    observers: Sequence[Observer] = (),
    deterministic: bool = True,
    checkpoint: str | None = None,
    num_envs: int = 1,
    make: Callable[[], gymnasium.Env] | None = None,
    **env_kwargs: Any,
) -> Score:
    """Play a task and score it.

    Args:
        task: a task id.
        agent: who plays.
        episodes: how many; episode i starts from `env.reset(seed=seed + i)`.
        seed: the first one.
        observers: watch the episodes, e.g. a `VideoObserver`.
        deterministic: passed to `agent.act`.
        checkpoint: the agent's name in the score; default its `checkpoint` or `id` attribute.
        num_envs: how many episodes play at once, see `batched_rollout`; more than there are
            episodes is no use and not done.
        make: builds the environment instead of `gato_gym.envs.make(task, **env_kwargs)`: another
            form of the task, e.g. a control.
        env_kwargs: passed to `gato_gym.envs.make`, e.g. render_mode="rgb_array".

    Raises:
        UnknownTaskError, MissingExtraError: see `gato_gym.make`.
        TypeError: with `num_envs`, an agent that plays one episode at a time, or an observer that
            expects to see them so.
        ValueError: no episodes, or no environments.
    """
    for name, value in (("episodes", episodes), ("num_envs", num_envs)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    many = min(num_envs, episodes)
    build = make or partial(envs.make, task, **env_kwargs)
    with contextlib.ExitStack() as stack:
        copies = [build()]
        stack.callback(copies[0].close)
        spec = envs.task_spec(copies[0])
        heard = ReplyRecorder() if spec.speaks else None
        observers = [*observers, heard] if heard else observers
        if many > 1:
            check_batches(agent, observers)  # before the other copies are made
        for _ in range(1, many):
            copies.append(build())
            stack.callback(copies[-1].close)
        play = partial(rollout, copies[0]) if many == 1 else partial(batched_rollout, copies)
        begin = time.perf_counter()
        results = play(
            agent, episodes=episodes, seed=seed, observers=observers, deterministic=deterministic
        )
        seconds = time.perf_counter() - begin
    name = checkpoint or agent_name(agent)
    found = score(spec, results, name, seconds=seconds, num_envs=many)
    return replace(found, language=language_score(heard.replies)) if heard else found


def score(
    spec: TaskSpec,
    results: Sequence[EpisodeResult],
    checkpoint: str,
    *,
    seconds: float | None = None,
    num_envs: int = 1,
) -> Score:
    """The score of episodes that were played already.

    Args:
        spec: of the task.
        results: at least one, in order of their seeds.
        checkpoint: who played.
        seconds: that all of them took together; None = one after the other.
        num_envs: how many were played at once.
    """
    if seconds is None:
        seconds = sum(result.seconds for result in results)
    returns = [result.episode_return for result in results]
    # Of text it would be that of the last reply only; `accuracy` is of all.
    told = () if spec.speaks else results
    successes = [result.success for result in told if result.success is not None]
    lengths = [result.length for result in results]
    steps, mean = sum(lengths), float(np.mean(returns))
    return Score(
        task=spec.id,
        episodes=len(results),
        seed=results[0].seed,
        mean_return=mean,
        ci95=bootstrap_interval(returns),
        random=spec.random_score,
        expert=spec.expert_score,
        normalized=normalize(mean, spec.random_score, spec.expert_score),
        success_rate=float(np.mean(successes)) if successes else None,
        checkpoint=checkpoint,
        steps_per_second=steps / max(seconds, 1e-9),
        mean_length=steps / len(results),
        returns=tuple(returns),
        num_envs=num_envs,
        accuracy=sum(returns) / steps if spec.speaks else None,
        accuracy_ci95=ratio_interval(returns, lengths) if spec.speaks else None,
    )


def agent_name(agent: Agent) -> str:
    """How reports call an agent: its `checkpoint` or `id`, else its class."""
    for attribute in ("checkpoint", "id"):
        name = getattr(agent, attribute, None)
        if name:
            return str(name)
    return type(agent).__name__


def normalize(value: float, random: float | None, expert: float | None) -> float | None:
    """(value - random) / (expert - random); None unless the expert is known to be above random."""
    if random is None or expert is None or not expert > random:
        return None
    return (value - random) / (expert - random)
