"""Damage the files of a corpus in every way that disks and people do; count what goes unnoticed.

    python benchmarks/corrupt_corpus.py --trials 10000 --out benchmarks/results/corrupt_corpus.json

Each trial damages one corpus once: a bit, some bytes, a page of zeros, a cut, a lost, swapped or
foreign file, a lost, swapped or repeated line; in half of the trials that touch a shard, after a
reader had checked it. Then all of it is read. The damage is harmless if every episode that was
committed reads equal to the last bit, and there is no other. Else it is harmful, and must raise
CorruptShardError or CorpusPathError, from reading and from `Corpus.verify`; what still reads must
be right. Anything else is silent.

One trial is one damage: of one file, or of two that change places. A corpus that is put back whole
to an earlier state is an earlier corpus, no checksum can tell.

After every tenth trial, if its damage was harmful and not to the format file, the corpus is
repaired. Then it must verify and hold committed episodes only: all but those of shards that were
hit. Prints JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.data.repair import ASIDE, repair
from gato_gym.errors import CorpusPathError, CorruptShardError
from gato_gym.testing import TOY_CONTINUOUS_TASK, TOY_TASK, ToyExpert, make_toy
from gato_gym.types import Episode

MANIFEST, FORMAT = "manifest.jsonl", "corpus.json"
BLOCK, PAGE, SECTOR = 1 << 16, 1 << 12, 1 << 9

Files = Mapping[str, bytes]
"""A corpus' files by their name in its folder."""
Damage = dict[str, bytes | None]
"""Which files become what; None is deleted."""


def any_file(random: Random, files: Files) -> str:
    """Mostly a shard."""
    shards = shards_of(files)
    return random.choices([random.choice(shards), MANIFEST, FORMAT], [6, 3, 1])[0]


def shards_of(files: Files) -> list[str]:
    """The names of the shards."""
    return sorted(name for name in files if name.startswith("shards/"))


def place(random: Random, data: bytes) -> int:
    """A position; every other time one that holds something, as padding is most of a shard."""
    position = random.randrange(len(data))
    if random.random() < 0.5:
        return position
    return next((i for i in range(position, len(data)) if data[i]), position)


def one_bit(random: Random, files: Files) -> Damage:
    """A flipped bit."""
    name = any_file(random, files)
    data = bytearray(files[name])
    data[place(random, data)] ^= 1 << random.randrange(8)
    return {name: bytes(data)}


def some_bytes(random: Random, files: Files) -> Damage:
    """Up to 64 other bytes."""
    name = any_file(random, files)
    data = bytearray(files[name])
    start = place(random, data)
    stop = min(len(data), start + random.randint(1, 64))
    data[start:stop] = random.randbytes(stop - start)
    return {name: bytes(data)}


def two_bytes_swapped(random: Random, files: Files) -> Damage:
    """Two bytes change places."""
    name = any_file(random, files)
    data = bytearray(files[name])
    a, b = place(random, data), place(random, data)
    data[a], data[b] = data[b], data[a]
    return {name: bytes(data)}


def zeros(random: Random, files: Files) -> Damage:
    """A sector, page or block of zeros."""
    name = any_file(random, files)
    data = bytearray(files[name])
    size = random.choice([SECTOR, PAGE, BLOCK])
    start = place(random, data) // size * size
    stop = min(len(data), start + size)
    data[start:stop] = bytes(stop - start)
    return {name: bytes(data)}


def cut(random: Random, files: Files) -> Damage:
    """The end is missing: anywhere, or from a border of 64 KiB, a page or a sector on."""
    name = any_file(random, files)
    data = files[name]
    step = random.choice([1, SECTOR, PAGE, BLOCK, BLOCK])
    return {name: data[: random.randrange(0, len(data), step)]}


def longer(random: Random, files: Files) -> Damage:
    """Something follows the end."""
    name = any_file(random, files)
    tail = random.choice([b"\0", b"\n", b"{", random.randbytes(40), random.randbytes(40) + b"\n"])
    return {name: files[name] + tail}


def shards_swapped(random: Random, files: Files) -> Damage:
    """Two shards have changed places."""
    a, b = random.sample(shards_of(files), 2)
    return {a: files[b], b: files[a]}


def shard_copied_over(random: Random, files: Files) -> Damage:
    """A shard has the bytes of another one."""
    a, b = random.sample(shards_of(files), 2)
    return {a: files[b]}


def file_lost(random: Random, files: Files) -> Damage:
    """A file is missing."""
    return {any_file(random, files): None}


