"""Disks and environments that fail: a clear error, committed data intact, the next run goes on."""

import builtins
import errno
import os
import pickle
import resource
import subprocess
import sys
from contextlib import contextmanager
from functools import partial

import pytest

from gato_gym.agents.experts import load_expert
from gato_gym.data import commit, shards
from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.errors import GatoGymError, InvalidEpisodeError
from gato_gym.testing import TOY_TASK, ToyExpert, make_toy


def run(out, episodes, **kwargs):
    settings = {"seed": 0, "expert": ToyExpert(), "make_env": make_toy, "episodes_per_shard": 1}
    return collect(TOY_TASK, out=out, episodes=episodes, **{**settings, **kwargs})


def check_goes_on(out, had, wanted=8):
    """The committed episodes are whole, and the next run makes exactly the others."""
    corpus = Corpus.open(out)
    report = corpus.verify()
    assert (len(corpus), report.orphans, report.torn_bytes) == (had, (), 0)
    assert not list((out / "shards").glob(".*"))
    report = run(out, wanted)
    assert (report.skipped, report.episodes) == (had, wanted - had)
    assert sorted(e.seed for e in report.corpus.episodes()) == list(range(wanted))
    assert report.corpus.verify().orphans == ()


@pytest.fixture
def disk(tmp_path):
    """A file system of its own where this process may mount one, else an ordinary folder."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(path)]
    try:
        real = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        real = False
    yield path, real
    if real:
        subprocess.run(["umount", str(path)], check=True)


@contextmanager
def full(path, real):
    """No room for another shard."""
    if real:
        filler = path / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(1 << 12))
        yield "No space left on device"
        filler.unlink()
    else:
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
        try:
            yield "File too large"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)


@contextmanager
def read_only(path, real, monkeypatch):
    """Nothing can be written."""
    if real:
        subprocess.run(["mount", "-o", "remount,ro", str(path)], check=True)
        yield
        subprocess.run(["mount", "-o", "remount,rw", str(path)], check=True)
        return
    open_, mkdir = os.open, os.mkdir

    def refuse(name):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(name))

    def opened(name, flags, *args, **kwargs):
        return refuse(name) if flags & 3 else open_(name, flags, *args, **kwargs)

    def made(name, *args, **kwargs):
        return refuse(name) if str(name).startswith(str(path)) else mkdir(name, *args, **kwargs)

    def written(*args):
        raise RuntimeError("open() failed: Read-only file system; writing")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", opened)
        patched.setattr(os, "mkdir", made)
        patched.setattr(shards, "ArrayRecordWriter", written)
        yield


def test_a_full_disk(disk):
    path, real = disk
    run(path / "c", 3)
    with (
        full(path, real) as reason,
        pytest.raises(OSError, match=f"nothing was committed: {reason}") as caught,
    ):
        run(path / "c", 8)
    assert str(path / "c") in str(caught.value)
    check_goes_on(path / "c", 3)


def test_a_disk_that_is_full_at_the_manifest_line(tmp_path, monkeypatch):
    """Half of the line fits."""
    run(tmp_path / "c", 3)
    write = os.write

    def half(descriptor, data):
        if len(data) < 200:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:150])

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(os, "write", half)
        run(tmp_path / "c", 8)
    check_goes_on(tmp_path / "c", 3)


def test_a_disk_that_loses_what_it_was_given(tmp_path, monkeypatch):
    """fsync is where the system tells that written bytes are gone; no later fsync repeats it."""
    run(tmp_path / "c", 3)
    for call in range(1, 4):  # the folder, the shard, the manifest
        fsync, calls = os.fsync, []

        def failing(descriptor, call=call, calls=calls, fsync=fsync):
            calls.append(descriptor)
            if len(calls) == call:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fsync(descriptor)

        with monkeypatch.context() as patched, pytest.raises(OSError, match="Input/output error"):
            patched.setattr(os, "fsync", failing)
            run(tmp_path / "c", 8)
        assert len(Corpus.open(tmp_path / "c")) == 3
    check_goes_on(tmp_path / "c", 3)


def test_a_read_only_folder(disk, monkeypatch, make_episode):
    path, real = disk
    run(path / "c", 3)
    corpus = Corpus.open(path / "c")
    with read_only(path, real, monkeypatch):
        for out in ("c", "new"):
            with pytest.raises(OSError, match=rf"Read-only file system.*{out}"):
                run(path / out, 8)
        with pytest.raises(OSError, match="nothing was committed: Read-only file system"):
            corpus.append_shard([make_episode(0)])
        reader = Corpus.open(path / "c")
        assert reader.verify().episodes == 3
        reader.read(reader.episodes()[0])
    assert not (path / "new").exists()
    check_goes_on(path / "c", 3)


@pytest.mark.parametrize(
    ("failure", "workers", "error", "message"),
    [
        ("nan", 1, InvalidEpisodeError, "seed 3.*reward is not finite at step 2"),
        ("nan", 2, InvalidEpisodeError, "reward is not finite at step 2"),
        ("raises", 1, RuntimeError, "the simulation is unstable"),
        ("raises", 2, RuntimeError, "the simulation is unstable"),
        ("aborts", 2, GatoGymError, "died .*exit code 134.*run the same command again"),
    ],
)
def test_an_environment_that_fails_in_an_episode(tmp_path, failure, workers, error, message):
    run(tmp_path / "c", 3)
    with pytest.raises(error, match=message):
        run(tmp_path / "c", 8, make_env=partial(make_toy, failure=failure), workers=workers)
    check_goes_on(tmp_path / "c", 3)


WRITER = """
import sys
from functools import partial
from gato_gym.data.collect import collect
from gato_gym.testing import TOY_TASK, ToyExpert, make_toy
settings = {"expert": ToyExpert(), "make_env": make_toy, "episodes_per_shard": int(sys.argv[3])}
collect(TOY_TASK, out=sys.argv[1], episodes=24, seed=int(sys.argv[2]), **settings)
"""


def test_four_writers_and_a_reader_at_once(tmp_path, assert_equal):
    """Seeds overlap, so that two writers may play the same one; one of them commits it."""
    path = tmp_path / "c"
    starts = ((0, 1), (8, 1), (16, 3), (24, 1))
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(first), str(group)])
        for first, group in starts
    ]
    seen = {}
    while any(writer.poll() is None for writer in writers):
        if (path / "corpus.json").exists():
            corpus = Corpus.open(path)
            for entry in corpus.episodes()[len(seen) :]:
                seen[entry.index] = entry, corpus.read(entry)
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    corpus = Corpus.open(path)
    assert sorted(e.seed for e in corpus.episodes()) == list(range(48))
    assert corpus.verify().orphans == ()
    assert len(seen) > 0
    for index, (entry, episode) in seen.items():
        assert corpus.episodes()[index] == entry
        assert_equal(corpus.read(entry), episode)


def test_a_writer_that_is_stopped_inside_a_commit_leaves_nothing(tmp_path, monkeypatch):
    """SIGTERM arrives as SystemExit in a worker, Ctrl-C as KeyboardInterrupt."""
    run(tmp_path / "c", 3)
    write_shard = shards.write_shard
    for error in (SystemExit(1), KeyboardInterrupt()):

        def stopped(*args, error=error):
            write_shard(*args)
            raise error

        with monkeypatch.context() as patched, pytest.raises(type(error)):
            patched.setattr(commit, "write_shard", stopped)
            run(tmp_path / "c", 8)
        assert not list((tmp_path / "c" / "shards").glob(".*"))
    check_goes_on(tmp_path / "c", 3)


def test_no_load_path_unpickles(tmp_path, monkeypatch):
    import cloudpickle
    import torch

    run(tmp_path / "c", 3)

    def refuse(*args, **kwargs):
        raise AssertionError("a load path unpickled")

    for owner in (pickle, cloudpickle):
        for name in ("load", "loads"):
            monkeypatch.setattr(owner, name, refuse)
    for name in ("Unpickler", "_Unpickler", "_load", "_loads"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(builtins, "eval", refuse)
    monkeypatch.setattr(builtins, "exec", refuse)
    corpus = Corpus.open(tmp_path / "c")
    for entry in corpus.episodes():
        corpus.read(entry)
        corpus.read_steps(entry, 0, 2)
        corpus.read_observation(entry, "position")
    assert corpus.verify().episodes == 3
    load_expert("CartPole-v1")
