"""Kill training with SIGKILL while it saves, and count what is lost. Prints JSON.

    python benchmarks/kill_checkpoint.py --kills 200 --json \
        --out benchmarks/results/kill_checkpoint.json

A process trains a toy and saves after every step, in turn behind the training and before it goes
on, and tells through a pipe which checkpoint it knows to be committed. It is killed at a random
moment and started again on the same folder. After each kill every checkpoint that is listed must
load with exactly the weights and moments of its step, and the newest must not be older than the one
that was told last. Then single bits are flipped all over a checkpoint: each must be noticed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import shlex
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from gato_gym.config import ModelConfig, TrainConfig
from gato_gym.errors import CorruptCheckpointError
from gato_gym.models.gato import Gato
from gato_gym.training.checkpoint import Checkpoints, checkpoints
from gato_gym.training.commit import step_of
from gato_gym.training.optim import make_optimizer

MODEL = ModelConfig("toy", width=64, layers=2, heads=2, hidden=128, text_size=1024)
FAILURES = ("lost", "torn", "different", "silent_flips")
# From the last checkpoint that was waited for to the kill; a save takes some tens of milliseconds.
LONGEST_SECONDS = 0.2


class Toy:
    """Weights and moments that are a function of the step, without a model's arithmetic."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = Gato(MODEL)
        self.optimizer = make_optimizer(self.model, TrainConfig())
        self.step = 0

    def advance(self) -> None:
        """One step with gradients drawn for it; the patch network has none at first."""
        generator = torch.Generator().manual_seed(self.step)
        for name, parameter in self.model.named_parameters():
            idle = self.step < 5 and "patches" in name
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.grad = None if idle else noise
        self.optimizer.step()
        self.step += 1

    def digest(self) -> str:
        """Of every bit that a checkpoint must bring back."""
        state = hashlib.sha256()
        for name, parameter in self.model.named_parameters():
            state.update(f"{name}".encode() + parameter.detach().numpy().tobytes())
            for kind, value in sorted(self.optimizer.state.get(parameter, {}).items()):
                state.update(kind.encode() + value.numpy().tobytes())
        return state.hexdigest()


def train(root: Path, pipe: int) -> None:
    """Load, then step and save until killed; each step that is known to be safe goes to `pipe`."""
    toy, kept = Toy(), Checkpoints(root)
    newest = kept.newest()
    if newest is not None:
        toy.step = kept.load(newest, toy.model, toy.optimizer)["step"]
    os.write(pipe, b"-1\n")
    while True:
        toy.advance()
        behind, saved = not toy.step % 3, toy.step
        kept.save(saved, toy.model, toy.optimizer, {}, wait=not behind)
        if behind:
            toy.advance()  # this would change what is being written, were it no copy
            kept.wait()
        os.write(pipe, b"%d\n" % saved)


