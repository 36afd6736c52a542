"""Collect on a Ray cluster: the same players as on one machine, on all nodes; one driver commits.

The nodes need neither a shared file system nor the corpus: records travel to the driver, which is
the only writer. A folder with an expert is sent along.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import google_crc32c

from gato_gym.agents.experts import load_expert
from gato_gym.agents.experts.policy import CARD
from gato_gym.data.cluster import check_address, connected
from gato_gym.data.cluster_pool import ClusterPool
from gato_gym.data.executors import sendable
from gato_gym.data.jobs import Batch, Draw, Job, Outcome
from gato_gym.data.player import Player
from gato_gym.envs.registry import registered
from gato_gym.errors import CorruptShardError, GatoGymError

_WITH_MUJOCO = ("mujoco", "dm_control", "metaworld", "robotics")  # extras


class RayExecutor:
    """An `Executor` whose players are on the nodes of a Ray cluster.

    The batch of a worker or node that is lost is played again by another one.

    Args:
        address: see `gato_gym.data.cluster.connected`.
        workers: at most so many; default is one per CPU of the cluster.

    Raises:
        ValueError: `address` is none.
    """

    def __init__(self, address: str = "auto", workers: int | None = None) -> None:
        check_address(address)
        self._address, self._workers = address, workers

    def run(self, jobs: Sequence[Job], draw: Draw) -> Generator[Outcome]:
        """As of `Executor.run`.

        Raises:
            MissingExtraError: Ray is not installed.
            ClusterError: the cluster cannot be reached, or a node of it cannot be used.
        """
        sent = [with_its_expert(job) for job in jobs]
        tasks = [job.task for job in jobs]
        with connected(self._address, self._workers) as ray:
            pool = ClusterPool(
                ray,
                make_player=partial(_make_player, sent),
                lost=_lost,
                tasks=tasks,
                packages=packages_of(tasks),
                workers=self._workers,
            )
            with contextlib.closing(pool.run(draw)) as parcels:
                for parcel in parcels:
                    yield _unpack(parcel)


def with_its_expert(job: Job) -> Job:
    """The same job with the expert in place of its folder, which other nodes may not have."""
    if isinstance(job.agent, str) and (Path(job.agent) / CARD).is_file():
        return replace(job, agent=load_expert(job.agent))
    return job


def packages_of(tasks: Sequence[str]) -> tuple[str, ...]:
    """The distributions that these tasks come from, and their simulator."""
    specs = [spec for spec in map(registered, dict.fromkeys(tasks)) if spec is not None]
    found = {spec.package for spec in specs if spec.package}
    if any(spec.extra in _WITH_MUJOCO for spec in specs):
        found.add("mujoco")
    return tuple(sorted(found))


@dataclass(frozen=True)
class _Parcel:
    """An outcome on its way, and the crc32c of each of its records."""

    outcome: Outcome
    checksums: tuple[int, ...] = ()


def _make_player(jobs: Sequence[Job]) -> Callable[[Batch], _Parcel]:
    """Runs in each worker."""
    player = Player()

    def play(batch: Batch) -> _Parcel:
        outcome = sendable(player.play(jobs[batch.job], batch))
        return _Parcel(outcome, _checksums(outcome))

    return play


def _checksums(outcome: Outcome) -> tuple[int, ...]:
    records = (attempt.record for attempt in outcome.attempts)
    return tuple(google_crc32c.value(record) for record in records if record is not None)


def _lost(batch: Batch, error: GatoGymError) -> _Parcel:
    return _Parcel(Outcome(batch, (), error, batch.seeds[0]))


def _unpack(parcel: _Parcel) -> Outcome:
    outcome = parcel.outcome
    if _checksums(outcome) == parcel.checksums:
        return outcome
    batch = outcome.batch
    error = CorruptShardError(
        f"episodes with seeds {batch.seeds[0]} to {batch.seeds[-1]} changed on their way here; "
        "nothing of them was written, run the same command again"
    )
    return Outcome(batch, (), error, batch.seeds[0])
