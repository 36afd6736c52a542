"""What a run tells of itself: sums that add up over steps and ranks, and the logs made of them."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gato_gym.data.packing import Window

OTHER = "other"
"""Domain of a task that the caller names none for."""


class TaskLoss(NamedTuple):
    """Of the targets of one task: mean loss in nats, share that the most likely id hits, number."""

    loss: float
    accuracy: float
    targets: int


@dataclass(frozen=True)
class StepLog:
    """Means over the steps since the last log, over all ranks; losses in nats per target.

    step               steps done
    accuracy           share of targets that the most likely id hits
    gradient_norm      before it is clipped
    learning_rate      of the last step
    tokens_per_second  of all ranks, padding included
    loader_wait        share of the time that was spent waiting for data
    padding            share of the tokens
    utilisation        useful FLOPs per second over the hardware's peak; None where it is unknown
    memory             peak bytes of this rank: allocated on its GPU, or resident on a CPU
    seconds_left       until the last step, saving and validating included
    """

    step: int
    loss: float
    losses: dict[str, float]
    accuracy: dict[str, float]
    gradient_norm: float
    learning_rate: float
    tokens_per_second: float
    loader_wait: float
    padding: float
    domain_losses: dict[str, float] = field(default_factory=dict)
    domain_accuracy: dict[str, float] = field(default_factory=dict)
    utilisation: float | None = None
    memory: int = 0
    seconds_left: float = 0.0


@dataclass(frozen=True)
class ValidationLog:
    """Means over the targets of held-out rows after `step` steps; `targets` is their number."""

    step: int
    loss: float
    losses: dict[str, float]
    accuracy: dict[str, float]
    domain_losses: dict[str, float]
    domain_accuracy: dict[str, float]
    targets: int


class Means(NamedTuple):
    """Over all targets, by task and by domain; what has no targets is left out."""

    loss: float
    losses: dict[str, float]
    accuracy: dict[str, float]
    domain_losses: dict[str, float]
    domain_accuracy: dict[str, float]


def means(sums: np.ndarray, tasks: Sequence[str], domains: Mapping[str, str]) -> Means:
    """What `task_sums` added up, divided.

    Args:
        sums: (3, T), see there.
        tasks: names of the T tasks.
        domains: task -> domain; "other" where it has none.
    """
    names = [domains.get(task, OTHER) for task in tasks]
    order = sorted(set(names))
    by_domain = sums @ np.array([[name == domain for domain in order] for name in names], float)
    losses, accuracy = _divided(sums, tasks)
    return Means(
        float(sums[0].sum() / sums[2].sum()), losses, accuracy, *_divided(by_domain, order)
    )


def _divided(sums: np.ndarray, names: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
    seen = [i for i in range(len(names)) if sums[2, i]]
    losses, accuracy = (
        {names[i]: float(sums[row, i] / sums[2, i]) for i in seen} for row in (0, 1)
    )
    return losses, accuracy


def task_sums(window: Window, losses: Any, correct: Any, count: int) -> np.ndarray:
    """(3, count): summed losses, number of hits and number of targets of each task.

    Args:
        window: what the model saw.
        losses, correct: (B, Q) tensors or arrays of it; read at targets only.
        count: how many tasks there are.
    """
    there = window.targets >= 0
    tasks = window.tasks[there]
    values = (_array(losses)[there], _array(correct)[there], None)
    return np.stack([np.bincount(tasks, weights, minlength=count) for weights in values])


def _array(values: Any) -> np.ndarray:
    return values.float().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


class Meter:
    """Adds up what the steps give, in constant memory, and makes a `StepLog` of it.

    with meter.waiting(): window = next(loader)
    meter.add(window, losses, correct, flops)      # each micro-batch of this rank
    meter.end_step(gradient_norm)
    with meter.paused(): ...                       # saving, validating: no time of training
    log = meter.log(step, steps, learning_rate, ranks.sum)

    Args:
        tasks: names of the tasks that `Window.tasks` counts.
        domains: task -> domain.
        peak: FLOPs per second that the device of a rank could do; None = unknown.
        device: whose memory is reported, and where sums of several ranks meet.
        clock: in seconds.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        domains: Mapping[str, str] | None = None,
        *,
        peak: float | None = None,
        device: torch.device | str = "cpu",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.tasks, self.domains, self.peak = list(tasks), dict(domains or {}), peak
        self.device, self._clock = torch.device(device), clock
        self._parts: list[tuple[Window, Any, Any]] = []
        self._earlier = 0.0
        self._pace: float | None = None
        self._clear()

    def _clear(self) -> None:
        self._by_task = np.zeros((3, len(self.tasks)))
        self._steps = self._tokens = self._padding = 0
        self._flops = self._norms = self._waited = self._away = 0.0
        self._began = self._clock()

    @property
    def seconds(self) -> float:
        """Time of training since the meter was made, without pauses."""
        return self._earlier + self._spent()

    def _spent(self) -> float:
        return self._clock() - self._began - self._away

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside as waiting for data."""
        asked = self._clock()
        yield
        self._waited += self._clock() - asked

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time inside out of speeds and shares, but not out of the time left."""
        left = self._clock()
        try:
            yield
        finally:
            self._away += self._clock() - left

    def add(self, window: Window, losses: Any, correct: Any, flops: float = 0.0) -> None:
        """Count a micro-batch.

        Args:
            window: its tokens.
            losses, correct: (B, Q) tensors or arrays, the loss at each target and whether the most
                likely id hits it. They are read in `end_step`: nothing waits for the device here.
            flops: useful ones of it.
        """
        self._parts.append((window, losses, correct))
        self._tokens += window.ids.size
        self._padding += window.padding
        self._flops += flops

    def end_step(self, gradient_norm: float) -> None:
        """Read what was added since the last step."""
        for part in self._parts:
            self._by_task += task_sums(*part, count=len(self.tasks))
        self._parts.clear()
        self._norms += gradient_norm
        self._steps += 1

    def sums(self) -> Tensor:
        """All that was added up since the last log, (3 T + 7,) float64; ranks add theirs."""
        rest = (self._tokens, self._padding, self._flops, self._norms, self._waited, self._steps, 1)
        return torch.from_numpy(np.concatenate([self._by_task.ravel(), rest])).to(self.device)

    def log(
        self,
        step: int,
        steps: int,
        learning_rate: float,
        together: Callable[[Tensor], Tensor] | None = None,
    ) -> StepLog:
        """The log of the steps since the last one; counting starts anew.

        Args:
            step, steps: done, and of the whole run.
            learning_rate: of the last step.
            together: adds the tensors of all ranks, which then must all call this.
        """
        spent = self._spent()
        mine = self.sums()
        sums = (mine if together is None else together(mine)).cpu().numpy()
        by_task = sums[:-7].reshape(3, -1)
        tokens, padding, flops, norms, waited, counted, ranks = sums[-7:]
        pace = (self._clock() - self._began) / self._steps
        # Half of it is older: one log with a save in it should not double the time left.
        self._pace = pace if self._pace is None else (self._pace + pace) / 2
        found = means(by_task, self.tasks, self.domains)
        known = self.peak is not None and flops > 0
        log = StepLog(
            step=step,
            **found._asdict(),
            gradient_norm=float(norms / counted),
            learning_rate=learning_rate,
            tokens_per_second=float(tokens / spent),
            loader_wait=float(waited / (ranks * spent)),
            padding=float(padding / tokens),
            utilisation=float(flops / (ranks * spent * self.peak)) if known else None,
            memory=peak_memory(self.device),
            seconds_left=(steps - step) * self._pace,
        )
        self._earlier += spent
        self._clear()
        return log


def validation_log(
    step: int, results: Mapping[str, TaskLoss], domains: Mapping[str, str]
) -> ValidationLog:
    """The log of what `validate` found."""
    sums = np.array(
        [(r.loss * r.targets, r.accuracy * r.targets, r.targets) for r in results.values()]
    ).T
    targets = sum(result.targets for result in results.values())
    return ValidationLog(step, *means(sums, list(results), domains), targets=targets)


def peak_memory(device: torch.device) -> int:
    """Most bytes so far: allocated on a GPU, or resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
