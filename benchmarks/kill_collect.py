"""Kill collections with SIGKILL at random moments and count what is lost. Prints JSON.

    python benchmarks/kill_collect.py --kills 200 --out benchmarks/results/kill_collect.json

A round collects CartPole, Meta-World and ALE episodes into one corpus with `gato-gym collect` and
several processes. Its whole process group is killed, the corpus checked, the command started again,
until it ends by itself. A reader polls the corpus meanwhile and keeps the SHA-256 of every episode
that it ever saw; what it saw must be there after each kill, and in the end every record must equal
that of a collection that nobody disturbed.

Most starts fork a process that has imported everything, so that most kills fall into the making of
episodes; every tenth is the plain command. In every third, two collectors fill the same corpus.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import platform
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import gato_gym
import gato_gym.agents
import gato_gym.envs
from gato_gym.data.corpus import Corpus
from gato_gym.data.shards import pending
from gato_gym.errors import CorpusPathError, CorruptShardError

TASKS = ("CartPole-v1", "Meta-World/reach-v3", "ALE/Boxing-v5")
COLD_EVERY, TWO_WRITERS_EVERY = 10, 3
FAILURES = ("lost", "torn", "different", "gaps", "duplicates", "leftovers")
POLL_SECONDS = 0.004

Key = tuple[Any, ...]


def arguments(
    out: Path, tasks: Sequence[str], episodes: int, workers: int, group: int | None
) -> list[str]:
    """Of the command that is killed."""
    command = ["collect", *tasks, "--episodes", str(episodes), "--out", str(out)]
    command += ["--workers", str(workers)]
    return command if group is None else [*command, "--episodes-per-shard", str(group)]


class Run(Protocol):
    """A started collection: its process group, and its exit code once it has ended."""

    group: int

    def poll(self) -> int | None:
        """The exit code; None while it runs."""


class Starter:
    """A process that has imported all of it and forks collections: no two seconds per start."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,))
        self._process.start()
        theirs.close()
        self.group = 0

    def start(self, commands: list[list[str]], log: Path) -> Run:
        """Run these commands at once, in one process group of their own."""
        self._pipe.send((commands, str(log)))
        self.group = self._pipe.recv()
        return self

    def poll(self) -> int | None:
        """As of `Run`."""
        return self._pipe.recv() if self._pipe.poll() else None

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()


def _serve(pipe: Any) -> None:
    import gato_gym.cli.collect  # noqa: F401 (so that the forked ones have it)
    from gato_gym import envs
    from gato_gym.agents.experts import load_expert
    from gato_gym.data import children

    for task in TASKS:  # the packages are imported by the making
        envs.make(task).close()
        load_expert(envs.task_spec(task).expert or task)
    # The pool's processes, too: forked ones inherit the imports.
    children.CONTEXT = multiprocessing.get_context("fork")  # type: ignore[assignment]  # not spawned
    with contextlib.suppress(EOFError):
        while True:
            commands, log = pipe.recv()
            leader = os.fork()
            if leader == 0:
                _lead(commands, log)
            pipe.send(leader)
            pipe.send(os.waitstatus_to_exitcode(os.waitpid(leader, 0)[1]))


def _lead(commands: list[list[str]], log: str) -> None:
    from gato_gym.cli import main

    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    children = []
    for command in commands:
        children.append(os.fork())
        if children[-1] == 0:
            code = 1
            try:
                code = main(command)
            finally:
                sys.stdout.flush()
                os._exit(code)
    os._exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


@dataclass
class _Cold:
    """The plain command."""

    process: subprocess.Popen

    @property
    def group(self) -> int:
        return self.process.pid

    def poll(self) -> int | None:
        return self.process.poll()


