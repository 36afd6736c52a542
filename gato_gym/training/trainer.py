"""The training loop: windows in, weights out (paper section 2.3, appendix D).

- the loss is the mean cross-entropy over all targets of the batch, over all ranks
- sample order, stochastic depth and schedule are functions of the step, so a resumed run repeats
  the uninterrupted one bit for bit (same machine, ranks and thread count)
- a non-finite loss or gradient stops the run before the optimiser step, and names the episodes
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from gato_gym.config import ModelConfig, TrainConfig
from gato_gym.data.identity import changed_data
from gato_gym.data.packing import Window
from gato_gym.data.windows import WindowSource, batches, check_batch
from gato_gym.errors import CorruptCheckpointError, TrainingError
from gato_gym.models.device import choose_device
from gato_gym.models.gato import Gato
from gato_gym.training.checkpoint import Checkpoints
from gato_gym.training.distributed import Ranks, clip_gradients, full_weights, settle, shard
from gato_gym.training.ema import Ema
from gato_gym.training.flops import peak_flops, step_flops
from gato_gym.training.memory import estimate, free_memory, plan_recomputed_blocks
from gato_gym.training.optim import learning_rate, make_optimizer
from gato_gym.training.progress import Meter, StepLog, ValidationLog, validation_log
from gato_gym.training.step import (
    Gradients,
    backward,
    count_targets,
    draw_keep,
    failed_episodes,
    finite,
)
from gato_gym.training.validation import validate

logger = logging.getLogger(__name__)

# What a resumed run may change: the length and peak of the schedule, bookkeeping, and how a step is
# computed as long as it is the same step.
MAY_DIFFER = {
    "steps",
    "learning_rate",
    "save_every",
    "log_every",
    "validate_every",
    "validation_rows",
    "accumulate",
    "loader_threads",
    "loader_workers",
    "compile",
    "arithmetic",
    "checkpoint_activations",
}


class Trainer:
    """Trains one model, on one device or as one of several ranks.

    Args:
        model_config, config: the shapes and the recipe.
        source: rows of tokens.
        folder: checkpoints go there; an existing run is resumed.
        device: "cpu", "cuda"; None chooses. With `ranks` it is theirs.
        ranks: the processes that train together; None is one process.
        model: where to start from; None draws weights from the seed.
        validation: rows of held-out episodes, for `config.validate_every`.
        domains: task -> domain, to sum losses up.

    Raises:
        CorruptCheckpointError: the newest checkpoint is damaged.
        OutOfMemoryError: a step would not fit.
        TrainingError: the folder holds a run with other settings or other data.
    """

    def __init__(
        self,
        model_config: ModelConfig,
        config: TrainConfig,
        source: WindowSource,
        folder: str | Path,
        device: str | None = None,
        *,
        ranks: Ranks | None = None,
        model: Gato | None = None,
        validation: WindowSource | None = None,
        domains: Mapping[str, str] | None = None,
    ) -> None:
        self.model_config, self.config = model_config, config
        self.source, self.validation = source, validation
        self.folder, self.domains = Path(folder), dict(domains or {})
        self.ranks = ranks or Ranks(0, 1, choose_device(device))
        self.device = self.ranks.device
        self.step = self.tokens = 0
        self.seconds = 0.0
        if (source.seed, source.prompt_share) != (config.seed, config.prompt_share):
            raise ValueError(
                f"the source has seed {source.seed} and prompt_share {source.prompt_share}, the "
                f"config {config.seed} and {config.prompt_share}: give both the same"
            )
        check_batch(config.batch, self.ranks.size, config.accumulate)
        if config.validate_every and validation is None:
            raise ValueError("validate_every needs a source of held-out rows: give validation")
        torch.manual_seed(config.seed)
        self.parameters = _count(model or model_config)  # before they are cut into shards
        recomputed = self._plan_memory()
        self.model = model or Gato(model_config)
        self.model.recomputed_blocks = recomputed
        self._fit()
        self.optimizer = make_optimizer(self.model, config)
        self.ema = Ema(self.model, config.ema) if config.ema else None
        self.checkpoints = Checkpoints(self.folder, ranks=self.ranks)
        newest = self.checkpoints.newest()
        if newest is not None:
            self._resume(newest)

    def _plan_memory(self) -> int:
        """How many blocks have to compute their activations again; before anything is allocated."""
        config, ranks = self.config, self.ranks
        needed = estimate(self.model_config, config, self.parameters, ranks.size, self.device)
        free = free_memory(self.device)
        if self.device.type == "cpu":
            free //= ranks.per_machine or ranks.size
        # All must decide alike.
        free = int(ranks.sum(torch.tensor(free / ranks.size, dtype=torch.float64)))
        return plan_recomputed_blocks(needed, config.checkpoint_activations, free)

    def _fit(self) -> None:
        """Bring the model to the device in the way that its speed asks for."""
        config, model = self.config, self.model
        if self.ranks.size == 1:
            model.to(self.device)
        if config.compile if config.compile is not None else self.device.type == "cuda":
            model.compile_blocks()
        shard(model, self.ranks)

    @property
    def recomputed_blocks(self) -> int:
        """How many blocks compute their activations again, as the memory asks for it."""
        return self.model.recomputed_blocks

    @property
    def _settings(self) -> dict[str, Any]:
        return {
            "model": self.model_config.to_json(),
            "train": self.config.to_json(),
            "data": self.source.mixture.settings(),
        }

    def _resume(self, folder: Path) -> None:
        try:
            # Its settings first: what other settings have changed is not damaged.
            state = self.checkpoints.read_state(folder)
        except CorruptCheckpointError as error:
            raise CorruptCheckpointError(
                f"{error}; or delete {folder} to resume from the checkpoint before it"
            ) from error
        for part in ("model", "train"):
            now, before = self._settings[part], state[part]
            changed = {k for k in now.keys() | before.keys() if now.get(k) != before.get(k)}
            changed -= MAY_DIFFER
            if changed:
                raise TrainingError(
                    f"{folder} was trained with other {part} settings "
                    f"({', '.join(sorted(changed))}): choose another --out, or the same settings"
                )
        told = changed_data(state["data"], self._settings["data"])
        if told:
            raise TrainingError(
                f"{folder} was trained on other data: {told}. The order of samples would change. "
                "Give the run its data back, or start another one in another --out"
            )
        extra = self.ema.tensors() if self.ema else None
        self.checkpoints.load(folder, self.model, self.optimizer, extra)
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        logger.info("resumed %s", folder)

    def run(self, stop: Callable[[], bool] = lambda: False) -> Iterator[StepLog | ValidationLog]:
        """Train to `config.steps`, yielding a log every `log_every` steps; saves as it goes.

        Args:
            stop: asked before every step; once any rank says so, all save and end.

        Raises:
            TrainingError: a loss or gradient is not finite, or a batch has nothing to predict.
        """
        config = self.config
        if self.step >= config.steps:
            return
        meter = Meter(self.source.tasks, self.domains, peak=_peak(self.device), device=self.device)
        before = self.seconds
        loader = batches(
            self.source,
            config.batch,
            self.step,
            config.steps,
            config.loader_threads,
            config.loader_workers,
            part=(self.ranks.rank, self.ranks.size),
            accumulate=config.accumulate,
        )
        self.model.train()
        try:
            for windows in _steps(loader, config.accumulate, meter, stop):
                if not self._step(windows, meter, stop):
                    with meter.paused():
                        self.seconds = before + meter.seconds
                        self.save()
                    break
                done = self.step == config.steps
                if self.step % config.log_every == 0 or done:
                    rate = learning_rate(config, self.step - 1)
                    log = meter.log(self.step, config.steps, rate, self.ranks.sum)
                    with meter.paused():  # what is done with it is not training
                        yield log
                if self._due(config.validate_every, done):
                    with meter.paused():
                        yield self._validate()
                if self._due(config.save_every, done):
                    with meter.paused():
                        self.seconds = before + meter.seconds
                        self.save(wait=False)
        except BaseException:
            self._end(loader, before + meter.seconds, failed=True)
            raise
        self._end(loader, before + meter.seconds)

    def _end(
        self, loader: Generator[Window, None, None], seconds: float, failed: bool = False
    ) -> None:
        self.seconds = seconds
        loader.close()
        try:
            self.checkpoints.wait()
        except Exception as error:
            if not failed:
                raise
            logger.warning("the checkpoint that was being written failed too: %s", error)

    def _due(self, every: int, done: bool) -> bool:
        return bool(every) and (self.step % every == 0 or done)

    def save(self, wait: bool = True) -> Path:
        """Save the current step. Without `wait` it is written while training goes on."""
        state = {"tokens": self.tokens, "seconds": self.seconds, **self._settings}
        extra = self.ema.tensors() if self.ema else None
        return self.checkpoints.save(
            self.step, self.model, self.optimizer, state, wait=wait, extra=extra
        )

    def trained(self) -> Gato | None:
        """The model to use: whole, on the CPU, with the mean weights where they are kept.

        All ranks must call it; only the main one gets it.
        """
        with self.ema.swapped() if self.ema else nullcontext():
            weights = {k: v.clone() for k, v in full_weights(self.model, self.ranks).items()}
        if not self.ranks.main:
            return None
        model = Gato(self.model_config)
        model.load_state_dict(weights)
        return model.eval()

    def _step(self, windows: Sequence[Window], meter: Meter, stop: Callable[[], bool]) -> bool:
        """One optimiser step; False if the run is asked to stop instead."""
        targets, images = count_targets(windows), any(len(w.pixels) for w in windows)
        together = self.ranks.sum(
            torch.tensor([targets, images, stop()], dtype=torch.float64)
        ).tolist()
        targets, images, stopping = int(together[0]), bool(together[1]), bool(together[2])
        if stopping:
            return False
        if not targets:
            raise TrainingError(
                f"the batch of step {self.step} has nothing to predict: no action and no text. "
                "Are the corpus' tasks those that you want to train?"
            )
        rate = learning_rate(self.config, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # What a step draws, if anything (an adapter's dropout), depends on the step alone.
        torch.manual_seed((self.config.seed << 32) + self.step)
        keeps = [draw_keep(self.config.seed, w.rows, self.model.config) for w in windows]
        found = backward(self.model, windows, keeps, targets, self.device, self.config.arithmetic)
        settle(self.model, images)
        norm = clip_gradients(self.model, self.config.clip or float("inf"))
        if not finite(found.loss, norm):
            self._stop_before_harm(windows, found, float(norm))
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        if self.ema:
            self.ema.update(self.step)
        for window, part in zip(windows, found.parts, strict=True):
            flops = step_flops(self.model.config, window)
            meter.add(window, part.losses, part.correct, flops)
        meter.end_step(float(norm))
        self.tokens += self.config.batch * self.model.config.context
        return True

    def _stop_before_harm(self, windows: Sequence[Window], found: Gradients, norm: float) -> None:
        self.optimizer.zero_grad()
        names = failed_episodes(windows, found.parts, self.ranks.sum)
        raise TrainingError(
            f"loss {found.loss.item()} and gradient norm {norm} at step {self.step} are not finite;"
            f" nothing was updated. Episodes of the batch: {'; '.join(names)}"
        )

    def _validate(self) -> ValidationLog:
        assert self.validation is not None
        rows = self.config.batch // (self.ranks.size * self.config.accumulate)
        with self.ema.swapped() if self.ema else nullcontext():
            results = validate(
                self.model,
                self.validation,
                self.config.validation_rows,
                rows,
                self.device,
                rank=self.ranks.rank,
                ranks=self.ranks.size,
                together=self.ranks.sum,
            )
        return validation_log(self.step, results, self.domains)


def _steps(
    loader: Iterator[Window], accumulate: int, meter: Meter, stop: Callable[[], bool]
) -> Iterator[tuple[Window, ...]]:
    """The micro-batches of each step, the time for them counted as waiting."""
    while True:
        with meter.waiting():
            try:
                windows = tuple(islice(loader, accumulate))
            except TrainingError:
                if not stop():
                    raise
                # Whoever asked for the end may have ended the loader's processes as well.
                windows = ()
                yield windows
        if not windows:
            return
        yield windows


def _count(model: Gato | ModelConfig) -> int:
    """Parameters; of a model that is yet to be made, without memory for them."""
    if isinstance(model, ModelConfig):
        with torch.device("meta"):
            model = Gato(model)
    return model.parameter_count()


@cache
def _peak(device: torch.device) -> float:
    return peak_flops(device)[0]
