"""Workers on the nodes of a Ray cluster: who plays which batch, and what if one is lost.

A worker is an actor with one CPU and no GPU. It gets its next batch when its last result was taken
in: no more than one result per worker waits for the driver. The batch of a lost worker, or of all
workers of a lost node, is played again by another one. A worker that finds no place on the cluster
waits for one without a batch, so a cluster may shrink and grow meanwhile.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from gato_gym.data.executors import TASKS_PER_PROCESS
from gato_gym.data.jobs import Batch, Draw
from gato_gym.errors import ClusterError, GatoGymError

logger = logging.getLogger(__name__)

MAX_LOSSES = 3
"""Workers that may be lost over the same batch before it counts as failed."""

_PATIENCE_SECONDS = 30.0

T = TypeVar("T")
Play = Callable[[Batch], T]


class Host:
    """What runs on a node: it makes a player and has it play one batch after the other.

    Args:
        make_player: a pickled function that returns the player.
        packages: whose versions the driver wants to know.
    """

    def __init__(self, make_player: bytes, packages: Sequence[str]) -> None:
        # Before any environment is imported, as in `gato_gym.cli`.
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import ray

        self._packages = packages
        self._play = ray.cloudpickle.loads(make_player)()

    def hello(self) -> tuple[str, dict[str, str | None]]:
        """Where this is, and the versions of the packages."""
        import ray

        where = f"{ray.util.get_node_ip_address()}, process {os.getpid()}"
        return where, versions(self._packages)

    def play(self, batch: Batch) -> Any:
        """What the player makes of a batch."""
        return self._play(batch)


def versions(packages: Sequence[str]) -> dict[str, str | None]:
    """The installed version of each distribution, None where there is none."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


