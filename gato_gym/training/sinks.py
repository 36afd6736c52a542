"""Where the scalars of a run go: TensorBoard, and Weights & Biases where it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch.utils.tensorboard import SummaryWriter

from gato_gym.errors import MissingExtraError, TrainingError
from gato_gym.training.progress import StepLog, ValidationLog

FOLDER = "tensorboard"
TRAIN = (
    "loss",
    "gradient_norm",
    "learning_rate",
    "tokens_per_second",
    "loader_wait",
    "padding",
    "utilisation",
    "memory",
)


class Sink(Protocol):
    """Takes scalars by name; a name's group is what stands before its first slash."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Keep values of a step; steps of one name ascend, those of different ones need not."""

    def close(self) -> None:
        """Write what is not written yet."""


def scalars(log: StepLog | ValidationLog) -> dict[str, float]:
    """A log by name: train/*, loss/TASK, accuracy/TASK, loss_domain/DOMAIN, accuracy_domain/DOMAIN;
    of validation all of these under validation/."""
    groups = {
        "loss": log.losses,
        "accuracy": log.accuracy,
        "loss_domain": log.domain_losses,
        "accuracy_domain": log.domain_accuracy,
    }
    values = {
        f"{group}/{name}": value for group, of in groups.items() for name, value in of.items()
    }
    if isinstance(log, ValidationLog):
        return {"validation/loss": log.loss} | {f"validation/{k}": v for k, v in values.items()}
    own = {f"train/{name}": getattr(log, name) for name in TRAIN}
    return {name: value for name, value in own.items() if value is not None} | values


class TensorBoard:
    """Scalars in `folder`/tensorboard.

    Args:
        folder: of the run.
        step: where it resumes; later values of an earlier attempt are not shown.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        self._writer = SummaryWriter(folder / FOLDER, purge_step=step + 1 if step else None)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write them now: a person may be watching."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class WeightsAndBiases:
    """Scalars in a run of wandb; a resumed run goes on in the same one.

    Args:
        project: its name there.
        folder: of the run; wandb keeps its files and `wandb.id` there.
        settings: shown beside the curves.

    Raises:
        MissingExtraError: wandb is not installed.
        TrainingError: wandb does not start, e.g. because nobody is logged in.
    """

    def __init__(self, project: str, folder: Path, settings: Mapping[str, Any]) -> None:
        try:
            wandb = importlib.import_module("wandb")
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "wandb is not installed: pip install wandb, or leave --wandb out; TensorBoard is "
                "written in any case"
            ) from error
        name = folder / "wandb.id"
        known = name.read_text().strip() if name.is_file() else None
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._run = wandb.init(
                project=project,
                name=folder.name,
                dir=str(folder),
                id=known,
                resume="allow",
                config=dict(settings),
            )
        except Exception as error:  # its errors share no base: network, login, settings
            raise TrainingError(
                f"wandb does not start: {error}; try `wandb login`, WANDB_MODE=offline, or leave "
                "--wandb out"
            ) from error
        name.write_text(self._run.id + "\n")
        # Results of rollouts come late: every value has its own step, in any order.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Send them."""
        self._run.log({"step": step, **values})

    def close(self) -> None:
        """Wait until all is sent."""
        self._run.finish()