def start(root: Path) -> tuple[int, int]:
    """Fork a training process; its id and the pipe that it tells."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            train(root, writing)
        finally:
            os._exit(1)
    os.close(writing)
    return child, reading


class Expected:
    """What each step must hold, from a toy that nobody disturbs."""

    def __init__(self) -> None:
        self._toy = Toy()
        self._digests = [self._toy.digest()]

    def __getitem__(self, step: int) -> str:
        while len(self._digests) <= step:
            self._toy.advance()
            self._digests.append(self._toy.digest())
        return self._digests[step]


def moment(root: Path) -> str:
    """What the kill interrupted, told by what it left."""
    unfinished = list(root.glob(".step-*.tmp"))
    if any((path / "manifest.json").exists() for path in unfinished):
        return "between the manifest and the name"
    if unfinished:
        return "while tensors were written"
    return "while an old one was deleted" if list(root.glob(".step-*.gone")) else "between saves"


def check(root: Path, reader: Checkpoints, expected: Expected, told: int, counts: Counter) -> None:
    """Load all that is listed."""
    found = checkpoints(root)
    counts["lost"] += (step_of(found[-1]) if found else 0) < told
    for folder in found:
        toy = Toy()
        try:
            step = reader.load(folder, toy.model, toy.optimizer)["step"]
        except CorruptCheckpointError as error:
            print(f"torn: {error}", file=sys.stderr)
            counts["torn"] += 1
        else:
            counts["loaded"] += 1
            counts["different"] += toy.digest() != expected[step]


def kill_all(root: Path, kills: int, seed: int) -> Counter:
    """Start, kill and check, so many times; what was counted."""
    dice, counts, expected = random.Random(seed), Counter(), Expected()
    reader, told = Checkpoints(root / "reader"), 0
    run = root / "run"
    for done in range(kills):
        child, pipe = start(run)
        with os.fdopen(pipe, "rb") as lines:
            if lines.readline() != b"-1\n":
                raise RuntimeError("the training process did not start")
            steps = [int(lines.readline()) for _ in range(dice.randint(0, 3))]
            time.sleep(dice.uniform(0, LONGEST_SECONDS))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            steps += [int(line) for line in lines if line.endswith(b"\n")]
        told = max([told, *steps])
        counts["acknowledged"] += len(steps)
        counts[moment(run)] += 1
        check(run, reader, expected, told, counts)
        counts["kills"] += 1
        if done % 20 == 19:
            print(f"{done + 1} kills, step {told}", file=sys.stderr)
    return counts


def flip_all(root: Path, flips: int, seed: int) -> Counter:
    """Flip single bits all over a checkpoint; what was noticed."""
    rng, counts = np.random.default_rng(seed), Counter()
    toy, kept = Toy(), Checkpoints(root / "flips")
    for _ in range(7):
        toy.advance()
    folder = kept.save(toy.step, toy.model, toy.optimizer, {}, wait=True)
    files = sorted(folder.iterdir())
    for done in range(flips):
        path = files[done % len(files)]
        size = path.stat().st_size
        place, bit = int(rng.integers(size)), int(rng.integers(8))
        with path.open("r+b") as file:
            flip(file, place, bit)
            # A reader each time: one that has checked a folder trusts it.
            reader = Checkpoints(root / "reader")
            try:
                reader.load(folder, toy.model, toy.optimizer)
                print(f"silent: bit {bit} of byte {place} of {path}", file=sys.stderr)
                counts["silent_flips"] += 1
            except CorruptCheckpointError:
                counts[f"flips noticed in {path.name}"] += 1
            flip(file, place, bit)
        counts["flips"] += 1
    Checkpoints(root / "reader").load(folder, toy.model, toy.optimizer)
    return counts


def flip(file: BinaryIO, place: int, bit: int) -> None:
    """Turn one bit of an open file."""
    file.seek(place)
    byte = file.read(1)[0]
    file.seek(place)
    file.write(bytes([byte ^ 1 << bit]))
    file.flush()


def main(given: Sequence[str] | None = None) -> int:
    """Return 0 if nothing was lost, torn, different or unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON; otherwise a sentence")
    parser.add_argument("--out", type=Path, help="file for the JSON, too")
    options = parser.parse_args(given)
    torch.set_num_threads(1)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        counts = kill_all(Path(name), options.kills, options.seed)
        counts += flip_all(Path(name), options.flips, options.seed)
    told = ("kills", "acknowledged", "loaded", "flips")
    result: dict[str, Any] = {key: counts[key] for key in (*told, *FAILURES)}
    result["details"] = {k: v for k, v in sorted(counts.items()) if k not in result}
    result |= {
        "seconds": round(time.monotonic() - begin),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}, torch {torch.__version__}",
        "command": shlex.join(["python", *(sys.argv if given is None else given)]),
    }
    text = json.dumps(result, indent=1)
    failed = {name: counts[name] for name in FAILURES if counts[name]}
    print(text if options.json else f"{counts['kills']} kills, {counts['flips']} flips: {failed}")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
