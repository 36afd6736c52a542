"""All that a transfer study has to do, as units that are cached and run by themselves.

    collect/pretraining/TASK     episodes of a task that is learned before
    collect/held-out/TARGET      episodes of a held-out task
    pretrain/RUN                 a network; several regimes may start from the same one
    finetune/REGIME/TARGET/N/D   a cell: N episodes, draw D

A unit's name is its folder below the study. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gato_gym import envs
from gato_gym.evaluation.batched import TOGETHER
from gato_gym.evaluation.scores import normalize
from gato_gym.evaluation.studies.units import (
    COLLECTION_SEED,
    Unit,
    Units,
    Work,
    folder_name,
    missing_package,
)
from gato_gym.evaluation.transfer.budgets import Budget
from gato_gym.evaluation.transfer.sources import TEXT, Source, Target, held_out_names
from gato_gym.tokenizers.timestep import StepTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary

PRETRAINING, HELD_OUT = "pretraining", "held-out"

SCRATCH = "scratch"
REGIMES = {
    "all": "all data",
    "same-domain": "same domain only",
    "no-control": "no control data",
    "dm-control": "DM Control only",
    SCRATCH: "scratch",
}
"""Regimes of the paper's section 5.2, and its appendix I's fifth."""


def regimes_of(target: Target) -> tuple[str, ...]:
    """The paper compares four on its held-out tasks and five on block stacking."""
    stacking = target.figure == "figure-19"
    return tuple(name for name in REGIMES if name != "dm-control" or stacking)


def run_of(regime: str, target: Target) -> str | None:
    """The pretraining that a regime starts from; None is random weights."""
    if regime == SCRATCH:
        return None
    if regime == "same-domain":
        return f"only-{target.source}"
    return "only-dm_control" if regime == "dm-control" else regime


@dataclass(frozen=True)
class Cell:
    """A fine-tuning run: which start, which task, how many episodes, which draw."""

    regime: str
    target: Target
    episodes: int
    draw: int

    @property
    def key(self) -> str:
        """Of its unit."""
        return f"finetune/{self.regime}/{self.target.name}/{self.episodes}/{self.draw}"


@dataclass(frozen=True)
class Plan(Units):
    """A study's units in an order in which each stands after what it needs.

    skipped   task or unit -> why it is left out: its package is not installed
    unscored  targets of which nobody knows the expert's score: their raw returns are compared
    """

    budget: Budget
    cells: tuple[Cell, ...]
    skipped: Mapping[str, str]
    unscored: tuple[str, ...]


def make_plan(budget: Budget) -> Plan:
    """The units of a budget on this machine.

    What needs a package that is not installed is left out and named in `skipped`.
    """
    skipped: dict[str, str] = {}
    domains = {name: _available(budget, name, skipped) for name in budget.sources}
    targets = [t for t in budget.chosen() if _has_package(t.task, skipped)]
    units: dict[str, Unit] = {}
    cells = []
    for target in targets:
        _add(units, _collect_target(budget, target))
        for regime in regimes_of(target):
            run = run_of(regime, target)
            needs = [f"collect/{HELD_OUT}/{target.name}"]
            if run is not None:
                tasks = _tasks_of(run, domains)
                if not tasks:
                    skipped[f"finetune/{regime}/{target.name}"] = "all its pretraining is left out"
                    continue
                for name, group in tasks.items():
                    for task in group:
                        _add(units, _collect_source(budget, budget.sources[name], task))
                _add(units, _pretrain(budget, run, tasks))
                needs.insert(0, f"pretrain/{run}")
            for episodes in budget.episodes:
                for draw in range(budget.draws):
                    cell = Cell(regime, target, episodes, draw)
                    cells.append(cell)
                    _add(units, _finetune(budget, cell, run, tuple(needs)))
    stages = ("collect", "pretrain", "finetune")
    ordered = sorted(units.values(), key=lambda unit: stages.index(unit.stage))
    specs = {target.name: envs.task_spec(target.task) for target in targets}
    unscored = tuple(
        name
        for name, spec in specs.items()
        if normalize(0.0, spec.random_score, spec.expert_score) is None
    )
    return Plan(tuple(ordered), budget, tuple(cells), skipped, unscored)


def _add(units: dict[str, Unit], unit: Unit) -> None:
    units.setdefault(unit.key, unit)


def _has_package(task: str, skipped: dict[str, str]) -> bool:
    why = missing_package(task)
    if why is not None:
        skipped[task] = why
    return why is None


def _available(budget: Budget, name: str, skipped: dict[str, str]) -> tuple[str, ...]:
    """The tasks of a domain that can be learned before; never one that is held out."""
    source = budget.sources[name]
    tasks: Iterable[str] = source.tasks
    if budget.every_task:
        specs = (spec for domain in source.domains for spec in envs.tasks(domain, available=False))
        tasks = [spec.id for spec in specs if spec.expert is not None]
    held_out = set(held_out_names(tasks, budget.all_targets()))
    return tuple(t for t in tasks if t not in held_out and _has_package(t, skipped))


def _tasks_of(run: str, domains: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Domain -> tasks of a pretraining, without domains that have none here."""
    names = [TEXT] if run == "no-control" else list(domains)
    if run.startswith("only-"):
        names = [run.removeprefix("only-")]
    return {name: domains[name] for name in names if domains[name]}


