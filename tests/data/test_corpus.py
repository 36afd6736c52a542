"""A corpus: commit, reading, errors of paths and disks."""

import json
import multiprocessing
import os
import pickle
import re
import resource
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gato_gym.data import commit as commit_module
from gato_gym.data import manifest as manifest_module
from gato_gym.data import shards as shards_module
from gato_gym.data.corpus import Corpus
from gato_gym.errors import CorpusPathError, CorruptShardError, UnknownTaskError


@pytest.fixture
def corpus(tmp_path, make_episode):
    corpus = Corpus.create(tmp_path / "corpus")
    corpus.append_shard([make_episode(0), make_episode(1, task="other")])
    corpus.append_shard([make_episode(2)], noise=0.25)
    return corpus


def test_what_is_committed_reads_equal(corpus, make_episode, assert_equal):
    entries = Corpus.open(corpus.path).episodes()
    assert [(e.index, e.record, e.task, e.seed, e.noise) for e in entries] == [
        (0, 0, "toy", 0, 0.0),
        (1, 1, "other", 1, 0.0),
        (2, 0, "toy", 2, 0.25),
    ]
    for entry in entries:
        episode = make_episode(entry.seed, task=entry.task)
        assert_equal(corpus.read(entry), episode)
        assert (entry.steps, entry.episode_return) == (len(episode), episode.episode_return)
        assert (entry.success, entry.expert) == (episode.success, episode.expert)
        assert entry.versions == episode.versions
    assert {key: tuple(leaf) for key, leaf in entries[0].observations.items()} == {
        "goal": ("text", "<U10", ()),
        "image": ("image", "|u1", (32, 48, 3)),
        "position": ("continuous", "<f4", (2,)),
        "room": ("discrete", "<i8", ()),
    }
    assert tuple(entries[0].actions) == ("discrete", "<i8", ())


def test_read_steps_equals_slicing(corpus):
    entry = corpus.episodes("toy")[0]
    episode = corpus.read(entry)
    for start, stop in [(0, 1), (0, 200), (199, 200), (50, 180), (149, 151)]:
        steps = corpus.read_steps(entry, start, stop)
        assert steps.keys() == {"observations", "actions", "expert_actions"}
        assert steps["observations"].keys() == episode.observations.keys()
        for key, values in steps["observations"].items():
            np.testing.assert_array_equal(values, episode.observations[key][start:stop])
        np.testing.assert_array_equal(steps["actions"], episode.actions[start:stop])
        np.testing.assert_array_equal(steps["expert_actions"], episode.expert_actions[start:stop])


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 3), (5, 2), (0, 201), (200, 201)])
def test_a_range_outside_the_episode_is_refused(corpus, start, stop):
    with pytest.raises(IndexError, match="200 steps"):
        corpus.read_steps(corpus.episodes()[0], start, stop)


def test_stats_tasks_and_views(corpus):
    stats = corpus.stats()
    assert json.loads(json.dumps(stats)) == stats
    assert (stats["episodes"], stats["tasks"], stats["steps"]) == (3, 2, 600)
    assert stats["bytes"] == sum(p.stat().st_size for p in (corpus.path / "shards").iterdir())
    assert stats["by_task"]["toy"]["episodes"] == 2
    returns = [e.episode_return for e in corpus.episodes("toy")]
    assert stats["by_task"]["toy"]["mean_return"] == pytest.approx(np.mean(returns))
    assert corpus.tasks() == ("other", "toy")
    assert len(corpus) == 3
    with pytest.raises(UnknownTaskError, match="holds other, toy"):
        corpus.episodes("toi")


def test_verify_reports(corpus):
    for name in ("notes.txt", ".toy-0.array_record.tmp"):
        (corpus.path / "shards" / name).write_bytes(b"?")
    report = corpus.verify()
    assert (report.shards, report.episodes, report.steps) == (2, 3, 600)
    assert report.orphans == (".toy-0.array_record.tmp", "notes.txt")
    assert report.torn_bytes == 0


def test_a_pickled_copy_sees_the_same(corpus, assert_equal):
    copy = pickle.loads(pickle.dumps(corpus))
    assert copy.episodes() == corpus.episodes()
    assert_equal(copy.read(copy.episodes()[1]), corpus.read(corpus.episodes()[1]))


def test_a_small_cache_and_many_shards_change_nothing(tmp_path, make_episode, assert_equal):
    corpus = Corpus.create(tmp_path / "c")
    for seed in range(20):
        corpus.append_shard([make_episode(seed, steps=3)])
    small = Corpus(corpus.path, cache_bytes=20_000)
    small.refresh()
    for seed in np.random.default_rng(0).integers(0, 20, 60):
        assert_equal(small.read(small.episodes()[seed]), make_episode(int(seed), steps=3))
    assert small._cached_bytes <= 20_000
    assert len(small._readers) <= 16


