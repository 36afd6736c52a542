"""The sections that a page does not have, and what would fill them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gato_gym.evaluation.report.source import RunFolder
from gato_gym.training.bundled import BUNDLED


@dataclass(frozen=True)
class Absent:
    """A section without data: its name, why, and the command that would change it, if any."""

    name: str
    why: str
    command: str = ""


def absent(run: RunFolder, context: Mapping[str, Any], *, has_videos: bool) -> list[Absent]:
    """What is not on the page.

    Args:
        run: the folder.
        context: what the page shows, by section.
        has_videos: whether some were named.
    """
    agent = "bundled" if run.bundled else f"{run.name}/{run.agent or ''}".rstrip("/")
    chosen = "" if run.agent_folder == BUNDLED else f" --checkpoint {agent}"
    page = f"gato-gym report {run.name if not run.bundled else 'bundled'}"
    found = []
    if not context["scores"]:
        why = "no scorecard is there" if run.agent is not None else "the run has no agent yet"
        command = f"gato-gym eval --all{chosen} --out scorecard.json"
        found.append(Absent("Scores", why, command if run.agent is not None else ""))
    if not context["curves"]:
        found.append(Absent("Learning curves", "neither train.jsonl nor a card with a curve"))
    if not context["few_shot"] and run.kind == "fine-tuning run":
        found.append(Absent("Few-shot curve", "nothing was evaluated yet"))
    if not context["spoken"] and not context["examples"]:
        found.append(Absent("What it says", "no scores of tasks that speak"))
    if not has_videos:
        record = f"gato-gym record --task TASK{chosen} --out play.mp4"
        found.append(Absent("Videos", "none were named", f"{record}; {page} --videos play.mp4"))
    if not context["pictures"]:
        command = f"{page} --overlay TASK" if run.agent is not None else ""
        found.append(Absent("Attention", "no task was named", command))
    if not context["data"]:
        found.append(Absent("Data", "no corpus was named", f"{page} --corpus FOLDER"))
    if not context["card"]:
        found.append(Absent("Model card", "the run has no README.md of an agent"))
    return found