@dataclass(eq=False)
class _Worker:
    """An actor, from the side of the driver; `running` is what it was asked: hello or a batch."""

    actor: Any
    running: Any
    where: str = ""
    batch: Batch | None = None
    last: int | None = None
    played: set[int] = field(default_factory=set)

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a batch."""
        return self.running is None


class ClusterPool(Generic[T]):
    """Has batches played on a cluster.

    Args:
        ray: the connected module.
        make_player: called once in each worker; what it returns plays batches, one after the other,
            and raises nothing. Both it and the results must be picklable.
        lost: the result of a batch that cost `MAX_LOSSES` workers.
        tasks: the ids of the tasks; `Batch.job` is an index into them.
        packages: distributions that must have the same version on each node as here.
        workers: at most so many; default is one per CPU of the cluster.
    """

    def __init__(
        self,
        ray: Any,
        make_player: Callable[[], Play[T]],
        lost: Callable[[Batch, GatoGymError], T],
        tasks: Sequence[str],
        packages: Sequence[str] = (),
        workers: int | None = None,
    ) -> None:
        self._ray, self._lost, self._tasks = ray, lost, tasks
        self._limit = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._versions = versions(("gato-gym", "gymnasium", "numpy", *packages))
        self._player = ray.put(ray.cloudpickle.dumps(make_player))
        self._actor = ray.remote(num_cpus=1, max_restarts=0, scheduling_strategy="SPREAD")(Host)
        self._workers: list[_Worker] = []
        self._again: deque[Batch] = deque()  # drawn, but nobody has it
        self._losses: Counter[Batch] = Counter()
        self._bad_starts = 0
        self._told = False

    def run(self, draw: Draw) -> Generator[T]:
        """The results of the batches that `draw` gives, as they come; see `Executor.run`.

        Raises:
            ClusterError: a node cannot be used, e.g. it has other versions.
        """
        try:
            while True:
                self._hand_out(draw)
                if not self._again and all(worker.batch is None for worker in self._workers):
                    return
                yield from self._take_in(self._next())
        finally:
            for worker in list(self._workers):
                self._dismiss(worker)

    def _hand_out(self, draw: Draw) -> None:
        for worker in [worker for worker in self._workers if worker.is_idle]:
            batch = self._again.popleft() if self._again else draw(worker.last)
            if batch is None:
                continue
            if len(worker.played | {batch.job}) > TASKS_PER_PROCESS:
                self._dismiss(worker)
                self._again.appendleft(batch)
                continue
            worker.batch, worker.last = batch, batch.job
            worker.played.add(batch.job)
            worker.running = worker.actor.play.remote(batch)
        # One batch per worker that is about to start; the first to be there gets it.
        while len(self._workers) < self._limit and not any(w.is_idle for w in self._workers):
            starting = sum(worker.batch is None for worker in self._workers)
            if len(self._again) <= starting:
                batch = draw(None)
                if batch is None:
                    return
                self._again.append(batch)
            actor = self._actor.remote(self._player, tuple(self._versions))
            self._workers.append(_Worker(actor, actor.hello.remote()))

    def _next(self) -> _Worker:
        """A worker that has answered, or never will."""
        asked = {worker.running: worker for worker in self._workers if worker.running is not None}
        while True:
            ready, _ = self._ray.wait(list(asked), num_returns=1, timeout=_PATIENCE_SECONDS)
            if ready:
                worker = asked[ready[0]]
                # To the end: nobody waits longer because another answers often.
                self._workers.remove(worker)
                self._workers.append(worker)
                return worker
            if not self._told and all(worker.batch is None for worker in self._workers):
                self._told = True
                logger.warning(
                    "no worker has started on the Ray cluster yet: `ray status` on its head tells "
                    "whether a CPU is free"
                )

    def _take_in(self, worker: _Worker) -> Iterator[T]:
        errors = self._ray.exceptions
        batch = worker.batch
        try:
            answer = self._ray.get(worker.running)
        except errors.RayTaskError as error:  # it lives, but its answer could not be sent
            worker.batch = worker.running = None
            cause = error.cause
            assert batch is not None
            yield self._lost(batch, GatoGymError(f"{type(cause).__name__}: {cause}"))
        except errors.RayError as error:
            yield from self._lose(worker, error)
        else:
            worker.batch = worker.running = None
            if batch is not None:
                yield answer
                return
            worker.where, found = answer
            self._bad_starts = 0
            _check_versions(worker.where, self._versions, found)

    def _lose(self, worker: _Worker, error: Exception) -> Iterator[T]:
        self._dismiss(worker)
        batch = worker.batch
        why = _reason(error)
        if batch is None:
            self._bad_starts += 1
            if getattr(error, "actor_init_failed", False) or self._bad_starts > MAX_LOSSES:
                raise ClusterError(
                    f"a worker cannot start on the Ray cluster: {why}. Each node needs the same "
                    "Python and packages as this machine"
                ) from error
            return
        self._losses[batch] += 1
        played = f"{self._tasks[batch.job]} ({_seeds(batch)})"
        if self._losses[batch] < MAX_LOSSES:
            logger.warning("lost the worker at %s, which played %s: again", worker.where, played)
            self._again.appendleft(batch)
            return
        yield self._lost(
            batch,
            GatoGymError(
                f"{MAX_LOSSES} workers died one after the other while they played {played}, the "
                f"last at {worker.where}: {why}"
            ),
        )

    def _dismiss(self, worker: _Worker) -> None:
        # At any moment: what the driver has not taken in does not exist.
        self._workers.remove(worker)
        self._ray.kill(worker.actor)


def _seeds(batch: Batch) -> str:
    first, last = batch.seeds[0], batch.seeds[-1]
    return f"seed {first}" if first == last else f"seeds {first} to {last}"


def _check_versions(
    where: str, ours: Mapping[str, str | None], found: Mapping[str, str | None]
) -> None:
    for package, version in ours.items():
        if found[package] != version:
            raise ClusterError(
                f"the node at {where} has {package} {found[package] or 'not installed'}, this "
                f"machine {version or 'has it not'}: install the same versions on every node"
            )


def _reason(error: Exception) -> str:
    """The part of Ray's long texts that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = lines[-1] if lines else type(error).__name__
    told = told.partition("Worker exit detail: ")[2] or told
    return told.partition(" Some common causes")[0].rstrip(".")