def test_threads_read_and_write_at_once(corpus, make_episode):
    expected = {e.index: corpus.read(e).observations["image"] for e in corpus.episodes()}
    fresh = Corpus(corpus.path, cache_bytes=300_000)
    fresh.refresh()
    writer = threading.Thread(
        target=lambda: [fresh.append_shard([make_episode(s, steps=4)]) for s in range(100, 110)]
    )
    writer.start()

    def read(number: int) -> bool:
        entry = fresh.episodes()[number % 3]
        start = number * 7 % 150
        found = fresh.read_steps(entry, start, start + 40)["observations"]["image"]
        return np.array_equal(found, expected[entry.index][start : start + 40])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(200)))
    writer.join()
    assert len(Corpus.open(corpus.path)) == 13


def test_parallel_writers_lose_nothing(tmp_path):
    Corpus.create(tmp_path / "c")
    code = (
        "import sys; from gato_gym.testing import *; from gato_gym.data.collect import collect\n"
        "collect(TOY_TASK, out=sys.argv[1], episodes=12, seed=int(sys.argv[2]),"
        " expert=ToyExpert(), make_env=make_toy)"
    )
    # Seeds 0..11 and 6..17 overlap: both may play 6..11, one of them commits each.
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "c"), str(first)])
        for first in (0, 6)
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    corpus = Corpus.open(tmp_path / "c")
    assert sorted(e.seed for e in corpus.episodes()) == list(range(18))
    assert corpus.verify().orphans == ()


def test_episodes_already_committed_are_left_out(corpus, make_episode):
    again = [make_episode(0), make_episode(9), make_episode(1, task="other")]
    assert [e.seed for e in corpus.append_shard(again, skip_committed=True)] == [9]
    assert corpus.append_shard(again, skip_committed=True) == ()
    assert len(Corpus.open(corpus.path)) == 4
    assert corpus.verify().orphans == ()


def test_a_mistyped_path_says_what_to_do(corpus, tmp_path):
    with pytest.raises(CorpusPathError, match=r"does not exist.*Did you mean '.*corpus'.*collect"):
        Corpus.open(tmp_path / "corpsu")
    (tmp_path / "photos").mkdir()
    with pytest.raises(CorpusPathError, match=r"has no corpus\.json"):
        Corpus.open(tmp_path / "photos")
    (tmp_path / "photos" / "cat.png").write_bytes(b"")
    with pytest.raises(CorpusPathError, match="not empty"):
        Corpus.create(tmp_path / "photos")
    with pytest.raises(CorpusPathError, match="already"):
        Corpus.create(corpus.path, exist_ok=False)
    with pytest.raises(CorpusPathError, match="not empty"):
        Corpus.create(tmp_path / "photos" / "cat.png")


def test_create_after_a_killed_create(tmp_path):
    (tmp_path / "c" / "shards").mkdir(parents=True)
    (tmp_path / "c" / "corpus.0.tmp").write_bytes(b"{")
    assert len(Corpus.create(tmp_path / "c")) == 0


def test_a_newer_format_is_named(corpus):
    path = corpus.path / "corpus.json"
    path.write_text(path.read_text().replace("1", "2"))
    with pytest.raises(CorpusPathError, match="version 2"):
        Corpus.open(corpus.path)


def _refuse(*args, **kwargs):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (commit_module, "write_shard"),
        (shards_module, "fsync"),
        (manifest_module.fcntl, "flock"),
        (manifest_module.os, "write"),
        (manifest_module.os, "fsync"),
    ],
)
def test_a_disk_error_leaves_everything_as_it_was(
    corpus, make_episode, assert_equal, monkeypatch, owner, name
):
    before = sorted(p.name for p in (corpus.path / "shards").iterdir())
    manifest = (corpus.path / "manifest.jsonl").read_bytes()
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left") as caught:
        patched.setattr(owner, name, _refuse)
        corpus.append_shard([make_episode(5)])
    assert str(corpus.path) in str(caught.value)
    assert "nothing was committed" in str(caught.value)
    assert sorted(p.name for p in (corpus.path / "shards").iterdir()) == before
    assert (corpus.path / "manifest.jsonl").read_bytes() == manifest
    corpus.append_shard([make_episode(5)])
    assert_equal(corpus.read(corpus.episodes()[-1]), make_episode(5))
    assert Corpus.open(corpus.path).verify().episodes == 4


