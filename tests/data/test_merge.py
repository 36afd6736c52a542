"""Merging corpora: nothing twice, nothing changed, nothing lost when it is stopped."""

import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from gato_gym.data import commit as commit_module
from gato_gym.data.corpus import Corpus
from gato_gym.data.merge import merge
from gato_gym.data.shards import pending
from gato_gym.errors import CorpusPathError, CorruptShardError, MergeConflictError


@pytest.fixture
def sources(tmp_path, make_episode):
    """Three corpora: two tasks, noise, and two episodes that stand in two of them."""
    parts = {
        "a": [(make_episode(s, steps=20), 0.0) for s in (0, 1, 2)],
        "b": [(make_episode(s, steps=20), 0.0) for s in (2, 3)],
        "c": [(make_episode(1, steps=20), 0.25), (make_episode(1, steps=20, task="other"), 0.0)],
    }
    parts["c"].append((make_episode(3, steps=20), 0.0))
    for name, episodes in parts.items():
        corpus = Corpus.create(tmp_path / name)
        for episode, noise in episodes:
            corpus.append_shard([episode], noise=noise)
    return [tmp_path / name for name in parts]


def contents(path):
    """Key -> (record bytes, manifest line) of every episode."""
    corpus = Corpus.open(path)
    return {e.key: (corpus.read_record(e), e.line()) for e in corpus.episodes()}


def test_every_episode_once_and_byte_for_byte(sources, tmp_path):
    before = [contents(path) for path in sources]
    report = merge(sources, tmp_path / "out")
    expected = {key: value for one in before for key, value in one.items()}
    assert contents(tmp_path / "out") == expected
    assert (report.episodes, report.skipped, report.steps) == (6, 2, 120)
    assert [contents(path) for path in sources] == before
    verified = Corpus.open(tmp_path / "out").verify()
    assert (verified.shards, verified.episodes, verified.orphans) == (1, 6, ())


def test_merging_again_adds_nothing(sources, tmp_path):
    merge(sources, tmp_path / "out")
    manifest = (tmp_path / "out" / "manifest.jsonl").read_bytes()
    report = merge(sources, tmp_path / "out")
    assert (report.episodes, report.skipped) == (0, 8)
    assert (tmp_path / "out" / "manifest.jsonl").read_bytes() == manifest


def test_into_one_of_the_sources(sources):
    report = merge(sources, sources[0])
    assert (report.episodes, len(Corpus.open(sources[0]))) == (3, 6)


def test_shards_are_cut_at_the_given_size(sources, tmp_path, make_episode):
    sizes = [e.size for path in sources for e in Corpus.open(path).episodes()]
    merge(sources, tmp_path / "out", shard_bytes=2 * max(sizes))
    corpus = Corpus.open(tmp_path / "out")
    by_shard = {}
    for entry in corpus.episodes():
        by_shard.setdefault(entry.shard, []).append(entry)
    assert [len(group) for group in by_shard.values()] == [2, 2, 2]
    merge(sources, tmp_path / "tiny", shard_bytes=1)
    assert Corpus.open(tmp_path / "tiny").verify().shards == 6


def test_different_bytes_under_one_key_are_refused_before_anything_is_written(
    sources, tmp_path, make_episode
):
    changed = make_episode(2, steps=20)
    changed = replace(changed, rewards=np.nextafter(changed.rewards, np.inf))
    Corpus.create(tmp_path / "d").append_shard([changed])
    with pytest.raises(MergeConflictError, match=r"episode 2 of .*/a and episode 0 of .*/d"):
        merge([*sources, tmp_path / "d"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    merge(sources, tmp_path / "out")
    with pytest.raises(MergeConflictError, match=r"of .*/out and episode 0 of .*/d"):
        merge([tmp_path / "d"], tmp_path / "out")
    assert len(Corpus.open(tmp_path / "out")) == 6


def test_a_full_disk_and_an_interrupt_lose_nothing_and_the_next_run_goes_on(
    sources, tmp_path, monkeypatch
):
    wanted = {key: value for path in sources for key, value in contents(path).items()}
    write_shard, written = commit_module.write_shard, []

    def failing(error):
        def write(path, *args):
            if len(written) % 3 == 2:
                pending(path).write_bytes(b"half")
                written.append(None)
                raise error
            written.append(write_shard(path, *args))
            return written[-1]

        return write

    monkeypatch.setattr(
        commit_module, "write_shard", failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    )
    with pytest.raises(OSError, match=r"nothing was committed: No space left on device.*out"):
        merge(sources, tmp_path / "out", shard_bytes=1)
    assert len(Corpus.open(tmp_path / "out")) == 2
    monkeypatch.setattr(commit_module, "write_shard", failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt, match=r"4 episodes are safe in .*out.*same command"):
        merge(sources, tmp_path / "out", shard_bytes=1)
    assert Corpus.open(tmp_path / "out").verify().orphans == ()
    monkeypatch.undo()
    report = merge(sources, tmp_path / "out", shard_bytes=1)
    assert (report.episodes, report.skipped) == (2, 6)
    assert contents(tmp_path / "out") == wanted


def test_a_second_merge_at_the_same_time_doubles_nothing(sources, tmp_path, monkeypatch):
    append, rival = Corpus.append_records, []

    def racing(self, records):
        if not rival:
            rival.append(True)
            merge(sources, tmp_path / "out")
        return append(self, records)

    monkeypatch.setattr(Corpus, "append_records", racing)
    report = merge(sources, tmp_path / "out")
    assert (report.episodes, report.skipped) == (0, 8)
    assert Corpus.open(tmp_path / "out").verify().episodes == 6


def test_a_changed_byte_of_a_source_is_found(sources, tmp_path):
    shard = next((sources[1] / "shards").iterdir())
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CorruptShardError, match=shard.name):
        merge(sources, tmp_path / "out")


def test_what_is_no_corpus_is_refused_before_anything_is_written(sources, tmp_path):
    with pytest.raises(CorpusPathError, match="does not exist"):
        merge([*sources, tmp_path / "none"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    with pytest.raises(CorpusPathError, match="not empty"):
        merge(sources, tmp_path / "photos")
    with pytest.raises(ValueError, match="at least one corpus"):
        merge([], tmp_path / "out")
    with pytest.raises(ValueError, match="shard_bytes"):
        merge(sources, tmp_path / "out", shard_bytes=0)


@pytest.mark.parametrize("moment", ["write_shard", "give_name", "append"])
def test_a_killed_merge_goes_on(moment, sources, tmp_path):
    """Killed at its third shard: before it is written, before its line, before its name."""
    owner = "manifest.Manifest" if moment == "append" else "commit"
    code = f"""
import os, signal, sys
from gato_gym.data import commit, manifest
from gato_gym.data.merge import merge
inner, calls = {owner}.{moment}, []
def dying(*args, **kwargs):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return inner(*args, **kwargs)
{owner}.{moment} = dying
merge(sys.argv[1:-1], sys.argv[-1], shard_bytes=1)
"""
    command = [sys.executable, "-c", code, *map(str, sources), str(tmp_path / "out")]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    committed = 3 if moment == "give_name" else 2
    assert len(Corpus.open(tmp_path / "out")) == committed
    report = merge(sources, tmp_path / "out")
    assert report.episodes == 6 - committed
    wanted = {key: value for path in sources for key, value in contents(path).items()}
    assert contents(tmp_path / "out") == wanted
    assert Corpus.open(tmp_path / "out").verify().orphans == ()
