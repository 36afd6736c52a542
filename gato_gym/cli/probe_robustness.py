"""`gato-gym probe robustness`: every task as it was trained, and with each perturbation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import gymnasium

from gato_gym.cli.eval_all import reason
from gato_gym.cli.players import print_json, write_json
from gato_gym.cli.probe_runs import Cell, Numbers, Probe, begin, provenance, run_cells
from gato_gym.errors import GatoGymError
from gato_gym.evaluation.pairs import LENGTHS, TEST, LengthRecorder
from gato_gym.evaluation.progress import ProgressBar
from gato_gym.evaluation.robustness.perturbations import (
    Perturbation,
    Strength,
    read_perturbations,
)
from gato_gym.evaluation.robustness.spread import spread
from gato_gym.evaluation.robustness.table import (
    AS_TRAINED,
    Change,
    as_markdown,
    as_text,
    kinds,
    robustness_row,
)
from gato_gym.evaluation.scores import Score, evaluate


@dataclass(frozen=True)
class Robustness(Numbers):
    """Scores of the tasks as they were trained, and in noise, late, in other modes and colours."""

    perturb: tuple[str, ...] = ()
    """NAME or NAME=STRENGTH,STRENGTH of block-colours, sticky-actions, game-variants,
    observation-noise, pixel-noise, occlusion, delayed-actions; default is all."""


@dataclass
class _Plan:
    """What is played of each task, and what is not."""

    changes: dict[str, list[Change]] = field(default_factory=dict)
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)

    def leave_out(self, name: str, task: str, why: str) -> None:
        self.left_out.setdefault(name, {})[task] = why


def run_robustness(options: Robustness) -> int:
    """Play, write, draw and print; 1 where nothing could be played."""
    wanted = read_perturbations(options.perturb)
    probe = begin("robustness", options)
    plan = _Plan()
    cells = []
    for task in probe.tasks:
        cells.append(Cell(task, AS_TRAINED, partial(_play, probe, task, None)))
        _choose(plan, task, probe.agent.specs[task], wanted)
        cells += [
            Cell(task, one.name, partial(_play, probe, task, partial(_make, one, task)))
            for one in plan.changes[task]
        ]
    settings = probe.settings(probe="robustness")

    def finish(scores: Mapping[str, Score], failed: Mapping[str, str]) -> int:
        return _finish(probe, plan, settings, scores, failed)

    return run_cells(probe, cells, settings, finish)


def _choose(
    plan: _Plan,
    task: str,
    spec: Any,
    wanted: Mapping[Perturbation, tuple[Strength, ...] | None],
) -> None:
    chosen = plan.changes[task] = []
    for one, given in wanted.items():
        try:
            why = one.unsuited(spec)
            strengths, left = (given, None) if given or why else one.of_task(spec)
            if why or left:
                plan.leave_out(one.name, task, str(why or left))
            for strength in () if why else strengths or ():
                change = Change(one, strength)
                refused = one.refuses(spec, strength)
                if refused is None:
                    chosen.append(change)
                else:
                    plan.leave_out(change.name, task, refused)
        except (GatoGymError, ImportError) as error:  # its package is gone: told with its score
            plan.leave_out(one.name, task, reason(error))


def _make(change: Change, task: str) -> gymnasium.Env:
    return change.perturbation.make(task, change.strength)


def _play(probe: Probe, task: str, make: Callable[[], gymnasium.Env] | None, title: str) -> Score:
    options, lengths = probe.options, LengthRecorder()
    with ProgressBar(title, options.episodes) as bar:
        score = evaluate(
            task,
            probe.agent,
            episodes=options.episodes,
            seed=options.seed,
            observers=[bar, lengths],
            num_envs=options.num_envs,
            make=make,
        )
    return replace(score, beside={LENGTHS: lengths.lengths})


def _spreads(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    """What strengths of noise on numbers are multiples of, by task and key."""
    noisy = [
        row["task"]
        for row in rows
        if any(one["perturbation"] == "observation-noise" for one in row["changes"])
    ]
    return {task: {key: one.tolist() for key, one in spread(task).items()} for task in noisy}


def _finish(
    probe: Probe,
    plan: _Plan,
    settings: Mapping[str, object],
    scores: Mapping[str, Score],
    failed: Mapping[str, str],
) -> int:
    options, skipped, rows = probe.options, dict(probe.skipped), []
    for task, changes in plan.changes.items():
        names = {one: f"{task} {one.name}" for one in changes}
        base = scores.get(f"{task} {AS_TRAINED}")
        found = {one: scores[name] for one, name in names.items() if name in scores}
        parts = [AS_TRAINED, *(one.name for one in changes)]
        missing = {p: failed[f"{task} {p}"] for p in parts if f"{task} {p}" in failed}
        if base is None and not found:
            skipped[task] = missing[AS_TRAINED]
        else:
            rows.append(robustness_row(task, base, found, missing))
    if not rows:
        probe.tell("no task could be played")
        return 1
    result = {
        "tasks": rows,
        "left_out": plan.left_out,
        "skipped": skipped,
        "perturbations": kinds(),
        "spread": _spreads(rows),
        "test": TEST,
    } | provenance(settings)
    if options.out is not None:
        write_json(options.out, result)
    if options.chart is not None:
        from gato_gym.evaluation.robustness.figure import draw_robustness

        probe.draw(partial(draw_robustness, rows), options.chart)
    if options.json:
        print_json(result)
    elif options.markdown:
        print("\n".join(as_markdown(rows)))
    else:
        print("\n".join(as_text(rows, plan.left_out)))
        print(f"change: {TEST}")
        for task, why in skipped.items():
            print(f"skipped: {task}: {why}")
    return 0