def shard_renamed(random: Random, files: Files) -> Damage:
    """A shard has another name."""
    name = random.choice(shards_of(files))
    return {name: None, _unknown_name(random): files[name]}


def shard_added(random: Random, files: Files) -> Damage:
    """One shard too many."""
    return {_unknown_name(random): files[random.choice(shards_of(files))]}


def _unknown_name(random: Random) -> str:
    return f"shards/toy-{random.getrandbits(128):032x}.array_record"


def line_cut_short(random: Random, files: Files) -> Damage:
    """The last line of the manifest is not whole, or gone."""
    data = files[MANIFEST]
    last = data[:-1].rfind(b"\n") + 1
    return {MANIFEST: data[: random.randrange(last, len(data))]}


def last_lines_lost(random: Random, files: Files) -> Damage:
    """An older manifest."""
    lines = files[MANIFEST].splitlines(keepends=True)
    return {MANIFEST: b"".join(lines[: random.randrange(len(lines))])}


def lines_swapped(random: Random, files: Files) -> Damage:
    """Two lines have changed places."""
    lines = files[MANIFEST].splitlines(keepends=True)
    a, b = random.sample(range(len(lines)), 2)
    lines[a], lines[b] = lines[b], lines[a]
    return {MANIFEST: b"".join(lines)}


def line_lost_or_doubled(random: Random, files: Files) -> Damage:
    """A line is missing or there twice."""
    lines = files[MANIFEST].splitlines(keepends=True)
    number = random.randrange(len(lines))
    lines[number : number + 1] = random.choice([[], [lines[number]] * 2])
    return {MANIFEST: b"".join(lines)}


def torn_append(random: Random, files: Files) -> Damage:
    """What a killed writer leaves: the beginning of a line and its unfinished shard. Harmless."""
    lines = files[MANIFEST].splitlines(keepends=True)
    line = random.choice(lines)
    tail = line[: random.randrange(1, len(line) - 1)]
    half = files[shards_of(files)[0]][: random.randrange(BLOCK)]
    name = _unknown_name(random).replace("shards/", "shards/.") + ".tmp"
    return {MANIFEST: files[MANIFEST] + tail, name: half}


DAMAGES: tuple[Callable[[Random, Files], Damage], ...] = (
    *(one_bit,) * 6,
    *(some_bytes, two_bytes_swapped, zeros, cut, line_cut_short) * 2,
    longer,
    shards_swapped,
    shard_copied_over,
    file_lost,
    shard_renamed,
    shard_added,
    last_lines_lost,
    lines_swapped,
    line_lost_or_doubled,
    torn_append,
)


def digest(episode: Episode) -> str:
    """Of every value, type and name in it."""
    state = hashlib.sha256()
    facts = [episode.task, episode.expert, episode.seed, episode.terminated, episode.success]
    state.update(repr([*facts, sorted(episode.versions.items())]).encode())
    arrays = {"actions": episode.actions, "rewards": episode.rewards, **episode.observations}
    assert episode.expert_actions is not None  # the constructor fills it in
    for name, values in {**arrays, "expert_actions": episode.expert_actions}.items():
        state.update(repr((name, values.dtype.str, values.shape)).encode())
        state.update(np.ascontiguousarray(values).tobytes())
    return state.hexdigest()


