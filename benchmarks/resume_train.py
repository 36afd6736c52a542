"""Kill training with SIGKILL at random steps and compare with a run that nobody disturbed.

    python benchmarks/resume_train.py --json --out benchmarks/results/resume_train.json

A toy model learns two tasks (images, floats, rooms, texts) of unequal weight with stochastic depth
and micro-batches, and saves every few steps behind the training.

- one process, without and with loader processes: killed and started again until it ends. Every step
  that was done, also twice, has the same rows, loss and gradient norm to the last bit, and so have
  the weights in the end
- two ranks, then one, and one rank, then two: the rows and, within 1e-5, the losses of those that
  went on as they were
- `torchrun --nproc-per-node 2 --max-restarts 3`, one rank killed: ends by itself, with the weights
  of two undisturbed ranks to the last bit
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch._dynamo

from gato_gym.config import ModelConfig, TrainConfig
from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.data.mixture import Mixture
from gato_gym.data.windows import WindowSource
from gato_gym.envs import task_spec
from gato_gym.testing import TOY_CONTINUOUS_TASK, TOY_TASK, ToyExpert, make_toy
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training.distributed import join
from gato_gym.training.progress import StepLog
from gato_gym.training.trainer import Trainer

TASKS = (TOY_TASK, TOY_CONTINUOUS_TASK)
MODEL = ModelConfig(
    "toy",
    width=32,
    layers=2,
    heads=2,
    hidden=64,
    context=120,
    text_size=1024,
    # As in the real sizes. With 32, one per group of the norms, a bias before a norm has a gradient
    # of nothing but rounding, which AdamW makes steps of full size of.
    patch_channels=64,
    patch_features=4,
    stochastic_depth=0.3,
)
TEXTS = ["go left", "go right"] * 20
TOLERANCE = 1e-5


class Told(Trainer):
    """Writes down the rows of each step, as each rank sees them."""

    def _step(self, windows: Sequence[Any], *rest: Any) -> bool:
        step = self.step
        done = super()._step(windows, *rest)
        if done:
            rows = [int(row) for window in windows for row in window.rows]
            episodes = [names for window in windows for names in window.episodes]
            told_of = [[row, list(names)] for row, names in zip(rows, episodes, strict=True)]
            tell(self.folder, f"rows-{self.ranks.rank}", step + 1, told_of)
        return done


def tell(folder: Path, name: str, step: int, what: Any) -> None:
    """Append a line in one write, so that a kill cannot tear it."""
    line = json.dumps([step, what]).encode() + b"\n"
    descriptor = os.open(folder / f"{name}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, line)
    os.close(descriptor)


def told(folder: Path, name: str) -> dict[int, Any]:
    """Step -> what was told of it.

    Raises:
        AssertionError: a step that was done twice told different things.
    """
    found: dict[int, Any] = {}
    path = folder / f"{name}.jsonl"
    for line in path.read_text().splitlines() if path.exists() else []:
        step, what = json.loads(line)
        assert found.setdefault(step, what) == what, f"step {step} of {folder} differs"
    return found


def work(folder: Path, steps: int, workers: int) -> None:
    """Train to the end, in one process or as a rank, resuming what is there."""
    torch.set_num_threads(1)
    ranks = join("cpu")
    folder.mkdir(exist_ok=True)
    (folder / f"pid-{ranks.rank}").write_text(str(os.getpid()))
    corpus = Corpus.open(folder.parent / "corpus")
    weights = {TASKS[0]: 2.0, TASKS[1]: 1.0}
    specs = {task: task_spec(make_toy(task)) for task in TASKS}
    text = TextTokenizer.load(folder.parent / "text.model")
    vocabulary = Vocabulary(MODEL.text_size)
    source = WindowSource(corpus, Mixture(corpus, weights), specs, MODEL.context, vocabulary, text)
    config = TrainConfig(
        steps=steps,
        batch=4,
        accumulate=2,
        ema=0.9,
        log_every=1,
        save_every=5,
        loader_workers=workers,
    )
    trainer = Told(MODEL, config, source, folder, ranks=ranks)
    for log in trainer.run():
        if ranks.main and isinstance(log, StepLog):
            tell(folder, "losses", log.step, [log.loss, log.gradient_norm])
    model = trainer.trained()
    if model is not None:
        safetensors.torch.save_file(model.state_dict(), folder / "weights.safetensors")
    ranks.leave()


def make_corpus(root: Path) -> None:
    """Noisy episodes of both tasks, and the text model."""
    for task in TASKS:
        collect(
            task,
            out=root / "corpus",
            episodes=6,
            seed=0,
            expert=ToyExpert(),
            noise=0.2,
            episodes_per_shard=6,
            make_env=make_toy,
        )
    (root / "text.model").write_bytes(TextTokenizer.train(TEXTS, 512).model)


class Run:
    """Processes that train into a folder, one per rank; forked from this one, which is fast."""

    def __init__(self, folder: Path, steps: int, workers: int = 0, ranks: int = 1) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.folder, self.children = folder, []
        for rank in range(ranks):
            self.children.append(os.fork())
            if self.children[-1] == 0:
                os.setsid()  # loader processes die with it
                if ranks > 1:
                    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(ranks)}
                code = 1
                try:
                    work(folder, steps, workers)
                    code = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    sys.stderr.flush()
                    os._exit(code)

    def kill(self) -> None:
        """All of them, and what they started."""
        for child in self.children:
            os.killpg(child, signal.SIGKILL)
        self.wait()

    def wait(self) -> bool:
        """Whether all ended well."""
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self.children]
        return not any(codes)


def until(folder: Path, step: int, dice: random.Random, seconds: float = 300) -> None:
    """Wait until this step was done, and a moment more."""
    deadline = time.monotonic() + seconds
    while step not in told(folder, "rows-0"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{folder}: step {step} was not done in {seconds} s")
        time.sleep(0.005)
    time.sleep(dice.uniform(0, 0.05))


def killed(folder: Path, steps: int, kills: int, dice: random.Random, workers: int) -> None:
    """One process, killed so often at random steps, then left alone."""
    for step in sorted(dice.sample(range(2, steps), kills)):
        print(f"{folder.name}: kill at step {step}", file=sys.stderr)
        run = Run(folder, steps, workers)
        until(folder, step, dice)
        run.kill()
    assert Run(folder, steps, workers).wait(), f"{folder}: training failed"


def changed_ranks(folder: Path, steps: int, dice: random.Random, ranks: Sequence[int]) -> None:
    """Killed at a random step as so many ranks, ended as so many others."""
    run = Run(folder, steps, ranks=ranks[0])
    until(folder, dice.randrange(6, steps - 1), dice)
    run.kill()
    for told_before in folder.glob("*.jsonl"):  # the second half is what is compared
        told_before.rename(told_before.with_suffix(".before"))
    assert Run(folder, steps, ranks=ranks[1]).wait(), f"{folder}: training failed"


def elastic(folder: Path, steps: int, kills: int, dice: random.Random) -> int:
    """torchrun with one rank killed so often; how often it started them again."""
    folder.mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "--max-restarts", "3", __file__]
    command += ["--work", str(folder), "--steps", str(steps)]
    with (folder / "torchrun.log").open("w") as log:
        run = subprocess.Popen(command, stdout=log, stderr=log)
        pids = set()
        for step in sorted(dice.sample(range(2, steps - 1), kills)):
            until(folder, step, dice)
            pid = int((folder / f"pid-{dice.randrange(2)}").read_text())
            assert pid not in pids, "torchrun did not start it again"
            pids.add(pid)
            os.kill(pid, signal.SIGKILL)
        code = run.wait()
    assert code == 0, (folder / "torchrun.log").read_text()[-3000:]
    return len(pids)


def same(a: Path, b: Path) -> dict[str, bool]:
    """Compare two runs bit for bit: rows, losses and gradient norms, weights."""
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (a, b)]
    return {
        "same_rows": rows(a) == rows(b),
        "same_losses": told(a, "losses") == told(b, "losses"),
        "same_weights": weights[0] == weights[1],
    }


def rows(folder: Path) -> dict[int, list[Any]]:
    """Step -> the rows of the batch and the episodes in each, over all ranks."""
    ranks = [told(folder, f"rows-{rank}") for rank in range(2)]
    return {step: sorted([*ranks[0][step], *ranks[1].get(step, [])]) for step in ranks[0]}


def near(folder: Path, reference: Path) -> dict[str, Any]:
    """Compare what a resumed run did with the same steps of another."""
    mine, its = told(folder, "losses"), told(reference, "losses")
    found, expected = rows(folder), rows(reference)
    difference = max(abs(mine[step][0] - its[step][0]) for step in mine)
    return {
        "steps_compared": len(mine),
        "same_rows": found == {step: expected[step] for step in found},
        "largest_loss_difference": difference,
        "close_losses": difference <= TOLERANCE,
    }


def compare(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Name of a case -> how it compares with the undisturbed run."""
    steps, kills, only = options.steps, options.kills, options.only
    dice, results = random.Random(options.seed), {}
    make_corpus(root)
    for name, ranks in (("one", 1), ("two", 2)):
        if not Run(root / name, steps, ranks=ranks).wait():
            raise RuntimeError(f"the undisturbed run of {ranks} failed")
    one, two = root / "one", root / "two"
    results["two ranks beside one"] = near(two, one)
    for workers in options.workers:
        name = f"killed, {workers} loader processes"
        if "killed" in only:
            killed(root / name, steps, kills, dice, workers)
            results[name] = {"kills": kills, **same(root / name, one)}
    for ranks in ((2, 1), (1, 2)):
        name = f"{ranks[0]} -> {ranks[1]} ranks"
        if "ranks" in only:
            changed_ranks(root / name, steps, dice, ranks)
            results[name] = near(root / name, two if ranks[0] == 2 else one)
    if "torchrun" in only:
        name = "torchrun, one rank killed"
        restarts = elastic(root / name, steps, min(3, kills), dice)
        results[name] = {"restarts": restarts, **same(root / name, two)}
    return results


CASES = ("killed", "ranks", "torchrun")


def main(given: Sequence[str] | None = None) -> int:
    """Return 0 if every run equals the undisturbed one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--kills", type=int, default=3, help="of each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, nargs="+", default=(0, 2), help="loader processes")
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--json", action="store_true", help="print JSON; otherwise a sentence")
    parser.add_argument("--out", type=Path, help="file for the JSON, too")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)  # what torchrun starts
    options = parser.parse_args(given)
    if options.work is not None:
        work(options.work, options.steps, 0)
        return 0
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        torch.set_num_threads(1)
        results = compare(Path(name), options)
    wrong = [name for name, result in results.items() if False in result.values()]
    text = json.dumps(
        {
            "steps": options.steps,
            "results": results,
            "wrong": wrong,
            "seconds": round(time.monotonic() - begin),
            "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, "
            f"Python {platform.python_version()}, torch {torch.__version__}",
            "command": shlex.join(["python", *(sys.argv if given is None else given)]),
        },
        indent=1,
    )
    print(text if options.json else f"{len(results)} cases, wrong: {wrong or 'none'}")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
