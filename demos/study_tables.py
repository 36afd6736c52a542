"""What the committed studies found, as tables for docs/; written by tables.py."""

import json
from collections.abc import Mapping
from typing import Any

from score_tables import RESULTS, ROOT, cells, table

from gato_gym.envs.registry import registered
from gato_gym.evaluation.prompting import table as prompts_table
from gato_gym.evaluation.robustness import table as robustness_table
from gato_gym.evaluation.transfer.table import as_markdown

TRANSFER = ROOT / "docs" / "transfer" / "transfer.json"


def _transfer() -> dict[str, Any]:
    """What `gato-gym transfer show STUDY --figures docs/transfer` wrote."""
    found: dict[str, Any] = json.loads(TRANSFER.read_text())
    return found


def transfer() -> list[str]:
    """Every cell of the transfer study with its interval and verdict."""
    return as_markdown(_transfer())


def transfer_pretraining() -> list[str]:
    """The networks that the study starts from."""
    lines = table(("pretraining", "tasks", "domains", "tokens", "minutes", "loss at the end"))
    for name, run in _transfer()["pretraining"].items():
        domains = _domains(run["tasks"])
        lines += cells(
            f"`{name}`",
            len(run["tasks"]),
            ", ".join(f"`{domain}`" for domain in domains),
            f"{run['tokens'] / 1e6:.2f} M",
            f"{run['training_seconds'] / 60:.1f}",
            f"{run['loss']:.3f}",
        )
    return lines


def _domains(tasks: Mapping[str, float]) -> list[str]:
    specs = (registered(task) for task in tasks)
    return sorted({spec.domain for spec in specs if spec is not None})


def prompts() -> list[str]:
    """The bundled agent with other prompts, as `gato-gym probe prompts` played it."""
    found = json.loads((RESULTS / "prompts.json").read_text())
    return [*prompts_table.as_markdown(found["tasks"]), "", _told("prompts", found)]


def perturbed() -> list[str]:
    """The bundled agent under other conditions, as `gato-gym probe robustness` played it."""
    found = json.loads((RESULTS / "robustness.json").read_text())
    tasks = " ".join(row["task"] for row in found["tasks"])
    lines = robustness_table.as_markdown(found["tasks"])
    return [*lines, "", _told(f"robustness {tasks}", found)]


def _told(probe: str, found: Mapping[str, Any]) -> str:
    settings = found["settings"]
    command = f"gato-gym probe {probe} --episodes {settings['episodes']} --seed {settings['seed']}"
    return f"{settings['episodes']} episodes each, weights `{settings['weights']}`: `{command}`."