class Trials:
    """One corpus that is damaged and put right again and again."""

    def __init__(self, path: Path) -> None:
        for task, noise in ((TOY_TASK, 0.3), (TOY_CONTINUOUS_TASK, 0.0), (TOY_TASK, 0.0)):
            collect(
                task,
                out=path,
                episodes=4,
                seed=0,
                noise=noise,
                expert=ToyExpert(),
                make_env=make_toy,
                episodes_per_shard=2,
            )
        self.path, self.repairs = path, 0
        self.files = {
            str(file.relative_to(path)): file.read_bytes()
            for file in sorted(path.rglob("*"))
            if file.is_file()
        }
        corpus = Corpus.open(path)
        self.episodes = [(e, corpus.read(e)) for e in corpus.episodes()]
        self.digests = [digest(episode) for _, episode in self.episodes]

    def run(self, random: Random, repaired: bool = False) -> tuple[str, str]:
        """Damage, read, perhaps repair, put right; the kind of damage and what came of it."""
        kind = random.choice(DAMAGES)
        damage = kind(random, self.files)
        corpus = None
        in_place = all(name in self.files and name.startswith("shards/") for name in damage)
        if in_place and random.random() < 0.5:
            corpus = Corpus.open(self.path)
            corpus.check(corpus.tasks())
        name = kind.__name__ if corpus is None else f"{kind.__name__} under an open reader"
        try:
            self._write(damage)
            outcome = self._outcome(random, corpus)
            if outcome == "raised" and self._verifies():
                outcome = "silent: verify finds nothing"
            if repaired and outcome == "raised" and FORMAT not in damage:
                self.repairs += 1
                outcome = self._repaired(damage)
                self._put_right()
            return name, outcome
        finally:
            self._write({name: self.files.get(name) for name in damage})

    def _put_right(self) -> None:
        shutil.rmtree(self.path / ASIDE, ignore_errors=True)
        for file in (self.path / "shards").iterdir():
            file.unlink()
        self._write(dict(self.files))

    def _repaired(self, damage: Damage) -> str:
        try:
            report = repair(self.path)
            Corpus.open(self.path).verify()
        except Exception as e:
            return f"silent: not repaired, {type(e).__name__}: {e}"
        corpus = Corpus.open(self.path)
        right = {
            entry.key: which for (entry, _), which in zip(self.episodes, self.digests, strict=True)
        }
        found = {entry.key: digest(corpus.read(entry)) for entry in corpus.episodes()}
        if len(found) != len(corpus) or not found.items() <= right.items():
            return "silent: repaired with other episodes"
        hit = {Path(name).name for name in damage if name in self.files}
        spared = {e.key for e, _ in self.episodes if e.shard not in hit}
        if not spared <= found.keys():
            return f"silent: repaired without what was whole: {report}"
        return "raised"

    def _write(self, damage: Damage) -> None:
        for name, data in damage.items():
            if data is None:
                (self.path / name).unlink(missing_ok=True)
            else:
                (self.path / name).write_bytes(data)

    def _outcome(self, random: Random, corpus: Corpus | None) -> str:
        try:
            corpus = Corpus.open(self.path) if corpus is None else corpus
        except (CorruptShardError, CorpusPathError):
            return "raised"
        except Exception as e:
            return f"silent: undocumented {type(e).__name__} from open"
        entries = corpus.episodes()
        raised = 0
        for entry, (committed, episode), right in zip(
            entries, self.episodes, self.digests, strict=False
        ):
            start = random.randrange(len(episode))
            stop = random.randint(start + 1, len(episode))
            try:
                if entry != committed:
                    return "silent: another episode"
                steps = corpus.read_steps(entry, start, stop)
                if not _equal(steps, episode, start, stop) or digest(corpus.read(entry)) != right:
                    return "silent: other values"
            except CorruptShardError:
                raised += 1
            except Exception as e:
                return f"silent: undocumented {type(e).__name__} from read"
        if raised:
            return "raised"
        return "harmless" if len(entries) == len(self.episodes) else "silent: other episodes"

    def _verifies(self) -> bool:
        try:
            Corpus.open(self.path).verify()
        except (CorruptShardError, CorpusPathError):
            return False
        return True


def _equal(steps: dict[str, Any], episode: Episode, start: int, stop: int) -> bool:
    assert episode.expert_actions is not None  # the constructor fills it in
    pairs = [(steps["actions"], episode.actions[start:stop])]
    pairs += [(steps["expert_actions"], episode.expert_actions[start:stop])]
    pairs += [(v, episode.observations[k][start:stop]) for k, v in steps["observations"].items()]
    return len(pairs) == 2 + len(episode.observations) and all(
        a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs
    )


def main(given: Sequence[str] | None = None) -> int:
    """Return 0 if no damage was silent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file for the JSON, too")
    options = parser.parse_args(given)
    begin = time.monotonic()
    by_damage: dict[str, Counter] = {}
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(Path(folder) / "corpus")
        for number in range(options.trials):
            kind, outcome = trials.run(Random(f"{options.seed} {number}"), number % 10 == 0)
            by_damage.setdefault(kind, Counter())[outcome.partition(":")[0]] += 1
            if outcome.startswith("silent"):
                print(f"trial {number}, {kind}: {outcome}", file=sys.stderr)
        intact = len(Corpus.open(trials.path).episodes()) == Corpus(trials.path).verify().episodes
    assert intact, "the benchmark did not put the corpus right"
    total = sum(by_damage.values(), Counter())
    harmful = total["raised"] + total["silent"]
    result = {
        "trials": options.trials,
        "harmful": harmful,
        "raised": total["raised"],
        "raised_share": total["raised"] / harmful,
        "silent": total["silent"],
        "harmless": total["harmless"],
        "repaired": trials.repairs,
        "by_damage": {kind: dict(by_damage[kind]) for kind in sorted(by_damage)},
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
    return int(total["silent"] > 0)


if __name__ == "__main__":
    sys.exit(main())
