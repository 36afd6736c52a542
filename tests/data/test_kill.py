"""SIGKILL of whole collections at random moments, by the benchmark that counts what is lost."""

import importlib
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.data.shards import pending
from gato_gym.testing import TOY_TASK, ToyExpert, make_toy

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    """Importable by name: the benchmark's own processes are spawned."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("kill_collect")


def test_20_kills_lose_nothing(script, tmp_path):
    out = tmp_path / "result.json"
    options = ["--kills", "20", "--episodes", "3", "--between", "2", "--no-cold"]
    code = script.main([*options, "--out", str(out)])
    result = json.loads(out.read_text())
    assert code == 0, result
    assert result["kills"] == 20 and result["rounds"] >= 1
    assert [result[name] for name in script.FAILURES] == [0] * len(script.FAILURES)
    assert sum(result["kills_by_moment"].values()) == 20
    # Not all of them before the first episode.
    assert result["kills_by_moment"].get("start-up", 0) < 20


def test_a_kill_of_the_plain_command(script, tmp_path):
    command = script.arguments(tmp_path / "c", ["CartPole-v1"], 400, 2, 1)
    run = script.start_cold(command, tmp_path / "log.txt")
    watch = script.Watch(tmp_path / "c", {}, Counter())
    while watch.look() < 2:
        assert run.poll() is None, (tmp_path / "log.txt").read_text()
    assert script.kill(run) is None
    seen = dict(watch.seen)
    found = watch.check()
    assert seen.keys() <= found and len(found) < 400
    assert watch.counts["lost"] == watch.counts["torn"] == watch.counts["duplicates"] == 0


@pytest.fixture
def watched(script, tmp_path):
    """A corpus of three episodes, a watch that saw them, and the names of their shards."""
    path = tmp_path / "c"
    settings = {"expert": ToyExpert(), "make_env": make_toy, "episodes_per_shard": 1}
    collect(TOY_TASK, out=path, episodes=3, seed=0, **settings)
    corpus = Corpus.open(path)
    expected = {e.key: script._digest(corpus.read_record(e)) for e in corpus.episodes()}
    watch = script.Watch(path, expected, Counter())
    assert watch.look() == 3 and watch.seen == expected
    shards = [path / "shards" / entry.shard for entry in corpus.episodes()]
    return watch, shards


def test_the_watch_finds_what_is_lost_torn_different_or_missing(script, watched, tmp_path):
    """The oracle itself: each failure that the benchmark counts can happen."""
    watch, shards = watched
    assert len(watch.check()) == 3 and not +watch.counts
    manifest = watch.path / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)

    manifest.write_bytes(b"".join(lines[:2]))  # with its shard: as if it had never been there
    shards[2].rename(tmp_path / "aside")
    assert len(watch.check()) == 2
    assert watch.counts["lost"] == 1 and watch.counts["torn"] == 0
    script._finish(watch.path, watch, watch.expected, watch.counts)
    assert watch.counts["gaps"] == 1 and watch.counts["leftovers"] == 0
    watch.counts.clear()

    watch.expected = {key: "another" for key in watch.expected}
    watch.check()
    assert watch.counts["different"] == 2
    watch.counts.clear()

    shutil.copy(shards[0], pending(shards[2]))
    script._finish(watch.path, watch, watch.expected, watch.counts)
    assert watch.counts["leftovers"] == 2  # a temporary file is an orphan, too
    watch.counts.clear()

    shards[0].write_bytes(shards[0].read_bytes()[:-1])
    watch.check()
    assert watch.counts["torn"] == 1


def test_the_moment_of_a_kill_is_told_by_what_it_left(script, watched, tmp_path):
    watch, shards = watched
    path, manifest = watch.path, watch.path / "manifest.jsonl"
    assert script.moment(path, watch, 3) == "start-up"
    assert script.moment(path, watch, 2) == "playing"
    assert script.moment(tmp_path / "none", watch, 0) == "making the corpus"
    shards[2].rename(pending(shards[2]))
    assert script.moment(path, watch, 2) == "between the manifest line and the shard's name"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-20])
    assert script.moment(path, watch, 2) == "inside a manifest line"
    manifest.write_bytes(whole[: whole[:-1].rfind(b"\n") + 1])
    assert script.moment(path, watch, 2) == "inside a shard"
    shards[1].unlink()
    manifest.write_bytes(whole[:-2] + b"\n")
    assert script.moment(path, watch, 2) == "unreadable"
