"""Play with the weights of a running training, in a process of its own.

Every so often the weights are written as an agent, and `python -m gato_gym.cli.rollouts` plays the
tasks in turn: on the CPU, in one thread, with the lowest priority. Training goes on meanwhile and
does not care how that process ends. There is one at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from gato_gym.cli.choose_tasks import choose_tasks
from gato_gym.cli.players import load_gato
from gato_gym.data.mixture import DOMAIN
from gato_gym.envs.registry import domain_of, named_by_data, resolve
from gato_gym.evaluation.aggregate import summarize
from gato_gym.evaluation.batched import TOGETHER
from gato_gym.evaluation.scores import Score, evaluate

FOLDER = "rollouts"
SCORES = "scores.jsonl"
_MESSAGE = 300


@dataclass(frozen=True)
class Played:
    """What became of the rollouts of a step.

    scores    of the tasks that were played
    failed    task -> why it was not
    problem   why the process ended early, "" if it did not
    skipped   how many others were due meanwhile and left out
    """

    step: int
    seconds: float
    scores: tuple[Score, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    skipped: int = 0

    @cached_property
    def domains(self) -> dict[str, dict[str, Any]]:
        """Normalised scores by domain, see `summarize`."""
        return summarize(self.scores, {score.task: domain_of(score.task) for score in self.scores})

    def to_json(self) -> dict[str, Any]:
        """A line of rollouts.jsonl."""
        kept = ("episodes", "mean_return", "ci95", "normalized", "success_rate", "mean_length")
        return {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "domains": self.domains,
            "tasks": {
                s.task: {k: v for k, v in s.to_json().items() if k in kept} for s in self.scores
            },
            "failed": dict(self.failed),
            "problem": self.problem,
        }

    def scalars(self) -> dict[str, float]:
        """For TensorBoard: rollouts/DOMAIN/mean and iqm, rollouts/return/TASK."""
        values = {f"rollouts/return/{score.task}": score.mean_return for score in self.scores}
        for domain, found in self.domains.items():
            for name in ("mean", "iqm"):
                if found[name] is not None:
                    values[f"rollouts/{name}/{domain}"] = found[name]
        return values

    def line(self) -> str:
        """One line for people."""
        told = [
            f"{domain} {found['mean']:.2f} (IQM {found['iqm']:.2f})"
            for domain, found in self.domains.items()
            if found["count"]
        ]
        unknown = [s for s in self.scores if s.normalized is None]
        told += [f"{score.task} return {score.mean_return:.1f}" for score in unknown]
        told += [f"{task} failed: {why}" for task, why in self.failed.items()]
        told += [self.problem] if self.problem else []
        if self.skipped > 1:
            told.append(f"{self.skipped} that were due meanwhile were left out")
        return f"rollouts of step {self.step}, normalised: {'; '.join(told)}"


def rollout_tasks(known: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Which tasks to play: `wanted` ids, patterns and "domain:NAME", else all of `known`.

    Args:
        known: tasks that the run trains on.
        wanted: what a person asks for; may name tasks that the run does not train on.

    Raises:
        UnknownTaskError, MissingExtraError: a task that there is not, or not here.
    """
    if not wanted:
        return [named_by_data(task) for task in known]
    names = [name for name in wanted if not name.startswith(DOMAIN)]
    domains = [name.removeprefix(DOMAIN) for name in wanted if name.startswith(DOMAIN)]
    chosen = choose_tasks(names, domains, lambda spec: spec.id in known, "is trained on")
    for task in chosen:
        resolve(task)
    return chosen


