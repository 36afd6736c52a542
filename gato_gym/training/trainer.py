"""The training loop: windows in, weights out (paper section 2.3, appendix D).

- the loss is the mean cross-entropy over all targets of the batch
- sample order and schedule are functions of the step, so a resumed run repeats the uninterrupted
  one bit for bit (same machine, same thread count)
- a non-finite loss or gradient stops the run before the optimiser step, and names the episodes
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.tensorboard import SummaryWriter

from gato_gym.config import ModelConfig, TrainConfig
from gato_gym.data.packing import Window
from gato_gym.data.windows import WindowSource, batches
from gato_gym.errors import CorruptCheckpointError, TrainingError
from gato_gym.models.device import choose_device
from gato_gym.models.gato import Gato
from gato_gym.training import checkpoint
from gato_gym.training.optim import learning_rate, make_optimizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepLog:
    """One log line; losses in nats per target, `accuracy` of the most likely id."""

    step: int
    loss: float
    losses: dict[str, float]
    accuracy: dict[str, float]
    gradient_norm: float
    learning_rate: float
    tokens_per_second: float
    loader_wait: float
    padding: float


def to_device(window: Window, device: torch.device) -> dict[str, Tensor]:
    """The arrays of a window as tensors; images stay uint8."""
    names = (
        "ids",
        "local",
        "first_visible",
        "queries",
        "targets",
        "patches",
        "pixels",
        "positions",
    )
    return {
        name: torch.from_numpy(np.ascontiguousarray(getattr(window, name))).to(
            device, non_blocking=True
        )
        for name in names
    }


def predict(model: Gato, batch: dict[str, Tensor]) -> Tensor:
    """Logits (B, Q, V) at the batch's query positions."""
    inputs = ("ids", "local", "patches", "pixels", "positions", "first_visible", "queries")
    return model(*(batch[name] for name in inputs))


def target_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """(B, Q) cross-entropy in nats, 0 where there is no target."""
    losses = functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-1, reduction="none"
    )
    return losses.view(targets.shape)


