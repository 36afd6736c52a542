"""Repair keeps what is whole, sets the rest aside, and the next collection fills the gaps."""

import json
import shutil

import google_crc32c
import numpy as np
import pytest

from gato_gym.data.collect import collect
from gato_gym.data.commit import _writing
from gato_gym.data.corpus import Corpus
from gato_gym.data.repair import ASIDE, repair
from gato_gym.data.shards import pending, read_labelled, write_shard
from gato_gym.errors import CorpusPathError, CorruptShardError
from gato_gym.testing import TOY_TASK, ToyExpert, make_toy

SETTINGS = {"expert": ToyExpert(), "make_env": make_toy, "noise": 0.3, "episodes_per_shard": 2}


def fill(path):
    return collect(TOY_TASK, out=path, episodes=8, seed=0, **SETTINGS)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Four shards of two episodes."""
    path = tmp_path_factory.mktemp("clean") / "corpus"
    fill(path)
    return path


@pytest.fixture
def path(clean, tmp_path):
    return shutil.copytree(clean, tmp_path / "corpus")


@pytest.fixture
def shards(path):
    """In commit order."""
    lines = (path / "manifest.jsonl").read_bytes().splitlines()
    return [path / "shards" / json.loads(line)["shard"]["file"] for line in lines]


def contents(path):
    corpus = Corpus.open(path)
    assert corpus.verify().orphans == ()
    return {entry.key: corpus.read_record(entry) for entry in corpus.episodes()}


def test_a_whole_corpus_stays_as_it_is(path):
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    report = repair(path)
    assert (report.kept, report.recovered, report.set_aside, report.changed) == (4, 0, {}, False)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("lines", [0, 1, 3])
def test_lost_lines_are_written_anew_from_the_labels(path, clean, lines):
    manifest = path / "manifest.jsonl"
    whole = manifest.read_bytes()
    kept = whole.splitlines(keepends=True)[:lines]
    manifest.write_bytes(b"".join(kept) + b"torn")
    with pytest.raises(CorruptShardError, match="gato-gym corpus repair"):
        Corpus.open(path)
    report = repair(path)
    assert (report.kept, report.recovered, report.set_aside) == (lines, 4 - lines, {})
    assert contents(path) == contents(clean)
    assert manifest.read_bytes() == whole  # the age of the shards gave their order
    (copy,) = (path / ASIDE).iterdir()
    assert copy.read_bytes() == b"".join(kept) + b"torn"
    assert fill(path).episodes == 0


def test_a_missing_manifest_and_one_full_of_zeros(path, clean):
    for wrong in (None, bytes(4096)):
        (path / "manifest.jsonl").unlink()
        if wrong is not None:
            (path / "manifest.jsonl").write_bytes(wrong)
        assert repair(path).recovered == 4
        assert contents(path) == contents(clean)


def test_a_damaged_shard_is_set_aside_and_its_episodes_are_made_anew(path, shards, clean):
    data = bytearray(shards[1].read_bytes())
    data[next(i for i, byte in enumerate(data) if byte)] ^= 1
    shards[1].write_bytes(data)
    shards[2].unlink()
    report = repair(path)
    assert (report.kept, report.recovered) == (2, 0)
    assert set(report.set_aside) == {shards[1].name, shards[2].name}
    assert report.set_aside[shards[1].name] == f"{shards[1]}: its crc32c has changed"
    assert "cannot be read" in report.set_aside[shards[2].name]
    assert (path / ASIDE / shards[1].name).read_bytes() == data
    again = contents(path)
    assert again.items() <= contents(clean).items() and len(again) == 4
    assert fill(path).episodes == 4
    assert contents(path) == contents(clean)


def test_a_shard_from_elsewhere(path, shards, tmp_path, make_episode):
    double = path / "shards" / "double.array_record"
    shutil.copy(shards[0], double)
    other = Corpus.create(tmp_path / "other")
    (entry,) = other.append_shard([make_episode(77)], noise=0.5)
    shutil.copy(other.path / "shards" / entry.shard, path / "shards" / entry.shard)
    report = repair(path)
    assert (report.kept, report.recovered) == (4, 1)
    assert "has its episodes already" in report.set_aside[double.name]
    found = Corpus.open(path).episodes()[-1]
    assert (found.key, len(contents(path))) == (entry.key, 9)


def test_a_shard_whose_writer_was_killed_is_kept_under_its_name(path, shards, clean):
    shards[3].rename(pending(shards[3]))
    assert repair(path).kept == 4
    assert shards[3].exists() and not pending(shards[3]).exists()
    assert contents(path) == contents(clean)
    # With its line damaged, only its label tells that it was committed.
    shards[3].rename(pending(shards[3]))
    manifest = path / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-9] + b"X" * 8 + b"\n")
    (path / "shards" / ".half.array_record.tmp").write_bytes(b"half")
    assert repair(path).recovered == 1
    assert contents_without_leftovers(path) == contents(clean)


def contents_without_leftovers(path):
    assert Corpus.open(path).remove_leftovers() == 1
    return contents(path)


@pytest.mark.parametrize("what", ["cut", "label", "lie", "count", "none", "link"])
def test_a_shard_that_no_line_vouches_for_must_prove_itself(path, shards, tmp_path, what):
    """Its label has to fit its records."""
    entry, records, lines = read_labelled(shards[3])
    assert entry.file == shards[3].name and len(records) == len(lines) == 2
    manifest = path / "manifest.jsonl"
    manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:3]))
    shards[3].unlink()
    if what == "lie":
        lines[1]["episode_return"] += 1
    elif what == "count":
        lines *= 2
    elif what == "label":
        lines[0]["seed"] = "zero"
    write_shard(shards[3], records[:0] if what == "none" else records, lines)
    pending(shards[3]).rename(shards[3])
    if what == "cut":
        shards[3].write_bytes(shards[3].read_bytes()[:65536])
    elif what == "link":
        shards[3].rename(tmp_path / "elsewhere")
        shards[3].symlink_to(tmp_path / "elsewhere")
    report = repair(path)
    assert (report.kept, report.recovered, list(report.set_aside)) == (3, 0, [shards[3].name])
    assert len(contents(path)) == 6
    assert fill(path).episodes == 2


def test_a_shard_without_a_label_needs_its_line(path, shards, clean, monkeypatch):
    """As version 0.1.0 wrote them."""
    from gato_gym.data import shards as module

    entry, records, lines = read_labelled(shards[0])
    with monkeypatch.context() as patched:
        patched.setattr(module, "_LABEL_MAGIC", b"????")
        unlabelled = write_shard(shards[0], records, lines)
    pending(shards[0]).rename(shards[0])
    with pytest.raises(CorruptShardError, match="no label"):
        read_labelled(shards[0])
    assert unlabelled.sha256 != entry.sha256
    body = json.dumps({**vars(unlabelled), "episodes": lines}).encode()
    line = b'{"crc32c":"%08x","shard":%s}\n' % (google_crc32c.value(body), body)
    (path / "manifest.jsonl").write_bytes(line)
    report = repair(path)
    assert (report.kept, report.recovered) == (1, 3)
    assert contents(path) == contents(clean)


def test_every_random_damage_can_be_repaired(path, clean):
    files = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    files.pop(path / "corpus.json")
    right = contents(clean)
    random = np.random.default_rng(0)
    for number in range(60):
        file = sorted(files)[random.integers(len(files))]
        data = bytearray(files[file])
        position = random.integers(len(data))
        if number % 2:
            data[position] ^= 1 << random.integers(8)
        else:
            del data[position:]
        file.write_bytes(data)
        repair(path)
        found = contents(path)
        assert found.items() <= right.items()
        assert len(found) == (8 if file.name == "manifest.jsonl" else 6)
        shutil.rmtree(path / ASIDE)
        for file, original in files.items():
            file.write_bytes(original)


def test_what_cannot_be_repaired_now_is_said(path, tmp_path):
    with pytest.raises(CorpusPathError, match="no corpus"):
        repair(tmp_path / "nothing")
    with _writing(path), pytest.raises(CorpusPathError, match="another process is writing"):
        repair(path)
    (path / "shards").rename(tmp_path / "elsewhere")
    (path / "shards").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorruptShardError, match="a link"):
        repair(path)
    assert len(list((tmp_path / "elsewhere").iterdir())) == 4
    (path / "shards").unlink()
    assert len(repair(path).set_aside) == 4
    assert len(Corpus.open(path)) == 0


def test_the_command(path, shards, capsys):
    from gato_gym.cli import main

    shards[0].unlink()
    assert main(["corpus", "repair", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("3 shards kept, 0 taken in again by their labels, 1 set aside\n")
    assert shards[0].name in out
    assert main(["corpus", "repair", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"kept": 3, "recovered": 0, "set_aside": {}}
