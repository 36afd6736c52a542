"""What each saving of the training step is worth: from the plain path to ours, one at a time.

All rungs train the same weights on the same rows in one process. To afford it on a slow machine, a
rung runs forward and backward on some rows only; a step of the whole batch is then that, as often
as the rows fit into it, and one optimiser step. The loader is not in it.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from gato_gym.cli.bench_paths import autocast, synchronise
from gato_gym.cli.bench_workload import Workload
from gato_gym.cli.plain_reference import (
    PlainBlock,
    PlainGato,
    PlainSource,
    dense_mask,
    naive_attention,
    plain_batch,
    plain_optimizer,
    rotary_tables,
    rotated,
)
from gato_gym.data.packing import Window
from gato_gym.data.windows import WindowSource
from gato_gym.envs.registry import domain_of
from gato_gym.models.gato import Gato
from gato_gym.models.loss import TargetLosses, target_losses
from gato_gym.training.optim import make_optimizer
from gato_gym.training.step import draw_keep, to_device

# So many rows of the run are looked through for each that is taken.
_SEARCHED = 16
# So many are counted for the usual share of padding.
_COUNTED = 64

Batch = dict[str, Tensor]
Model = TypeVar("Model", bound=torch.nn.Module)


class DistinctPatches(PlainGato):
    """Takes patches as they are stored, each distinct one through the patch network once."""

    def embed(self, batch: Batch) -> Tensor:
        """(B, L, D)."""
        names = ("ids", "local", "patches", "pixels", "positions")
        found: Tensor = self.embedding(*(batch[name] for name in names))
        return found


class TargetsOnly(DistinctPatches):
    """After the last keys, only what has a target."""

    def forward(self, batch: Batch, keep: Tensor | None = None) -> Tensor:
        """See `PlainGato`."""
        x, queries = self.embed(batch), batch["queries"]
        length, width = x.shape[1:]
        mask = dense_mask(batch["first_visible"])
        key_size = width // self.config.heads
        tables = rotary_tables(torch.arange(length, device=x.device)[None], key_size)
        *blocks, last = self.blocks
        for layer, block in enumerate(blocks):
            x = block(x, tables, mask, None if keep is None else keep[:, layer])
        assert isinstance(last, PlainBlock)
        normed = last.norm1(x)
        key, value = (last.split(y) for y in last.key_value(normed).chunk(2, dim=-1))
        where = queries[..., None].expand(-1, -1, width)
        query = rotated(
            last.split(last.query(normed.gather(1, where))), rotary_tables(queries, key_size)
        )
        seen = mask[:, 0].gather(1, queries[..., None].expand(-1, -1, length))[:, None]
        attended = naive_attention(query, rotated(key, tables), value, seen)
        x = last.add(x.gather(1, where), attended, None if keep is None else keep[:, -1])
        losses = target_losses(self.norm(x), self.embedding.ids.weight, batch["targets"])
        return mean_loss(losses, batch["targets"])


def mean_loss(losses: TargetLosses, targets: Tensor) -> Tensor:
    """Per target."""
    return losses.total / (targets >= 0).sum()


def useful(window: Window, factor: float) -> float:
    """Its tokens without padding, times a factor."""
    return (window.ids.size - window.padding) * factor


def model_loss(model: Gato, batch: Batch, keep: Tensor | None) -> Tensor:
    """Of our model."""
    return mean_loss(model(**batch, keep=keep), batch["targets"])


@dataclass(frozen=True)
class Rung:
    """A way to train: the loss of a batch under factors of stochastic depth, and an optimiser."""

    name: str
    loss: Callable[[Batch, Tensor | None], Tensor]
    batch: Batch
    tokens: float
    keep: Tensor | None
    optimizer: torch.optim.Optimizer


class Ladder:
    """All rungs, on the same rows with the same weights.

    Args:
        workload: what is trained on what.
        rows: of a forward and backward pass, at most the batch.
    """

    def __init__(self, workload: Workload, rows: int) -> None:
        self.workload = workload
        self.device = torch.device(workload.device)
        source, plain = workload.source(), workload.source(PlainSource)
        indices = representative(workload, source, rows)
        keep = usual_keep(workload, rows)
        torch.manual_seed(workload.train.seed)
        self.model = Gato(workload.model).to(self.device).train()
        self.rows = len(indices)
        self.rungs = self._build(
            source.rows(indices),
            plain.rows(indices),
            # Of a few rows, the padding would say little.
            [useful(one.rows(range(_COUNTED)), self.rows / _COUNTED) for one in (plain, source)],
            None if keep is None else keep.to(self.device),
        )

    def measure(self) -> list[tuple[str, float, float]]:
        """(name, useful tokens per second, seconds of a step of the whole batch) of each rung."""
        found = []
        for rung in self.rungs:
            times = [time.perf_counter()]
            with autocast(self.device):
                loss = rung.loss(rung.batch, rung.keep)
            loss.backward()
            synchronise(self.device)
            times.append(time.perf_counter())
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.workload.train.clip)
            rung.optimizer.step()
            self.model.zero_grad()
            synchronise(self.device)
            times.append(time.perf_counter())
            passes = self.workload.train.batch / self.rows
            seconds = (times[1] - times[0]) * passes + times[2] - times[1]
            found.append((rung.name, rung.tokens * passes / seconds, seconds))
        return found

    def _build(
        self, packed: Window, documents: Window, tokens: Sequence[float], keep: Tensor | None
    ) -> list[Rung]:
        plain, ours = self._twin(PlainGato), partial(model_loss, self.model)
        distinct, targets = self._twin(DistinctPatches), self._twin(TargetsOnly)
        distinct.embedding = targets.embedding = self.model.embedding
        first, floats = (
            {name: tensor.to(self.device) for name, tensor in plain_batch(window).items()}
            for window in (documents, packed)
        )
        stored = to_device(packed, self.device)
        both = {**floats, **stored}
        alone, whole = tokens
        simple = plain_optimizer(self.model, self.workload.train)
        fused = make_optimizer(self.model, self.workload.train)
        # Without a 0 in it, nothing is skipped.
        masked = None if keep is None else keep.clamp(min=1e-6)
        rungs = [
            Rung("plain", plain, first, alone, keep, simple),
            Rung("packed rows", plain, floats, whole, keep, simple),
            Rung("distinct patches", distinct, both, whole, keep, simple),
            Rung("only what has a target", targets, both, whole, keep, simple),
            Rung("fused attention by document", ours, stored, whole, masked, simple),
            Rung("skipped sub-layers", ours, stored, whole, keep, simple),
            Rung("fused optimiser", ours, stored, whole, keep, fused),
        ]
        # On a GPU shapes stay as they are, so nothing is skipped there either.
        if keep is None or keep.is_cuda:
            rungs = [rung for rung in rungs if rung.name != "skipped sub-layers"]
        if self.workload.compiled:
            twin = self._twin(Gato)
            twin.compile_blocks()
            last = replace(rungs[-1], name="compiled blocks", loss=partial(model_loss, twin))
            rungs.append(last)
        return rungs

    def _twin(self, kind: type[Model]) -> Model:
        """A model with the very parameters of ours."""
        with torch.device("meta"):
            model = kind(self.workload.model)
        shared: dict[str, Any] = self.model.state_dict(keep_vars=True)
        model.load_state_dict(shared, assign=True)
        return model.train()


def usual_keep(workload: Workload, rows: int) -> Tensor | None:
    """Factors of stochastic depth for some rows, drawn until they skip about as much as usual."""
    drawn = draw_keep(workload.train.seed, range(_COUNTED * rows), workload.model)
    if drawn is None:
        return None
    tries = drawn.unflatten(0, (_COUNTED, rows))
    skipped = (tries == 0).float().flatten(1).mean(1)
    return tries[(skipped - workload.model.stochastic_depth).abs().argmin()]


def representative(workload: Workload, source: WindowSource, rows: int) -> list[int]:
    """Indices of rows of the run in which no domain has more than its share, rounded up."""
    domains = {task: domain_of(task) for task in workload.shares}
    wanted = defaultdict[str, float](float)
    for task, share in workload.shares.items():
        wanted[domains[task]] += share
    taken: Counter[str] = Counter()
    found: list[int] = []
    for index in range(_SEARCHED * rows):
        name = domains[source.tasks[source.row(index).tasks[0]]]
        if taken[name] < math.ceil(wanted[name] * rows - 1e-9):
            taken[name] += 1
            found.append(index)
        if len(found) == rows:
            return found
    return list(range(rows))
