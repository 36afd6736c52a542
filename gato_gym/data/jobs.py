"""The parts of a collection, and how they fit together.

A `Job` is one task to collect: picklable, the same on every machine. A `Batch` names a few seeds of
one job. A `Player` plays a batch and returns its `Outcome`: the finished episodes as encoded
records, and the error that stopped it, if one did. It writes nothing.

An `Executor` has players somewhere: in this process (`InProcess`), in processes of this machine
(`ProcessPool`) or elsewhere. It draws batches from the schedule, has them played in any order, and
yields outcomes. Who iterates over it, the driver (`gato_gym.data.collect`), is the only one that
commits. So a player may be lost at any moment: an episode that is not committed does not exist, and
playing its seed again makes the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import gymnasium
from gymnasium.wrappers import TimeLimit

from gato_gym.agents.experts.noise import DEFAULT_BURST
from gato_gym.data.manifest import EpisodeEntry, Injected, Key

if TYPE_CHECKING:
    from gato_gym.agents import Agent


def make_suite_env(task: str) -> gymnasium.Env:
    """An environment of the suite; imported where it is made."""
    from gato_gym import envs

    return envs.make(task)


@dataclass(frozen=True)
class Quality:
    """Which episodes are worth keeping. Without arguments: all.

    Args:
        min_return: least undiscounted return.
        only_success: the task must report success at the last step.
    """

    min_return: float | None = None
    only_success: bool = False

    def __bool__(self) -> bool:
        """Whether anything can be rejected."""
        return self.min_return is not None or self.only_success

    def accepts(self, episode_return: float, success: bool | None) -> bool:
        """Whether an episode with this return and success is kept."""
        if self.only_success and not success:
            return False
        return self.min_return is None or episode_return >= self.min_return


EVERYTHING = Quality()


@dataclass(frozen=True)
class Job:
    """One task to collect. An episode is a function of the job and its seed.

    Args:
        task: a task id.
        agent: an expert id, the folder of an expert, or an agent.
        expert: the agent's name in the corpus.
        make_env: called with the task id.
        noise, burst, random_start: see `NoisyExpert`.
        max_steps: an episode is truncated there; 0 leaves it to the task.
        quality: what is kept.
        learner: plays in the expert's place, see `LedExpert`: a share `noise` of the steps in runs
            of `burst`, all where `noise` is 0. None is nobody. Picklable.
        learner_name: its name in the corpus, "" where there is none.

    Raises:
        ValueError: a learner and a random start, which it would not know of, or no name.
    """

    task: str
    agent: Agent | str
    expert: str
    make_env: Callable[[str], gymnasium.Env] = make_suite_env
    noise: float = 0.0
    burst: tuple[int, int] = DEFAULT_BURST
    random_start: int = 0
    max_steps: int = 0
    quality: Quality = EVERYTHING
    learner: Agent | None = None
    learner_name: str = ""

    def __post_init__(self) -> None:
        if self.learner is not None and self.random_start:
            raise ValueError("a learner plays from the start: leave random_start out")
        if self.learner is not None and not self.learner_name:
            raise ValueError("a learner needs a name: other weights make other episodes")

    @property
    def injected(self) -> Injected:
        """Noise, burst, random start, most steps and learner, as the manifest has them."""
        burst = self.burst if self.noise else DEFAULT_BURST
        return self.noise, burst, self.random_start, self.max_steps, self.learner_name

    def open(self) -> gymnasium.Env:
        """The environment, which ends episodes where the job says."""
        env = self.make_env(self.task)
        return TimeLimit(env, self.max_steps) if self.max_steps else env

    def key(self, seed: int) -> Key:
        """What the manifest knows an episode by."""
        return self.task, self.expert, seed, *self.injected


@dataclass(frozen=True)
class Batch:
    """Seeds of the job with this number, to be played in this order."""

    job: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Attempt:
    """One played episode. A rejected one has no `entry` and no `record`.

    `record` is what `gato_gym.data.records.encode` makes; `entry` describes it, its place in a
    corpus left open. `seconds` is what playing and encoding took.
    """

    seed: int
    steps: int
    episode_return: float
    success: bool | None
    seconds: float
    entry: EpisodeEntry | None = None
    record: bytes | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a batch: the episodes that were played, in order.

    Where `error` is set, playing `failed_seed` raised it (or its process ended), and the seeds from
    there on were not played. The attempts before are whole.
    """

    batch: Batch
    attempts: tuple[Attempt, ...]
    error: Exception | None = None
    failed_seed: int | None = None


Draw = Callable[[int | None], Batch | None]
"""The next batch for a player that has the environment of this job open (None: of none). None where
nothing is to be played until an outcome is in; then it is None whatever the argument."""


class Executor(Protocol):
    """Has batches played."""

    def run(self, jobs: Sequence[Job], draw: Draw) -> Generator[Outcome]:
        """Play what `draw` gives until it gives nothing and no batch is being played.

        `draw` is to be asked anew after every yield: the driver has then taken the outcome in.
        A generator: closing it stops all players.

        Args:
            jobs: `Batch.job` is an index into them.
            draw: see `Draw`.
        """
        ...