def test_an_interrupt_after_the_commit_keeps_the_shard(corpus, make_episode, monkeypatch):
    append = manifest_module.Manifest.append

    def interrupted(self, *args):
        append(self, *args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(manifest_module.Manifest, "append", interrupted)
        corpus.append_shard([make_episode(5)])
    assert Corpus.open(corpus.path).verify().episodes == 4


def test_short_writes_are_continued(corpus, make_episode, monkeypatch):
    write = os.write
    monkeypatch.setattr(manifest_module.os, "write", lambda fd, data: write(fd, data[:100]))
    corpus.append_shard([make_episode(5)])
    assert Corpus.open(corpus.path).verify().episodes == 4


def test_a_full_disk_inside_the_shard_writer(corpus, make_episode):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = sorted(p.name for p in (corpus.path / "shards").iterdir())
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
        with pytest.raises(OSError, match="nothing was committed"):
            corpus.append_shard([make_episode(5)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert sorted(p.name for p in (corpus.path / "shards").iterdir()) == before
    assert Corpus.open(corpus.path).verify().episodes == 3


def test_a_writer_that_hides_an_error_is_caught(corpus, make_episode, monkeypatch):
    from gato_gym.data import shards

    class Silent(shards.ArrayRecordWriter):
        def write(self, record):
            return super().write(record[:-1] + bytes([record[-1] ^ 1]))

    monkeypatch.setattr(shards, "ArrayRecordWriter", Silent)
    with pytest.raises(OSError, match="does not read back"):
        corpus.append_shard([make_episode(5)])
    assert len(Corpus.open(corpus.path)) == 3


def test_a_shard_that_cannot_get_its_name_is_committed_all_the_same(
    corpus, make_episode, assert_equal, monkeypatch, caplog
):
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", _refuse)
        corpus.append_shard([make_episode(5)])
    assert "keeps its temporary name" in caplog.text
    copy = Corpus.open(corpus.path)
    report = copy.verify()
    assert (report.episodes, report.orphans) == (4, ())
    assert_equal(copy.read(copy.episodes()[-1]), make_episode(5))
    assert corpus.remove_leftovers() == 0
    assert not list((corpus.path / "shards").glob(".*"))
    assert_equal(copy.read(copy.episodes()[-1]), make_episode(5))
    assert Corpus.open(corpus.path).verify().episodes == 4


def test_leftovers_of_killed_writers_are_removed(corpus):
    for name in ("a", "b"):
        (corpus.path / "shards" / f".{name}.array_record.tmp").write_bytes(b"1")
    assert corpus.remove_leftovers() == 2
    assert corpus.verify().orphans == ()


def test_leftovers_stay_while_somebody_writes(corpus, make_episode, monkeypatch):
    """A temporary file may be that of the other writer, unless it is old."""
    shards = corpus.path / "shards"
    old = shards / ".a.array_record.tmp"
    old.write_bytes(b"1")
    os.utime(old, (0, 0))
    other, removed = Corpus.open(corpus.path), []
    write = commit_module.write_shard

    def meanwhile(*args):
        entry = write(*args)
        removed.append(other.remove_leftovers())
        return entry

    monkeypatch.setattr(commit_module, "write_shard", meanwhile)
    corpus.append_shard([make_episode(5)])
    assert removed == [1] and not old.exists()
    assert Corpus.open(corpus.path).verify().episodes == 4


def test_an_entry_of_another_corpus_is_refused(corpus, tmp_path, make_episode):
    other = Corpus.create(tmp_path / "other")
    (entry,) = other.append_shard([make_episode(3)])
    with pytest.raises(CorruptShardError, match="not in the manifest"):
        corpus.read(entry)


def test_the_shard_name_comes_from_the_task(tmp_path, make_episode):
    corpus = Corpus.create(tmp_path / "c")
    (entry,) = corpus.append_shard([make_episode(steps=2, task="ALE/../Boxing v5")])
    assert re.fullmatch(r"ALE-Boxing-v5-[0-9a-f]{32}\.array_record", entry.shard)


def test_an_empty_shard_is_refused(corpus):
    with pytest.raises(ValueError, match="at least one"):
        corpus.append_shard([])


def test_spawned_processes_read(corpus):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        entry = corpus.episodes()[2]
        steps = pool.apply(corpus.read_steps, (entry, 5, 9))
    expected = corpus.read_steps(entry, 5, 9)
    np.testing.assert_array_equal(steps["observations"]["image"], expected["observations"]["image"])


def test_a_shard_that_gets_its_name_while_it_is_opened(tmp_path, make_episode, monkeypatch):
    corpus = Corpus.create(tmp_path / "corpus")
    (entry,) = corpus.append_shard([make_episode(0, 5)])
    named = corpus.path / "shards" / entry.shard
    named.rename(shards_module.pending(named))
    real, opened = shards_module.ArrayRecordReader, []

    def open_late(path, options):
        """The writer gives the shard its name after the first look for it."""
        reader = real(path, options)
        opened.append(path)
        if len(opened) == 1:
            assert not reader.ok()
            shards_module.pending(named).rename(named)
        return reader

    monkeypatch.setattr(shards_module, "ArrayRecordReader", open_late)
    reader = Corpus.open(corpus.path)
    assert len(reader.read(entry)) == 5
    assert opened == [str(named)] * 2
