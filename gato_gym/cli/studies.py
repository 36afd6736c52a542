"""What the commands that do a study have in common: running its units, and telling of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from gato_gym.evaluation.studies.folder import StudyFolder
    from gato_gym.evaluation.studies.runner import Guess, Report
    from gato_gym.evaluation.studies.units import Unit, Units


def do_units(
    study: StudyFolder[Any], plan: Units, chosen: Sequence[Unit], speed: Guess, jobs: int
) -> tuple[Report, int]:
    """Do all chosen units that are not done, Ctrl-C safe.

    Args:
        study, plan, chosen, speed, jobs: see `runner.run_units`.

    Returns:
        The report, and the exit code: 1 where something failed or could not be done.
    """
    from gato_gym.cli.export import machine, versions
    from gato_gym.evaluation.studies.runner import run_units
    from gato_gym.training.interrupt import Interrupts

    with Interrupts() as interrupts:
        report = run_units(
            study,
            plan,
            chosen,
            speed=speed,
            tell=tell,
            stop=lambda: interrupts.requested is not None,
            jobs=jobs,
            beside={"machine": machine(), "versions": versions()},
        )
    if report.stopped:
        tell("saved; run the same command again to go on")
        return report, interrupts.exit_code
    _tell_trouble(report)
    return report, 1 if report.failed or report.blocked else 0


def tell_skipped(skipped: Mapping[str, str], file: TextIO | None = None) -> None:
    """What is left out of a study, and why; on stderr unless a file is given."""
    if skipped:
        print(f"left out, {len(skipped)}:", file=file or sys.stderr)
    for name, why in skipped.items():
        print(f"  {name}: {why}", file=file or sys.stderr)


def tell(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


def _tell_trouble(report: Report) -> None:
    for title, units in (("failed", report.failed), ("could not be done", report.blocked)):
        if units:
            tell(f"{len(units)} units {title}:")
        for key, why in units.items():
            tell(f"  {key}: {why if title == 'failed' else f'needs {why}'}")
