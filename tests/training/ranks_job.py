"""Trains a toy on several ranks, for test_distributed.py: `python ranks_job.py FOLDER`.

One process imports everything once and forks the ranks of each run, which is much faster than
starting each anew. Results are tensors and JSON in FOLDER.
"""

import contextlib
import json
import os
import pickle
import socket
import sys
import traceback
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch._dynamo  # the first step of an optimizer imports it: here, once for all ranks

from gato_gym.config import ModelConfig, TrainConfig
from gato_gym.errors import CorruptCheckpointError, GatoGymError
from gato_gym.models.gato import Gato
from gato_gym.training import checkpoint
from gato_gym.training.checkpoint import Checkpoints
from gato_gym.training.distributed import clip_gradients, full_weights, join, settle, shard
from gato_gym.training.ema import Ema
from gato_gym.training.optim import learning_rate, make_optimizer

MODEL = ModelConfig(
    "toy",
    width=32,
    layers=2,
    heads=2,
    hidden=64,
    context=24,
    text_size=1024,
    patch_channels=32,
    patch_features=4,
    stochastic_depth=0.0,
)
ROWS = 8
TRAIN = TrainConfig(steps=8, batch=ROWS, warmup=2)


def row(index, images):
    """Row `index` of the run; some have images, and not the same number of targets."""
    rng = np.random.default_rng(index)
    ids = torch.from_numpy(rng.integers(0, 1024, MODEL.context))
    targets = torch.from_numpy(rng.integers(0, 1024, 6))
    targets[int(rng.integers(2, 6)) :] = -1
    if images:
        ids[2:4] = -1
    return ids, targets


def batch(indices, images):
    """The rows of one micro-batch, as the model takes them."""
    has = [images and index % 4 == 0 for index in indices]
    ids, targets = zip(*(row(i, h) for i, h in zip(indices, has, strict=True)), strict=True)
    ids, targets = torch.stack(ids), torch.stack(targets)
    patches = [np.random.default_rng([i, 1]).integers(0, 256, (2, 16, 16, 3)) for i in indices]
    patches = [p for p, h in zip(patches, has, strict=True) if h]
    patches = np.concatenate(patches) if patches else np.zeros((0, 16, 16, 3))
    return {
        "ids": ids,
        "local": torch.arange(MODEL.context).expand(len(indices), -1).contiguous(),
        "patches": torch.from_numpy(patches.astype(np.uint8)),
        "pixels": torch.arange(len(patches)),
        "positions": torch.stack([torch.arange(len(patches)) % 8] * 2, dim=1),
        "first_visible": torch.zeros_like(ids),
        "queries": torch.arange(5, 11).expand(len(indices), -1).contiguous(),
        "targets": targets,
    }


