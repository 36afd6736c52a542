"""What the committed studies found, as tables for docs/; written by tables.py."""

import json
from collections.abc import Mapping
from typing import Any

from score_tables import ROOT, cells, table

from gato_gym.envs.registry import registered
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