class Trainer:
    """Trains one model in one process, on a CPU or a GPU.

    Args:
        model_config, config: the shapes and the recipe.
        source: rows of tokens.
        folder: checkpoints and TensorBoard logs go there; an existing run is resumed.
        device: "cpu", "cuda"; None chooses.

    Raises:
        CorruptCheckpointError: the newest checkpoint is damaged.
        TrainingError: the folder holds a run with other settings.
    """

    def __init__(
        self,
        model_config: ModelConfig,
        config: TrainConfig,
        source: WindowSource,
        folder: str | Path,
        device: str | None = None,
    ) -> None:
        self.config, self.source, self.folder = config, source, Path(folder)
        self.device = choose_device(device)
        # bf16 where the hardware has it; a CPU without it is faster in fp32.
        self.autocast = self.device.type == "cuda"
        torch.manual_seed(config.seed)
        self.model = Gato(model_config).to(self.device)
        self.optimizer = make_optimizer(self.model, config)
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0
        if (source.seed, source.prompt_share) != (config.seed, config.prompt_share):
            raise ValueError(
                f"the source has seed {source.seed} and prompt_share {source.prompt_share}, the "
                f"config {config.seed} and {config.prompt_share}: give both the same"
            )
        self._settings = {
            "model": model_config.to_json(),
            "train": config.to_json(),
            "mixture": source.mixture.shares,
            "episodes": {t.task: len(t.entries) for t in source.mixture.tasks},
            "data": {"filter": source.mixture.filter},
        }
        saved = checkpoint.checkpoints(self.folder)
        if saved:
            self._resume(saved[-1])

    def _resume(self, folder: Path) -> None:
        # First, or a damaged state.json would pass for other settings.
        try:
            checkpoint.check_manifest(folder, checkpoint.TENSORS_AND_STATE)
        except CorruptCheckpointError as error:
            raise CorruptCheckpointError(
                f"{error}; or delete {folder} to resume from the checkpoint before it"
            ) from error
        state = checkpoint.read_json(folder / "state.json")
        for part, settings in self._settings.items():
            known = state.get(part, settings)
            changed = {k for k in settings.keys() | known.keys() if settings.get(k) != known.get(k)}
            # The schedule's length and peak, and what only affects bookkeeping, may differ.
            changed -= {"steps", "save_every", "log_every", "learning_rate"}
            changed -= {"loader_threads", "loader_workers"}
            if changed:
                raise TrainingError(
                    f"{folder} was trained with other {part} settings "
                    f"({', '.join(sorted(changed))}): choose another --out, or the same settings"
                )
        state = checkpoint.load(folder, self.model, self.optimizer)
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        logger.info("resumed %s", folder)

    def run(self) -> Iterator[StepLog]:
        """Train to `config.steps`, yielding a log every `log_every` steps; saves as it goes.

        Raises:
            TrainingError: a loss or gradient is not finite.
        """
        config = self.config
        if self.step >= config.steps:
            return
        writer = SummaryWriter(self.folder / "tensorboard")
        loader = batches(
            self.source,
            config.batch,
            self.step,
            config.steps,
            config.loader_threads,
            config.loader_workers,
        )
        self.model.train()
        history: list[dict[str, Any]] = []
        began = time.perf_counter()
        try:
            for _ in range(self.step, config.steps):
                asked = time.perf_counter()
                window = next(loader)
                waited = time.perf_counter() - asked
                history.append(self._train_step(window) | {"waited": waited})
                self.step += 1
                self.tokens += window.ids.size
                if self.step % config.log_every == 0 or self.step == config.steps:
                    spent = time.perf_counter() - began
                    log = self._summary(history, spent)
                    self._write(writer, log)
                    self.seconds += spent
                    history, began = [], time.perf_counter()
                    yield log
                if self.step % config.save_every == 0 or self.step == config.steps:
                    paused = time.perf_counter()
                    self.save()
                    began += time.perf_counter() - paused
        finally:
            loader.close()
            writer.close()

    def save(self) -> Path:
        """Write a checkpoint of the current step now."""
        state = {"tokens": self.tokens, "seconds": self.seconds, **self._settings}
        return checkpoint.save(self.folder, self.step, self.model, self.optimizer, state)

    def _train_step(self, window: Window) -> dict[str, Any]:
        batch = to_device(window, self.device)
        rate = learning_rate(self.config, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            logits = predict(self.model, batch)
        losses = target_losses(logits, batch["targets"])
        loss = losses.sum() / (batch["targets"] >= 0).sum()
        loss.backward()
        limit = self.config.clip or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        # One synchronisation for both; before the optimiser step, so that weights stay clean.
        if not torch.isfinite(loss + norm):
            self.optimizer.zero_grad()
            raise TrainingError(
                f"loss {loss.item()} and gradient norm {norm.item()} at step {self.step} are not "
                f"finite; nothing was updated. Episodes of the batch: {', '.join(window.episodes)}"
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {
            "losses": losses.detach().cpu().numpy(),
            "correct": (logits.argmax(-1) == batch["targets"]).cpu().numpy(),
            "window": window,
            "norm": norm.item(),
            "rate": rate,
        }

    def _summary(self, history: list[dict[str, Any]], spent: float) -> StepLog:
        """Means over the steps since the last log, per task by target."""
        losses, correct, tasks = (
            np.concatenate([values[part["window"].targets >= 0] for part, values in pairs])
            for pairs in (
                [(part, part["losses"]) for part in history],
                [(part, part["correct"]) for part in history],
                [(part, part["window"].tasks) for part in history],
            )
        )
        size = sum(part["window"].ids.size for part in history)
        names = {i: self.source.tasks[i] for i in np.unique(tasks)}
        return StepLog(
            step=self.step,
            loss=float(losses.mean()),
            losses={name: float(losses[tasks == i].mean()) for i, name in names.items()},
            accuracy={name: float(correct[tasks == i].mean()) for i, name in names.items()},
            gradient_norm=float(np.mean([part["norm"] for part in history])),
            learning_rate=history[-1]["rate"],
            tokens_per_second=size / spent,
            loader_wait=sum(part["waited"] for part in history) / spent,
            padding=sum(part["window"].padding for part in history) / size,
        )

    def _write(self, writer: SummaryWriter, log: StepLog) -> None:
        for name in ("loss", "gradient_norm", "learning_rate", "tokens_per_second", "loader_wait"):
            writer.add_scalar(f"train/{name}", getattr(log, name), log.step)
        for task in log.losses:
            writer.add_scalar(f"loss/{task}", log.losses[task], log.step)
            writer.add_scalar(f"accuracy/{task}", log.accuracy[task], log.step)
