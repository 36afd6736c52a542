"""All that a scaling study has to do, as units that are cached and run by themselves.

    collect/TASK               its expert's episodes, where no corpus is given
    train/SIZE/SEED            a network, kept at every point
    play/SIZE/SEED/STEP/TASK   its episodes of a task at a point

No torch here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from gato_gym import envs
from gato_gym.data.corpus import Corpus
from gato_gym.errors import GatoGymError, UnknownTaskError
from gato_gym.evaluation.aggregate import why_unscored
from gato_gym.evaluation.batched import TOGETHER
from gato_gym.evaluation.scaling.budgets import ScalingBudget, size_config
from gato_gym.evaluation.studies.units import (
    COLLECTION_SEED,
    Unit,
    Units,
    Work,
    folder_name,
    missing_package,
)
from gato_gym.tokenizers.timestep import StepTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import TaskSpec

LENGTHS: Mapping[str, tuple[int, int]] = {
    "CartPole-v1": (300, 500),
    "Acrobot-v1": (300, 64),
    "MountainCar-v0": (170, 98),
    "Reacher-v5": (50, 50),
    "gato_gym/BabyAI-GoToObj-pixels-v0": (35, 4),
}
"""Steps of an episode, for estimates: of an agent that is learning, and of the expert."""
UNKNOWN_LENGTH = 1000
"""Where nobody counted and nothing ends an episode earlier."""


@dataclass(frozen=True)
class ScalingPlan(Units):
    """A study's units in an order in which each stands after what it needs.

    tasks     that are learned and played
    skipped   task -> why it is neither
    """

    budget: ScalingBudget
    tasks: Mapping[str, TaskSpec]
    skipped: Mapping[str, str]


def train_key(size: str, seed: int) -> str:
    """Name of the unit that trains a network."""
    return f"train/{size}/{seed}"


def play_key(size: str, seed: int, step: int, task: str) -> str:
    """Name of the unit that plays a task with a network at a point."""
    return f"play/{size}/{seed}/{step}/{folder_name(task)}"


def make_plan(budget: ScalingBudget) -> ScalingPlan:
    """The units of a budget on this machine.

    Raises:
        UnknownTaskError: no such task, or the corpus has no episode of it.
        GatoGymError: no task can be both learned and scored; says why of each.
    """
    tasks, skipped = _choose(budget)
    if not tasks:
        told = "; ".join(f"{task}: {why}" for task, why in skipped.items())
        raise GatoGymError(f"none of the tasks can be studied: {told}")
    # The largest first: so the last to be done is a small one, and no process waits for long.
    sizes = sorted(budget.sizes, key=_cost, reverse=True)
    units = [] if budget.corpus else [_collect(budget, task) for task in tasks]
    needs = tuple(unit.key for unit in units)
    runs = [(size, seed) for seed in range(budget.seeds) for size in sizes]
    units += [_train(budget, size, seed, tasks, needs) for size, seed in runs]
    units += [
        _play(budget, size, seed, step, spec)
        for size, seed in runs
        for step in budget.point_steps()
        for spec in tasks.values()
    ]
    return ScalingPlan(tuple(units), budget, tasks, skipped)


def _cost(size: str) -> int:
    """About what a token costs."""
    shape = size_config(size)
    return shape.layers * shape.width**2


def _choose(budget: ScalingBudget) -> tuple[dict[str, TaskSpec], dict[str, str]]:
    """(tasks, task -> why it is left out)."""
    there = Corpus.open(budget.corpus).tasks() if budget.corpus else ()
    names = budget.tasks or there
    if not names:
        names = tuple(spec.id for spec in envs.tasks(available=False) if spec.expert is not None)
    tasks, skipped = {}, {}
    for name in names:
        if budget.corpus and name not in there:
            raise UnknownTaskError(
                f"{budget.corpus} has no episode of {name!r}; it has {', '.join(there)}"
            )
        why = missing_package(name)
        if why is None:
            spec = envs.task_spec(name)
            why = why_unscored(spec.random_score, spec.expert_score)
            if spec.expert is None and not budget.corpus:
                why = "no expert plays it, and no corpus was given"
        if why is not None:
            skipped[name] = why
        else:
            tasks[name] = spec
    return tasks, skipped


def _collect(budget: ScalingBudget, task: str) -> Unit:
    settings = {"task": task, "episodes": budget.demonstrations, "seed": COLLECTION_SEED}
    work = Work(played=budget.demonstrations * _lengths(envs.task_spec(task))[1])
    return Unit(f"collect/{folder_name(task)}", "collect", settings, work=work)


def _train(
    budget: ScalingBudget,
    size: str,
    seed: int,
    tasks: Mapping[str, TaskSpec],
    needs: tuple[str, ...],
) -> Unit:
    """Domains count alike, and so do the tasks of one."""
    shares = Counter(spec.domain for spec in tasks.values())
    settings = {
        "size": size,
        "tasks": {task: 1 / shares[spec.domain] for task, spec in tasks.items()},
        "model": size_config(size).to_json(),
        "tokens": budget.tokens,
        "steps": budget.steps,
        "points": list(budget.point_steps()),
        "log_every": budget.grain,
        "batch": budget.batch,
        "learning_rate": budget.learning_rate,
        "seed": seed,
    }
    work = Work(trained=budget.steps * budget.batch * budget.context)
    return Unit(train_key(size, seed), "train", settings, needs, work)


def _play(budget: ScalingBudget, size: str, seed: int, step: int, spec: TaskSpec) -> Unit:
    settings = {
        "size": size,
        "seed": seed,
        "step": step,
        "task": spec.id,
        "episodes": budget.episodes,
    }
    vocabulary = Vocabulary(size_config(size).text_size)
    steps = budget.episodes * _lengths(spec)[0]
    work = Work(
        acted=steps * StepTokenizer(spec, vocabulary).tokens_per_step,
        passes=-(-steps * spec.action.size // min(TOGETHER, budget.episodes)),
    )
    key = play_key(size, seed, step, spec.id)
    return Unit(key, "play", settings, (train_key(size, seed),), work)


def _lengths(spec: TaskSpec) -> tuple[int, int]:
    longest = spec.horizon or UNKNOWN_LENGTH
    return LENGTHS.get(spec.id, (longest, longest))