class Rollouts:
    """Rollouts of a run, in the background; use it as a context manager.

    Args:
        folder: of the run; "rollouts" in it holds what is being played, nothing afterwards.
        tasks: which to play, see `rollout_tasks`.
        every: steps between them; 0 = never.
        episodes: of each task.
        seed: of the first episode.
        step: where the run begins or resumes.
        tell: shows a line to a person.
    """

    def __init__(
        self,
        folder: Path,
        tasks: Sequence[str],
        every: int,
        episodes: int = 10,
        seed: int = 7000,
        step: int = 0,
        *,
        tell: Callable[[str], None],
    ) -> None:
        for name, value, least in (("every", every, 0), ("episodes", episodes, 1)):
            if value < least:
                raise ValueError(f"--eval-{name} must be at least {least}, got {value}")
        self.tasks, self.every, self.episodes, self.seed = list(tasks), every, episodes, seed
        self._root, self._tell, self._seen = folder / FOLDER, tell, step
        self._process: subprocess.Popen | None = None
        self._step, self._began = step, 0.0
        self._skipped = 0
        self._ended: list[Played] = []

    def due(self, step: int) -> bool:
        """Whether a multiple of `every` was passed since the last call; the same on all ranks."""
        if not self.every:
            return False
        before, self._seen = self._seen, step
        return step // self.every > before // self.every

    def start(self, step: int, write: Callable[[Path], object]) -> None:
        """Play the weights that `write(folder)` saves as an agent, unless others are being played.

        Trouble with the files or the process is told, not raised: training goes on.
        """
        if self._running():
            if not self._skipped:
                running = f"those of step {self._step} are running"
                self._tell(f"rollouts of step {step} left out: {running}")
            self._skipped += 1
            return
        self._collect()
        folder = self._folder(step)
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            write(folder / "agent")
            self._process = self._spawn(folder)
        except Exception as error:  # a full disk has many faces
            shutil.rmtree(folder, ignore_errors=True)
            self._tell(f"rollouts of step {step} could not start: {error}")
        else:
            self._step, self._began, self._skipped = step, time.monotonic(), 0

    def poll(self) -> list[Played]:
        """The rollouts that have ended since the last call."""
        if not self._running():
            self._collect()
        ended, self._ended = self._ended, []
        return ended

    def finish(
        self,
        step: int,
        write: Callable[[Path], object],
        leave: Callable[[], bool] = lambda: False,
    ) -> Iterator[Played]:
        """Wait for what is running, then play the last weights if they were not.

        Args:
            step, write: as of `start`.
            leave: is asked while waiting; once it is true, what is running is stopped.

        Yields:
            What was played, as soon as it was.
        """
        self._wait(leave)
        yield from self.poll()
        if self.every and self._step != step and not leave():
            self.start(step, write)
            self._wait(leave)
        self.stop()
        yield from self.poll()

    def _wait(self, leave: Callable[[], bool]) -> None:
        if self._running():
            self._tell(f"waiting for the rollouts of step {self._step}")
        while self._running() and not leave():
            time.sleep(0.1)
        if not self._running():
            self._collect()

    def _running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _collect(self) -> None:
        """Take the result of a process that has ended."""
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.stdin is not None:
            process.stdin.close()
        folder = self._folder(self._step)
        problem = ""
        if process.returncode:
            told = _tail(folder / "stderr")
            problem = f"the process ended with code {process.returncode}{told and ': '}{told}"
        scores, failed = _read(folder / SCORES)
        shutil.rmtree(folder, ignore_errors=True)
        seconds = time.monotonic() - self._began
        self._ended.append(
            Played(self._step, seconds, tuple(scores), failed, problem, self._skipped)
        )

    def stop(self) -> None:
        """End what is running, without a result."""
        if not self._running():
            self._collect()
            return
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        self._tell(f"rollouts of step {self._step} were still running and are ended")
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        shutil.rmtree(self._folder(self._step), ignore_errors=True)

    def __enter__(self) -> Rollouts:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _folder(self, step: int) -> Path:
        return self._root / f"step-{step:08d}"

    def _spawn(self, folder: Path) -> subprocess.Popen:
        command = [sys.executable, "-m", "gato_gym.cli.rollouts", str(folder / "agent")]
        command += ["--out", str(folder / SCORES), "--episodes", str(self.episodes)]
        command += ["--seed", str(self.seed), "--tasks", *self.tasks]
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
        with (folder / "stderr").open("wb") as errors:
            # A session of its own: Ctrl-C is for the training, which then ends this one. Should
            # training be killed, its end of the pipe closes, which ends it too.
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=os.environ | threads | {"CUDA_VISIBLE_DEVICES": ""},
                start_new_session=True,
            )


def _read(path: Path) -> tuple[list[Score], dict[str, str]]:
    scores, failed = [], {}
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:  # cut off when the process was killed
            break
        if "error" in line:
            failed[line["task"]] = line["error"]
        else:
            parts = {"ci95": tuple(line["ci95"]), "returns": tuple(line["returns"])}
            scores.append(Score(**line | parts))
    return scores, failed


def _tail(path: Path) -> str:
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    told = [line for line in lines if line.strip()]
    return told[-1].strip()[-_MESSAGE:] if told else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play tasks in turn and write a line for each; one that fails costs only itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("agent", help="folder")
    parser.add_argument("--tasks", nargs="+", required=True)
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=7000)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    agent = load_gato(options.agent, device="cpu")
    for task in options.tasks:
        line: dict[str, Any]
        try:
            line = evaluate(
                task, agent, episodes=options.episodes, seed=options.seed, num_envs=TOGETHER
            ).to_json()
        except Exception as error:
            told = " ".join(str(error).split())[:_MESSAGE]
            line = {"task": task, "error": f"{type(error).__name__}: {told}"}
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    return 0


def _end_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin: a thread that waits in it breaks the end of Python
        pass
    os._exit(1)


if __name__ == "__main__":
    os.nice(19)
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(main())
