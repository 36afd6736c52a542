"""What is pretraining worth? The paper's transfer study (section 5.2, appendix I), by one command.

Networks of one shape are pretrained on the same number of tokens of all data, of the held-out
task's own domain, of text alone, or not at all; then each learns tasks that none has seen from few
episodes. Everything is kept in --out: the same command goes on where it was stopped, and several
machines may share a folder.

Options alone mean `run`.

examples:
    gato-gym transfer plan --budget small --jobs 2
    gato-gym transfer --budget small --jobs 2
    gato-gym transfer run --out runs-local/transfer --budget small --jobs 2
    gato-gym transfer run --out runs-local/transfer --only finetune/all/boxing
    gato-gym transfer show runs-local/transfer --figures figures --json
    gato-gym transfer scaling --out runs-local/scaling --budget small --jobs 2

gato-gym transfer ACTION --help shows the options of one action.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional

from gato_gym.cli import transfer_scaling
from gato_gym.cli.players import print_json, write_json
from gato_gym.cli.studies import do_units, tell, tell_skipped
from gato_gym.cli.transfer_scaling import Scaling

if TYPE_CHECKING:
    from gato_gym.evaluation.studies.speed import Estimate, Speed
    from gato_gym.evaluation.transfer.budgets import Budget
    from gato_gym.evaluation.transfer.study import Study

NOMINAL = 5000.0
"""Tokens per second of one core at the size `bundle`: what estimates begin with."""


@dataclass(frozen=True)
class _Numbers:
    """How large a study is."""

    budget: str = "small"
    """Named set of numbers: smoke, small, paper."""
    size: str | None = None
    """Model size, e.g. bundle, 79m; default is the budget's."""
    targets: tuple[str, ...] = ()
    """Held-out tasks: cartpole-swingup, assembly, order-of-apples, boxing, block-stacking; default
    is the budget's."""
    episodes: tuple[int, ...] = ()
    """Numbers of episodes to learn from, e.g. 1 10 100."""
    draws: int | None = None
    """How often episodes are drawn."""
    jobs: int = 1
    """Processes, with one thread of arithmetic each."""
    only: tuple[str, ...] = ()
    """STAGE, STAGE/REGIME or STAGE/REGIME/TASK, may have *: only these units."""
    tokens_per_second: float | None = None
    """Of training in one process, for estimates; plan measures it otherwise."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class ShowPlan(_Numbers):
    """List what there is to do and how long it takes; does none of it."""


@dataclass(frozen=True)
class Run(_Numbers):
    """Do everything that is missing, then print the table and draw the figures."""

    out: Path | None = None
    """The study's folder, gone on with if it exists; default is runs-local/transfer-BUDGET."""
    figures: Path | None = None
    """Where the figures go; default is OUT/figures."""


@dataclass(frozen=True)
class Show:
    """The table, verdicts and figures of what is there; names what is missing."""

    study: Positional[Path]
    """The study's folder."""
    figures: Path | None = None
    """Draw the figures into this folder."""
    markdown: bool = False
    """Print a table for a document."""
    json: bool = False
    """Print JSON."""


DEFAULT_ACTION = "run"
"""What options without an action mean."""

Options = (
    Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[ShowPlan, tyro.conf.subcommand("plan")]
    | Annotated[Scaling, tyro.conf.subcommand("scaling")]
)


def run(options: Any) -> int:
    """Do what was asked for; 1 where something failed or is missing after a run."""
    if isinstance(options, Scaling):
        return transfer_scaling.run(options)
    if isinstance(options, Show):
        return _show(options)
    if options.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {options.jobs}")
    if isinstance(options, ShowPlan):
        return _plan(options)
    return _run(options)


def _budget(options: _Numbers) -> Budget:
    from gato_gym.evaluation.transfer.budgets import budget

    return budget(
        options.budget,
        size=options.size,
        targets=options.targets,
        episodes=options.episodes,
        draws=options.draws,
    )


def _plan(options: ShowPlan) -> int:
    from gato_gym.evaluation.studies.speed import estimate, given_speed, probe
    from gato_gym.evaluation.transfer.plan import make_plan

    budget = _budget(options)
    plan = make_plan(budget)
    chosen = plan.choose(options.only)
    if options.tokens_per_second is None:
        speed = probe(budget.model, min(budget.batch, 16), threads=1)
    else:
        speed = given_speed(options.tokens_per_second)
    found = estimate(chosen, speed, options.jobs)
    if options.json:
        print_json(
            {
                "budget": budget.to_json(),
                "units": [{"unit": u.key, "seconds": speed.seconds(u)} for u in chosen],
                "cells": len(plan.cells),
                "skipped": dict(plan.skipped),
                "unscored": list(plan.unscored),
                **found.to_json(),
                **speed.to_json(),
            }
        )
        return 0
    for unit in chosen:
        print(f"{unit.key:60} {speed.seconds(unit) / 60:8.1f} min")
    tell_skipped(plan.skipped, sys.stdout)
    print(_estimate_told(found, speed))
    return 0


def _estimate_told(found: Estimate, speed: Speed) -> str:
    parts = ", ".join(
        f"{stage} {found.units[stage]} units {hours:.1f}" for stage, hours in found.hours.items()
    )
    processes = "1 process" if found.jobs == 1 else f"{found.jobs} processes"
    return (
        f"about {found.total:,.1f} hours with {processes}; hours of one process: {parts}. "
        f"Speed, {speed.source}: {speed.trained:,.0f} tokens/s trained, {speed.acted:,.0f} "
        f"tokens/s and {speed.passes:,.0f} passes/s acted, {speed.played:,.0f} steps/s of experts"
    )


def _run(options: Run) -> int:
    from gato_gym.evaluation.transfer.plan import make_plan
    from gato_gym.evaluation.transfer.study import Study

    budget = _budget(options)
    plan = make_plan(budget)
    chosen = plan.choose(options.only)
    out = options.out or Path("runs-local") / f"transfer-{budget.name}"
    study = Study.create(out, budget)
    tell_skipped(plan.skipped)
    report, code = do_units(study, plan, chosen, _nominal(options), options.jobs)
    if not report.stopped:
        _print_table(study, options.json, options.figures or out / "figures")
    return code


def _nominal(options: _Numbers) -> Speed:
    from gato_gym.evaluation.studies.speed import given_speed

    return given_speed(options.tokens_per_second or NOMINAL)


def _show(options: Show) -> int:
    from gato_gym.evaluation.transfer.study import Study

    _print_table(Study(options.study), options.json, options.figures, options.markdown)
    return 0


def _print_table(study: Study, as_json: bool, figures: Path | None, markdown: bool = False) -> None:
    """Of all that the folder has, whatever this command did of it."""
    from gato_gym.evaluation.transfer.figures import save_figures
    from gato_gym.evaluation.transfer.plan import make_plan
    from gato_gym.evaluation.transfer.table import study_table
    from gato_gym.evaluation.transfer.text import as_markdown, as_text

    table = study_table(study, make_plan(study.budget))
    paths = [] if figures is None else save_figures(table, figures)
    if figures is not None:
        write_json(figures / "transfer.json", table)
    if as_json:
        print_json(table | {"figures": [str(path) for path in paths]})
        return
    print("\n".join(as_markdown(table)) if markdown else as_text(table))
    for path in paths:
        tell(str(path))
