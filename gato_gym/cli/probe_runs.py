"""What the actions of `gato-gym probe` share: which tasks, cells that are played, and the result.

A cell is one way of playing one task. Each finished one is kept beside --out at once.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tyro.conf import Positional

import gato_gym
from gato_gym.cli.choose_tasks import choose_known
from gato_gym.cli.eval_all import reason
from gato_gym.cli.players import load_gato
from gato_gym.evaluation.journal import Journal
from gato_gym.evaluation.scores import Score


@dataclass(frozen=True)
class Numbers:
    """Who plays what how often, and where the result goes."""

    tasks: Positional[tuple[str, ...]] = ()
    """Ids or patterns like 'ALE/*' of tasks of the checkpoint; default is all that it can play."""
    checkpoint: str | None = None
    """Folder or Hub id of the model; default is the bundled one."""
    episodes: int = 20
    """Episodes of each score."""
    seed: int = 7000
    """Seed of the first episode; every score is of the same seeds."""
    num_envs: int = 8
    """Episodes that are played at once, in one batch."""
    out: Path | None = None
    """Also write the JSON to this file. Each finished score is kept beside it at once, so the same
    command goes on where it was stopped."""
    chart: Path | None = None
    """Draw the result into a file .svg or .png, and for dark pages into another one beside it."""
    markdown: bool = False
    """Print a table for a document."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class Cell:
    """A score that is wanted: `play` makes it, given the title of its progress bar."""

    task: str
    part: str
    play: Callable[[str], Score]

    @property
    def name(self) -> str:
        """Of it in journals and messages."""
        return f"{self.task} {self.part}"


@dataclass(frozen=True)
class Probe:
    """A probe that is about to run: the agent, its tasks, and of those it leaves out why."""

    options: Numbers
    agent: Any
    tasks: tuple[str, ...]
    skipped: Mapping[str, str]
    tell: Callable[[str], None]

    def settings(self, **more: Any) -> dict[str, Any]:
        """All that a score depends on, with `more`."""
        from gato_gym.training.adapt import fingerprint

        return more | {
            "checkpoint": self.agent.checkpoint,
            "weights": fingerprint(self.agent.model),
            "episodes": self.options.episodes,
            "seed": self.options.seed,
            "version": gato_gym.__version__,
        }

    def draw(self, draw: Callable[[Any], Any], path: Path) -> None:
        """Save a chart, light and dark; where there is nothing to draw, tell so."""
        from gato_gym.evaluation.chart_files import save_both

        try:
            save_both(draw, path)
        except ValueError as error:
            self.tell(f"{error}: no {path}")


def begin(action: str, options: Numbers) -> Probe:
    """Check the options, load the agent and choose the tasks.

    Raises:
        ValueError: a number or a file's name that does not do.
        UnknownTaskError: the checkpoint does not know a task.
    """
    for name in ("episodes", "num_envs"):
        value = getattr(options, name)
        if value < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    if options.chart is not None:
        from gato_gym.evaluation.chart_files import check_chart

        check_chart(options.chart)
    agent = load_gato(options.checkpoint)
    tasks, skipped = choose_known(options.tasks, agent.specs)
    tell = partial(_tell, action)
    for task, why in skipped.items():
        tell(f"skipped {task}: {why}")
    return Probe(options, agent, tuple(tasks), skipped, tell)


Finish = Callable[[Mapping[str, Score], Mapping[str, str]], int]
"""Of the scores by the names of their cells, and why others have none, the exit code."""


def run_cells(
    probe: Probe, cells: Sequence[Cell], settings: Mapping[str, Any], finish: Finish
) -> int:
    """Play what is not finished yet, then `finish`.

    Raises:
        GatoGymError: there is a journal of other settings.
        KeyboardInterrupt: says how much is kept, and where.
    """
    out = probe.options.out
    if out is None:
        return finish(*_play(probe, cells, {}, lambda name, score: None))
    with Journal(out, settings) as journal:
        names = {cell.name for cell in cells}
        kept = {name: score for name, score in journal.finished.items() if name in names}
        if kept:
            probe.tell(f"{_scores(len(kept))} taken over from {journal.path}, not played again")
        try:
            found = _play(probe, cells, kept, lambda name, score: journal.add(score, name))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted; {_scores(len(journal.finished))} finished, kept in {journal.path}: "
                "the same command goes on"
            ) from None
        code = finish(*found)
        journal.remove()
    return code


def provenance(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What belongs into every result: the settings, the machine, the packages."""
    from gato_gym.cli.export import machine, versions  # brings torch

    return {"settings": dict(settings), "machine": machine(), "versions": versions()}


def _play(
    probe: Probe,
    cells: Sequence[Cell],
    kept: Mapping[str, Score],
    keep: Callable[[str, Score], None],
) -> tuple[dict[str, Score], dict[str, str]]:
    scores, failed = dict(kept), dict[str, str]()
    for number, cell in enumerate(cells, start=1):
        if cell.name in scores:
            continue
        try:
            score = cell.play(f"{cell.name} ({number}/{len(cells)})")
            if not all(map(math.isfinite, score.returns)):
                raise ArithmeticError("the return of an episode is not finite")
        except Exception as error:  # of any package: it costs this score only
            failed[cell.name] = reason(error)
            probe.tell(f"no score of {cell.name}: {failed[cell.name]}")
            continue
        keep(cell.name, score)
        scores[cell.name] = score
    if failed:
        probe.tell(f"{len(failed)} of {_scores(len(cells))} could not be had")
    return scores, failed


def _scores(count: int) -> str:
    return f"{count} score" if count == 1 else f"{count} scores"


def _tell(action: str, text: str) -> None:
    print(f"gato-gym probe {action}: {text}", file=sys.stderr)