def _collect_target(budget: Budget, target: Target) -> Unit:
    settings = {"task": target.task, "episodes": budget.pool, "seed": COLLECTION_SEED}
    work = Work(played=budget.pool * target.expert_steps)
    return Unit(f"collect/{HELD_OUT}/{target.name}", "collect", settings, work=work)


def _collect_source(budget: Budget, source: Source, task: str) -> Unit:
    episodes = max(1, round(budget.amount * source.episodes))
    settings = {"task": task, "episodes": episodes, "seed": COLLECTION_SEED}
    return Unit(
        f"collect/{PRETRAINING}/{folder_name(task)}",
        "collect",
        settings,
        work=Work(played=episodes * source.steps),
    )


def _pretrain(budget: Budget, run: str, tasks: Mapping[str, tuple[str, ...]]) -> Unit:
    """Domains count alike, and so do the tasks of one."""
    weights = {task: 1 / len(group) for group in tasks.values() for task in group}
    settings = {
        "tasks": weights,
        "model": budget.model.to_json(),
        "tokens": budget.tokens,
        "steps": budget.steps,
        "batch": budget.batch,
        "learning_rate": budget.learning_rate,
        "seed": budget.seed,
    }
    needs = tuple(f"collect/{PRETRAINING}/{folder_name(task)}" for task in weights)
    work = Work(trained=budget.steps * budget.batch * budget.model.context)
    return Unit(f"pretrain/{run}", "pretrain", settings, needs, work)


def _finetune(budget: Budget, cell: Cell, run: str | None, needs: tuple[str, ...]) -> Unit:
    tuning = budget.tuning
    settings = {
        "regime": cell.regime,
        "run": run,
        "task": cell.target.task,
        "episodes": cell.episodes,
        "draw": cell.draw,
        "pool": budget.pool,
        "model": budget.model.to_json(),
        "tuning": tuning.to_json(),
        "seed": budget.seed,
    }
    spec = envs.task_spec(cell.target.task)
    per_step = StepTokenizer(spec, Vocabulary(budget.model.text_size)).tokens_per_step
    evaluations = 1 + -(-tuning.steps // tuning.evaluate_every)
    played = evaluations * tuning.evaluate_episodes * cell.target.steps
    together = min(TOGETHER, tuning.evaluate_episodes)
    work = Work(
        trained=tuning.steps * tuning.batch * budget.model.context,
        acted=played * per_step,
        passes=-(-played * spec.action.size // together),
    )
    return Unit(cell.key, "finetune", settings, needs, work)
