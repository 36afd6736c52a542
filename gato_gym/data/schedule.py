"""Which seeds are played next, and by whom: the largest tasks first, and no seed in vain.

A task's episodes are those of its first N acceptable seeds. With f seeds in play and a accepted
before them, the next seed is among these whatever happens as long as a + f < N. It is begun only
then: so every accepted episode belongs to the result, which depends on neither the number of
players nor the order in which they finish.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gato_gym.data.jobs import Batch, Job, Outcome

# A batch is one commit. By default it takes about this long: a crash loses no more of each player's
# work, and waiting for the disk does not count beside it.
BATCH_SECONDS = 1.0
MAX_BATCH = 256


@dataclass(frozen=True)
class Failure:
    """What ended the collection of a task."""

    task: str
    seed: int
    error: Exception

    @property
    def message(self) -> str:
        """One line."""
        told = " ".join(str(self.error).split())
        name = type(self.error).__name__
        return f"{name}: {told}" if told else name


class Known(NamedTuple):
    """How a seed went that was played before; `stored` if its episode is in the corpus."""

    episode_return: float
    success: bool | None
    stored: bool


class Progress:
    """How far one task is.

    Args:
        job: the task.
        first: its first seed.
        wanted: how many accepted episodes.
        attempts: how many seeds at most.
        known: what is known of a seed, None where nothing is.
        guess: seconds that an episode may take, until one was played.
    """

    def __init__(
        self,
        job: Job,
        first: int,
        wanted: int,
        attempts: int,
        known: Callable[[int], Known | None],
        guess: float = 0.1,
    ) -> None:
        self.job, self.wanted, self.guess = job, wanted, guess
        self.players = 0
        self.failure: Failure | None = None
        self.made = self.skipped = self.rejected = self.steps = 0
        self.returns: list[float] = []  # of all accepted
        self._known, self._next, self._end = known, first, first + attempts
        self._playing = 0
        self._seconds = self._played = 0.0
        self._pass_known()

    @property
    def seconds(self) -> float:
        """What an episode takes, as far as is known."""
        return self._seconds / self._played if self._played else self.guess

    @property
    def is_timed(self) -> bool:
        """Whether an episode was played."""
        return self._played > 0

    @property
    def missing(self) -> int:
        """Episodes of the result that do not exist."""
        return self.wanted - self.made - self.skipped

    @property
    def left(self) -> int:
        """How many seeds may be begun now."""
        if self.failure is not None:
            return 0
        return max(0, min(self.missing - self._playing, self._end - self._next))

    def draw(self, size: int) -> tuple[int, ...]:
        """Up to `size` seeds that are to be played now."""
        seeds: list[int] = []
        while len(seeds) < size and self.left:
            seeds.append(self._next)
            self._next += 1
            self._playing += 1
            self._pass_known()
        return tuple(seeds)

    def _pass_known(self) -> None:
        while self.left and (known := self._known(self._next)) is not None:
            accepted = self.job.quality.accepts(known.episode_return, known.success)
            if accepted and not known.stored:
                return  # rejected by another filter: the episode itself is not known
            self._count(known.episode_return, accepted, skipped=True)
            self._next += 1

    def _count(self, episode_return: float, accepted: bool, skipped: bool) -> None:
        if not accepted:
            self.rejected += 1
            return
        self.returns.append(episode_return)
        self.skipped += skipped
        self.made += not skipped

    def take_in(self, outcome: Outcome, committed: Container[int]) -> None:
        """Count what became of seeds that `draw` gave.

        Args:
            outcome: of a batch of this task.
            committed: the seeds whose episodes are now in the corpus by our doing; other accepted
                ones were put there by another collector in the meantime.
        """
        for attempt in outcome.attempts:
            self._seconds += attempt.seconds
            self._played += 1
            accepted, ours = attempt.record is not None, attempt.seed in committed
            self._count(attempt.episode_return, accepted, skipped=not ours)
            self.steps += attempt.steps if ours else 0
        self._playing -= len(outcome.batch.seeds)
        if outcome.error is not None and self.failure is None:
            seed = outcome.batch.seeds[0] if outcome.failed_seed is None else outcome.failed_seed
            self.failure = Failure(self.job.task, seed, outcome.error)
        self._pass_known()


class Schedule:
    """Hands out the batches of all tasks.

    Args:
        tasks: in the order of the jobs.
        batch: episodes of a batch; None for as many as take a second.
    """

    def __init__(self, tasks: Sequence[Progress], batch: int | None = None) -> None:
        self.tasks, self._batch = tasks, batch

    def draw(self, last: int | None) -> Batch | None:
        """The next batch, see `gato_gym.data.jobs.Draw`.

        A player stays with its task while there is something to do; then it goes where most time
        is left per player.
        """
        if last is not None and self.tasks[last].left:
            chosen = last
        else:
            open_tasks = [number for number, task in enumerate(self.tasks) if task.left]
            if not open_tasks:
                return None
            chosen = max(open_tasks, key=lambda number: _load(self.tasks[number]))
        task = self.tasks[chosen]
        size = self._batch or max(1, min(MAX_BATCH, int(BATCH_SECONDS / max(task.seconds, 1e-6))))
        if self._batch is None and not task.is_timed:
            size = 1  # how long one takes is not known yet
        task.players += 1
        return Batch(chosen, task.draw(size))

    def take_in(self, outcome: Outcome, committed: Container[int]) -> Progress:
        """Count an outcome, see `Progress.take_in`; returns its task."""
        task = self.tasks[outcome.batch.job]
        task.players -= 1
        task.take_in(outcome, committed)
        return task


def _load(task: Progress) -> float:
    return task.left * task.seconds / (1 + task.players)
