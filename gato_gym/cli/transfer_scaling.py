"""`gato-gym transfer scaling`: what size gives, by the paper's section 5.1."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gato_gym.cli.players import print_json, write_json
from gato_gym.cli.studies import do_units, tell, tell_skipped

if TYPE_CHECKING:
    from gato_gym.evaluation.scaling.budgets import ScalingBudget
    from gato_gym.evaluation.scaling.study import ScalingStudy


@dataclass(frozen=True)
class Scaling:
    """Train several sizes on the same tokens, and play on the way: the paper's figure 8.

    Everything is kept in --out: the same command goes on where it was stopped, and sizes and seeds
    may be added.

    examples:
        gato-gym transfer scaling --out runs-local/scaling --budget small --jobs 2
        gato-gym transfer scaling --plan --budget small --jobs 2
        gato-gym transfer scaling --out runs-local/scaling --budget small --sizes bundle bundle@256
        gato-gym transfer scaling --show runs-local/scaling --figures figures --json
    """

    out: Path | None = None
    """The study's folder; gone on with if it exists."""
    show: Path | None = None
    """Only print the table of the study in this folder, and draw its --figures; names what is
    missing."""
    plan: bool = False
    """Only list what there is to do and about how long it takes."""
    budget: str = "small"
    """Named set of numbers: smoke, small, paper."""
    sizes: tuple[str, ...] = ()
    """Model sizes, e.g. bundle 79m bundle@64 bundle@128x2: a preset, or one with another width and
    number of layers; default is the budget's."""
    tasks: tuple[str, ...] = ()
    """Tasks to learn and play; default is the budget's, or all of --corpus."""
    corpus: Path | None = None
    """Learn from these episodes; by default each task's expert makes them."""
    demonstrations: int | None = None
    """Episodes of each expert."""
    tokens: int | None = None
    """To train each network on, padding included."""
    points: int | None = None
    """How often a network plays on the way."""
    spacing: Literal["even", "log"] | None = None
    """Of these: even in tokens, or each at twice the tokens of the one before."""
    episodes: int | None = None
    """Played of each task at each point."""
    batch: int | None = None
    """Rows of one step."""
    learning_rate: float | None = None
    """Peak."""
    seeds: int | None = None
    """Trainings of each size."""
    jobs: int = 1
    """Processes, with one thread of arithmetic each."""
    only: tuple[str, ...] = ()
    """collect, train/SIZE/SEED, play/SIZE/SEED/STEP/TASK or a part of it, may have *: only these
    units."""
    tokens_per_second: float | None = None
    """Of training the largest size in one process, for estimates; --plan measures it otherwise."""
    figures: Path | None = None
    """Where the figures go; default is OUT/figures, with --show nowhere."""
    markdown: bool = False
    """Print a table for a document."""
    json: bool = False
    """Print JSON."""


def run(options: Scaling) -> int:
    """Do what was asked for; 1 where something failed or is missing after a run."""
    if (options.out is None) == (options.show is None) and not options.plan:
        raise ValueError(
            "give either --out, the folder of a study to do, or --show, one to look at"
        )
    if options.plan and options.show is not None:
        raise ValueError("--plan is for a study to do, --show for one that is there: leave out one")
    if options.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {options.jobs}")
    if options.show is not None:
        from gato_gym.evaluation.scaling.study import ScalingStudy

        _print_table(ScalingStudy(options.show), options, options.figures)
        return 0
    return _plan(options) if options.plan else _run(options)


def _budget(options: Scaling) -> ScalingBudget:
    from gato_gym.evaluation.scaling.budgets import budget

    names = ("demonstrations", "tokens", "points", "spacing", "episodes", "batch", "learning_rate")
    return budget(
        options.budget,
        sizes=options.sizes,
        tasks=options.tasks,
        corpus="" if options.corpus is None else str(options.corpus.resolve()),
        seeds=options.seeds,
        **{name: getattr(options, name) for name in names},
    )


def _plan(options: Scaling) -> int:
    from gato_gym.evaluation.scaling.plan import make_plan
    from gato_gym.evaluation.scaling.speed import nominal, probe_sizes
    from gato_gym.evaluation.studies.speed import estimate

    budget = _budget(options)
    plan = make_plan(budget)
    chosen = plan.choose(options.only)
    given = options.tokens_per_second
    speed = probe_sizes(budget) if given is None else nominal(budget.sizes, given)
    found = estimate(chosen, speed, options.jobs)
    if options.json:
        print_json(
            {
                "budget": budget.to_json(),
                "units": [{"unit": u.key, "seconds": speed.seconds(u)} for u in chosen],
                "skipped": dict(plan.skipped),
                **found.to_json(),
                "sizes": {size: one.to_json() for size, one in speed.by_size.items()},
            }
        )
        return 0
    for unit in chosen:
        print(f"{unit.key:70} {speed.seconds(unit) / 60:8.1f} min")
    tell_skipped(plan.skipped, sys.stdout)
    for size, one in speed.by_size.items():
        print(f"{size}: {one.trained:,.0f} tokens/s trained, {one.acted:,.0f} acted, {one.source}")
    processes = "1 process" if options.jobs == 1 else f"{options.jobs} processes"
    parts = ", ".join(f"{stage} {hours * 60:.0f}" for stage, hours in found.hours.items())
    print(f"about {found.total * 60:.0f} minutes with {processes}; minutes of one process: {parts}")
    return 0


def _run(options: Scaling) -> int:
    from gato_gym.evaluation.scaling.plan import make_plan
    from gato_gym.evaluation.scaling.speed import NOMINAL, nominal
    from gato_gym.evaluation.scaling.study import ScalingStudy

    assert options.out is not None
    budget = _budget(options)
    plan = make_plan(budget)
    chosen = plan.choose(options.only)
    study = ScalingStudy.create(options.out, budget)
    tell_skipped(plan.skipped)
    speed = nominal(budget.sizes, options.tokens_per_second or NOMINAL)
    report, code = do_units(study, plan, chosen, speed, options.jobs)
    if not report.stopped:
        _print_table(study, options, options.figures or options.out / "figures")
    return code


def _print_table(study: ScalingStudy, options: Scaling, figures: Path | None) -> None:
    """Of all that the folder has, whatever this command did of it."""
    from gato_gym.evaluation.scaling.figures import save_figures
    from gato_gym.evaluation.scaling.plan import make_plan
    from gato_gym.evaluation.scaling.table import scaling_table
    from gato_gym.evaluation.scaling.text import as_markdown, as_text

    table = scaling_table(study, make_plan(study.budget))
    paths = []
    if figures is not None:
        paths = save_figures(table, figures)
        write_json(figures / "scaling.json", table)
    if options.json:
        print_json(table | {"figures": [str(path) for path in paths]})
        return
    print("\n".join(as_markdown(table)) if options.markdown else as_text(table))
    for path in paths:
        tell(str(path))
