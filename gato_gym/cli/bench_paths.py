"""The two ways to train that `gato-gym bench train` measures, each in a process of its own.

Row for row both are about the same tasks. A step is everything between two weights: the loader,
forward, backward, clipping, the optimiser, the loss for the log.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch

from gato_gym.cli.bench_workload import Workload, env_steps
from gato_gym.cli.plain_reference import PlainGato, PlainSource, plain_batch, plain_optimizer
from gato_gym.data.packing import Window
from gato_gym.data.windows import WindowSource
from gato_gym.models.gato import Gato
from gato_gym.training.flops import peak_flops, step_flops
from gato_gym.training.optim import learning_rate
from gato_gym.training.step import draw_keep
from gato_gym.training.trainer import StepLog, Trainer


@dataclass(frozen=True)
class StepFigures:
    """One step: seconds in all and of them without data, tokens with padding and padding among
    them, steps of environments, operations that it needed, its loss in nats per target."""

    seconds: float
    waited: float
    size: int
    padding: int
    env_steps: int
    flops: float
    loss: float

    @property
    def tokens(self) -> int:
        """Useful ones."""
        return self.size - self.padding


class TrainingPath(ABC):
    """One way to train. `step()` does one step, `facts()` tells about the process afterwards."""

    def __init__(self, workload: Workload, source: WindowSource) -> None:
        self.workload, self.source = workload, source
        self.device = torch.device(workload.device)
        self.batch = workload.train.batch
        self._steps = count()

    def step(self) -> StepFigures:
        """One optimiser step, timed."""
        index = next(self._steps)
        began = time.perf_counter()
        waited, loss = self._step(index)
        seconds = time.perf_counter() - began
        window = self._window(index)  # again, as the clock does not run
        return StepFigures(
            seconds=seconds,
            waited=waited,
            size=window.ids.size,
            padding=window.padding,
            env_steps=env_steps(window),
            flops=step_flops(self.workload.model, window),
            loss=loss,
        )

    def facts(self) -> dict[str, Any]:
        """Rows of a step, peak memory in bytes, and how that was measured."""
        memory, how = peak_resident(), "peak resident memory of the process"
        if self.device.type == "cuda":
            memory = torch.cuda.max_memory_allocated(self.device)
            how = "torch.cuda.max_memory_allocated"
        return {"batch": self.batch, "memory": memory, "measured_as": how}

    @abstractmethod
    def _step(self, index: int) -> tuple[float, float]:
        """Train; (seconds without data, loss)."""

    def _window(self, index: int) -> Window:
        """The rows of a step."""
        return self.source.rows(range(index * self.batch, (index + 1) * self.batch))


class OurPath(TrainingPath):
    """The package's own `Trainer`, as `gato-gym train` runs it."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload, workload.source())
        self.trainer = Trainer(
            workload.model, workload.train, self.source, workload.folder / "run", workload.device
        )
        self._logs = self.trainer.run()

    def _step(self, index: int) -> tuple[float, float]:
        began = time.perf_counter()
        log = next(self._logs)
        assert isinstance(log, StepLog)
        return log.loader_wait * (time.perf_counter() - began), log.loss

    def facts(self) -> dict[str, Any]:
        """Also the number of parameters and what the device can do."""
        peak, source = peak_flops(self.device)
        return super().facts() | {
            "parameters": self.trainer.model.parameter_count(),
            "peak_flops": peak,
            "peak_source": source,
        }

    def patch_seconds(self, index: int = 0, repeats: int = 3) -> float:
        """The patch network by itself, forward and backward, on the patches of a step."""
        window = self._window(index)
        if not len(window.patches):
            return 0.0
        network = self.trainer.model.embedding.patches
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            patches = torch.from_numpy(window.patches).to(self.device)
            with autocast(self.device):
                drawn = network(patches)
            drawn.backward(torch.ones_like(drawn))
            synchronise(self.device)
            times.append(time.perf_counter() - began)
        network.zero_grad()
        return statistics.median(times)


class PlainPath(TrainingPath):
    """A plain loop over `PlainGato`, whose rows are built when they are asked for.

    Where a GPU has too little memory for a batch, the batch is halved, as a person would do.

    Args:
        workload: what is trained on what.
        packed: on the rows of our path; else one document per row.
    """

    def __init__(self, workload: Workload, packed: bool = False) -> None:
        super().__init__(workload, workload.source(WindowSource if packed else PlainSource))
        torch.manual_seed(workload.train.seed)
        initial = Gato(workload.model).state_dict()
        self.model = PlainGato(workload.model)
        self.model.load_state_dict(initial)
        self.model.to(self.device).train()
        self.optimizer = plain_optimizer(self.model, workload.train)

    def step(self) -> StepFigures:
        """One optimiser step, timed."""
        while True:
            try:
                return super().step()
            except torch.OutOfMemoryError:
                if self.batch == 1:
                    raise
            # Not in the handler: its traceback holds the tensors.
            self.batch //= 2
            self.optimizer.zero_grad()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def _step(self, index: int) -> tuple[float, float]:
        began = time.perf_counter()
        batch = plain_batch(self._window(index))
        waited = time.perf_counter() - began
        train, first = self.workload.train, index * self.batch
        keep = draw_keep(train.seed, range(first, first + self.batch), self.workload.model)
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(train, index)
        with autocast(self.device):
            loss = self.model(batch, None if keep is None else keep.to(self.device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), train.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return waited, loss.item()


def autocast(device: torch.device) -> torch.autocast:
    """The number format of training: bf16 on a GPU, fp32 on a CPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def synchronise(device: torch.device) -> None:
    """Wait for what a GPU was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_resident() -> int:
    """Most memory that this process has had at once, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    # Elsewhere; on Linux this would count what the parent had when it started this process.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
