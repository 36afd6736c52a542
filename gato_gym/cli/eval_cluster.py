"""`gato-gym eval --all --ray`: the tasks of an evaluation on a cluster, each as it is done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from tqdm import tqdm

from gato_gym import envs
from gato_gym.cli.eval_all import Outcome
from gato_gym.data.cluster import connected
from gato_gym.data.cluster_collect import packages_of
from gato_gym.data.cluster_pool import ClusterPool
from gato_gym.errors import GatoGymError
from gato_gym.evaluation.cluster import Cast, _Plan, _Played, _Player
from gato_gym.evaluation.scores import score
from gato_gym.types import TaskSpec


def play_on_cluster(
    address: str,
    tasks: Sequence[str],
    cast: Cast,
    name_of: Callable[[str], str],
    *,
    episodes: int,
    seed: int,
    workers: int | None = None,
) -> Iterator[Outcome]:
    """Play tasks as `evaluate_on_cluster` does, but one that fails costs only itself.

    Args:
        address: see `gato_gym.data.cluster.connected`.
        tasks: their ids.
        cast: who plays.
        name_of: the agent's name in the score of a task.
        episodes: per task; episode i starts from `env.reset(seed=seed + i)`.
        seed: the first one.
        workers: at most so many; default is one per CPU of the cluster.

    Yields:
        Each task when its last episode was played, or the first of them has failed.

    Raises:
        ClusterError: see `connected`; or a node cannot be used.
    """
    specs: dict[str, TaskSpec] = {}
    for task in tasks:
        try:
            specs[task] = envs.task_spec(task)
        except GatoGymError as error:
            yield task, error
    if not specs:
        return
    ids = tuple(specs)
    plan = _Tasks(len(ids), range(seed, seed + episodes))
    failed: set[int] = set()
    with (
        connected(address, workers) as ray,
        tqdm(total=len(ids) * episodes, unit="episode", disable=None, leave=False) as bar,
    ):
        pool = ClusterPool(
            ray,
            make_player=partial(_Player, ids, cast, seed),
            lost=_Played,
            tasks=ids,
            packages=packages_of(ids),
            workers=workers,
        )
        with contextlib.closing(pool.run(plan.draw)) as played:
            for one in played:
                number = one.batch.job
                task = ids[number]
                bar.set_description(task, refresh=False)
                bar.update()
                if isinstance(one.result, Exception):
                    plan.give_up(number)
                    if number not in failed:
                        failed.add(number)
                        yield task, one.result
                    continue
                plan.take_in(number, one.result)
                if number not in failed and len(plan.results[number]) == episodes:
                    results = sorted(plan.results[number], key=lambda result: result.seed)
                    yield task, score(specs[task], results, name_of(task))


class _Tasks(_Plan):
    def give_up(self, task: int) -> None:
        """An episode has failed: the others of its task are not begun."""
        self._playing[task] -= 1
        self._left[task].clear()