class Toy:
    """A small training loop over what is tested."""

    def __init__(self, ranks, config=TRAIN, ema=False):
        torch.manual_seed(config.seed)
        self.ranks, self.config = ranks, config
        self.model = Gato(MODEL)
        shard(self.model, ranks)
        self.optimizer = make_optimizer(self.model, config)
        for group in self.optimizer.param_groups:
            # A gradient that is zero but for rounding, as of a bias before a norm, would be divided
            # by itself: steps of full size in directions that differ between any two sums.
            group["eps"] = 1e-3
        self.ema = Ema(self.model, 0.9) if ema else None
        self.step, self.losses, self.rows = 0, [], []

    def train(self, until, images=lambda step: step > 2):
        """Steps up to `until`; no image before step 3."""
        size, rank = self.ranks.size, self.ranks.rank
        while self.step < until:
            share = ROWS // size
            mine = [self.step * ROWS + rank * share + i for i in range(share)]
            self.rows.append(mine)
            halves = [mine[: share // 2], mine[share // 2 :]]
            parts = [batch(half, images(self.step)) for half in halves if half]
            counts = torch.tensor(
                [
                    sum(int((p["targets"] >= 0).sum()) for p in parts),
                    sum(len(p["pixels"]) for p in parts),
                ]
            )
            targets, pixels = self.ranks.sum(counts).tolist()
            total = torch.zeros(())
            for i, part in enumerate(parts):
                if size > 1:
                    self.model.set_requires_gradient_sync(i == len(parts) - 1)
                loss = self.model(**part).total / targets
                loss.backward()
                total += loss.detach()
            settle(self.model, pixels > 0)
            norm = clip_gradients(self.model, 1.0)
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.config, self.step)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.step += 1
            if self.ema is not None:
                self.ema.update(self.step)
            self.losses.append([float(self.ranks.sum(total)), float(norm)])

    def look(self):
        """A loss without a gradient, as validation does."""
        with torch.no_grad():
            return float(self.model(**batch([1, 2], False)).total)

    def extra(self):
        """More tensors of a checkpoint."""
        return self.ema.tensors() if self.ema is not None else None

    def load(self, checkpoints, folder):
        """Go on from there."""
        state = checkpoints.load(folder, self.model, self.optimizer, self.extra())
        self.step = state["step"]
        return state


@contextlib.contextmanager
def without_pickle():
    """Unpickling raises, however it is asked for."""
    names = [(pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")]
    kept = [(module, name, getattr(module, name)) for module, name in names]

    def refuse(*args, **kwargs):
        raise AssertionError("unpickled")

    for module, name in names:
        setattr(module, name, refuse)
    try:
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


def keep(out, name, toy):
    """Write a toy's weights, its means and its losses to the results."""
    weights = full_weights(toy.model, toy.ranks)
    means = {k: v.full_tensor() if hasattr(v, "full_tensor") else v for k, v in toy.extra().items()}
    if toy.ranks.main:
        tensors = {k: v.contiguous() for k, v in (weights | means).items()}
        safetensors.torch.save_file(tensors, out / f"{name}.safetensors")
    facts = {"losses": toy.losses, "rows": toy.rows, "step": toy.step}
    idle = [n for n, p in toy.model.named_parameters() if p not in toy.optimizer.state]
    facts["idle"] = idle
    (out / f"{name}-{toy.ranks.rank}.json").write_text(json.dumps(facts))


def straight(out, ranks, name):
    """Eight steps; saved behind the training after four, with a look in between."""
    toy = Toy(ranks, ema=True)
    checkpoints = Checkpoints(out / name, ranks=ranks)
    assert checkpoints.newest() is None
    toy.train(2)
    idle = [n for n, p in toy.model.named_parameters() if p not in toy.optimizer.state]
    with toy.ema.swapped():
        mean = toy.look()
    plain = toy.look()
    toy.train(4)
    checkpoints.save(4, toy.model, toy.optimizer, {"tokens": 7}, extra=toy.extra())
    toy.train(8)
    checkpoints.wait()
    keep(out, f"{name}-straight", toy)
    if ranks.main:
        facts = {"idle": idle, "mean": mean, "plain": plain}
        (out / f"{name}-looks.json").write_text(json.dumps(facts))
    return checkpoints


def resumed(out, ranks, name, origin):
    """From the checkpoint of another run to eight steps; four ranks save their own after six."""
    toy = Toy(ranks, ema=True)
    checkpoints = Checkpoints(out / origin, ranks=ranks)
    with without_pickle():
        state = toy.load(checkpoints, checkpoints.newest())
    assert state["step"] == toy.step and state["tokens"] == 7, state
    if ranks.size == 4:
        toy.train(6)
        own = Checkpoints(out / name, ranks=ranks)
        own.save(6, toy.model, toy.optimizer, {"tokens": 7}, wait=True, extra=toy.extra())
    toy.train(8)
    keep(out, f"{name}-from-{origin}", toy)


def muon(out, ranks, name):
    """The other optimizer; saved while the root is whole, and loaded into another toy."""
    config = TrainConfig(steps=8, batch=ROWS, warmup=1, optimizer="muon")
    toy = Toy(ranks, config, ema=True)
    toy.train(3)
    toy.look()
    checkpoints = Checkpoints(out / f"{name}-muon", ranks=ranks)
    checkpoints.save(3, toy.model, toy.optimizer, {}, wait=True, extra=toy.extra())
    again = Toy(ranks, config, ema=True)
    again.load(checkpoints, checkpoints.newest())
    for each in (toy, again):
        each.train(5)
    keep(out, f"{name}-muon-straight", toy)
    keep(out, f"{name}-muon-again", again)


def failures(out, ranks, checkpoints):
    """What fails on one rank fails on all, and what was committed stays."""
    toy = Toy(ranks)
    newest = checkpoints.newest()
    write = checkpoint.safetensors.torch.save_file
    told = []

    def refuse(*args, **kwargs):
        raise OSError(28, "No space left on device")

    if ranks.rank == ranks.size - 1:
        checkpoint.safetensors.torch.save_file = refuse
    checkpoints.save(9, toy.model, toy.optimizer, {})
    try:
        checkpoints.wait()
    except (OSError, GatoGymError) as error:
        told.append(f"{type(error).__name__}: {error}")
    checkpoint.safetensors.torch.save_file = write
    assert checkpoints.newest() == newest
    if ranks.main:
        damaged = newest / "tensors-00002-of-00002.safetensors"
        content = bytearray(damaged.read_bytes())
        content[-5] ^= 4
        damaged.write_bytes(content)
    ranks.barrier()
    try:
        toy.load(checkpoints, newest)
    except CorruptCheckpointError as error:
        told.append(str(error))
    ranks.barrier()
    if ranks.main:
        content[-5] ^= 4
        damaged.write_bytes(content)
    ranks.barrier()
    (out / f"failures-{ranks.rank}.json").write_text(json.dumps(told))


def one(out, ranks):
    """What one process does first."""
    straight(out, ranks, "one")
    muon(out, ranks, "one")


def two(out, ranks):
    """What two ranks do."""
    checkpoints = straight(out, ranks, "two")
    resumed(out, ranks, "two", "two")
    resumed(out, ranks, "two", "one")
    muon(out, ranks, "two")
    failures(out, ranks, checkpoints)


def four(out, ranks):
    """What four ranks do."""
    resumed(out, ranks, "four", "two")


def machines(out, ranks):
    """What two machines of two ranks do: each holds the whole model."""
    resumed(out, ranks, "machines", "two")


def last(out, ranks):
    """What one process does with the checkpoints of several."""
    resumed(out, ranks, "one", "machines")
    resumed(out, ranks, "one", "two")
    resumed(out, ranks, "one", "four")
    resumed(out, ranks, "one", "one")


def launch(size, work, out, per_machine):
    """Fork the ranks, give them torchrun's environment, wait for all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(size):
        children.append(os.fork())
        if children[-1] == 0:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            if size > 1:
                os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size)}
                os.environ |= {"LOCAL_RANK": str(rank % per_machine)}
                os.environ |= {"LOCAL_WORLD_SIZE": str(per_machine)}
            code = 1
            try:
                ranks = join("cpu")
                work(out, ranks)
                ranks.leave()
                code = 0
            except BaseException:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(code)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert not any(codes), codes


if __name__ == "__main__":
    torch.set_num_threads(1)
    for number, what, on_each in (
        (1, one, 1),
        (2, two, 2),
        (4, four, 4),
        (4, machines, 2),
        (1, last, 1),
    ):
        launch(number, what, Path(sys.argv[1]), on_each)