def start_cold(command: list[str], log: Path) -> Run:
    """What a user's shell does."""
    with log.open("ab") as file:
        return _Cold(
            subprocess.Popen(
                [sys.executable, "-m", "gato_gym", *command],
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        )


@dataclass
class Watch:
    """The reader and all that it ever saw in one corpus."""

    path: Path
    expected: dict[Key, str]
    counts: Counter
    seen: dict[Key, str] = field(default_factory=dict)
    corpus: Corpus | None = None
    read: int = 0

    def look(self) -> int:
        """Take in what is new; returns how many episodes there are."""
        try:
            if self.corpus is None:
                self.corpus = Corpus.open(self.path)
            self.corpus.refresh()
            entries = self.corpus.episodes()
            for entry in entries[self.read :]:
                self.seen[entry.key] = _digest(self.corpus.read_record(entry))
            self.read = len(entries)
        except CorpusPathError:
            pass  # the folder is not made yet
        except CorruptShardError as e:
            print(f"torn: {e}", file=sys.stderr)
            self.counts["torn"] += 1
        return self.read

    def check(self) -> set[Key]:
        """Compare the corpus with what was seen and with what is right, after a kill."""
        self.corpus, self.read = None, 0
        try:
            corpus = Corpus.create(self.path)  # the kill may have hit the making of the folder
            corpus.verify()
            entries = corpus.episodes()
            found = {entry.key: _digest(corpus.read_record(entry)) for entry in entries}
        except CorruptShardError as e:
            print(f"torn: {e}", file=sys.stderr)
            self.counts["torn"] += 1
            return set()
        self.counts["duplicates"] += len(entries) - len(found)
        self.counts["lost"] += sum(found.get(key) != digest for key, digest in self.seen.items())
        for key in [key for key, value in found.items() if self.expected.get(key) != value]:
            print(f"different: {key}", file=sys.stderr)
            self.counts["different"] += 1
        self.seen |= found
        return set(found)


def sources() -> str:
    """A digest of the package: plain commands import it anew, so it must stay the same."""
    state = hashlib.sha256()
    for module in (gato_gym, gato_gym.agents, gato_gym.envs):
        for file in sorted(Path(str(module.__file__)).parent.rglob("*.py")):
            state.update(file.read_bytes())
    return state.hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def moment(path: Path, watch: Watch, before: int) -> str:
    """What the kill interrupted, told by what it left."""
    shards = path / "shards"
    if not (path / "corpus.json").exists():
        return "making the corpus"
    try:
        corpus = Corpus.open(path)
    except CorruptShardError:
        return "unreadable"
    named = {entry.shard for entry in corpus.episodes()}
    unfinished = {file.name for file in shards.glob(".*.tmp")}
    if unfinished & {pending(shards / name).name for name in named}:
        return "between the manifest line and the shard's name"
    if (path / "manifest.jsonl").read_bytes()[-1:] not in (b"", b"\n"):
        return "inside a manifest line"
    if unfinished:
        return "inside a shard"
    return "start-up" if len(corpus) == before else "playing"


def kills(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """One result per round, until there were enough kills."""
    dice = random.Random(options.seed)
    starter = Starter()
    log = folder / "log.txt"
    try:
        run = starter.start([arguments(folder / "whole", TASKS, options.episodes, 2, None)], log)
        while (code := run.poll()) is None:
            time.sleep(POLL_SECONDS)
        if code != 0:
            raise RuntimeError(f"the undisturbed collection failed: {log.read_text()[-2000:]}")
        whole = Corpus.open(folder / "whole")
        expected = {entry.key: _digest(whole.read_record(entry)) for entry in whole.episodes()}
        done = rounds = 0
        while done < options.kills:
            path, counts = folder / f"round-{rounds}", Counter()
            watch = Watch(path, expected, counts)
            while True:
                before = len(watch.seen)
                run = _start(options, dice, starter, path, log, done)
                wanted = before + dice.randint(1, options.between)
                code = _wait(run, watch, dice, wanted, done < options.kills)
                if code is not None:
                    break
                done += 1
                counts["kills"] += 1
                counts["kills of the plain command"] += isinstance(run, _Cold)
                counts[moment(path, watch, before)] += 1
                watch.check()
            if code != 0:
                raise RuntimeError(f"a collection failed ({code}): {log.read_text()[-2000:]}")
            _finish(path, watch, expected, counts)
            rounds += 1
            yield {"counts": counts, "committed": len(watch.seen)}
    finally:
        starter.close()


def _start(
    options: argparse.Namespace,
    dice: random.Random,
    starter: Starter,
    path: Path,
    log: Path,
    done: int,
) -> Run:
    group = dice.choice([1, 1, 3, None])
    command = arguments(path, TASKS, options.episodes, options.workers, group)
    if options.cold and done % COLD_EVERY == COLD_EVERY - 1:
        return start_cold(command, log)
    commands = [command]
    if done % TWO_WRITERS_EVERY == 0:
        commands.append(arguments(path, TASKS[::-1], options.episodes, options.workers, 1))
    return starter.start(commands, log)


def _wait(run: Run, watch: Watch, dice: random.Random, wanted: int, may_kill: bool) -> int | None:
    """Watch a run; its exit code, or None if it was killed.

    A quarter of the kills come at a time from the start on, the others a little after there are
    `wanted` episodes, so that each round gets on.
    """
    begin = time.monotonic()
    deadline = begin + dice.uniform(0, 1.5) if may_kill and dice.random() < 0.25 else None
    while True:
        code = run.poll()
        if code is not None:
            return code
        episodes = watch.look()
        if may_kill and deadline is None and episodes >= wanted:
            deadline = time.monotonic() + dice.expovariate(1 / 0.03)
        if deadline is not None and time.monotonic() >= deadline:
            break
        pause = POLL_SECONDS if deadline is None else deadline - time.monotonic()
        time.sleep(max(0.0, min(POLL_SECONDS, pause)))
    return kill(run)


def kill(run: Run) -> int | None:
    """Kill the process group; the exit code, or None if it had not ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.group, signal.SIGKILL)
    while (code := run.poll()) is None:
        time.sleep(0.001)
    return code if code >= 0 else None


def _finish(path: Path, watch: Watch, expected: dict[Key, str], counts: Counter) -> None:
    found = watch.check()
    counts["gaps"] += len(expected.keys() - found)
    counts["leftovers"] += len(list((path / "shards").glob(".*")))
    counts["leftovers"] += len(Corpus.open(path).verify().orphans)


def main(given: Sequence[str] | None = None) -> int:
    """Return 0 if nothing was lost, torn, different, missing, double or left over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--episodes", type=int, default=15, help="per task and round")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--between", type=int, default=6, help="episodes between kills, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cold", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", type=Path, help="file for the JSON, too")
    options = parser.parse_args(given)
    begin, version = time.monotonic(), sources()
    counts: Counter = Counter()
    rounds = committed = 0
    with tempfile.TemporaryDirectory() as folder:
        for result in kills(options, Path(folder)):
            rounds += 1
            committed += result["committed"]
            counts += result["counts"]
            print(f"{counts['kills']} kills, {rounds} rounds", file=sys.stderr)
    if sources() != version:
        raise RuntimeError("the package changed meanwhile: these are kills of several versions")
    moments = {
        name: count
        for name, count in sorted(counts.items())
        if name not in FAILURES and not name.startswith("kills")
    }
    result = {
        "kills": counts["kills"],
        "kills_of_the_plain_command": counts["kills of the plain command"],
        "kills_by_moment": moments,
        "rounds": rounds,
        "tasks": list(TASKS),
        "episodes_committed": committed,
        **{name: counts[name] for name in FAILURES},
        "seconds": round(time.monotonic() - begin),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}",
        "command": shlex.join(["python", *(sys.argv if given is None else given)]),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")
    return int(any(result[name] for name in FAILURES))


if __name__ == "__main__":
    sys.exit(main())
