"""Every wrong byte is an error that names the file, or an ignored torn tail; never wrong data."""

import json
import os
import shutil

import google_crc32c
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gato_gym.data.corpus import Corpus
from gato_gym.data.shards import pending
from gato_gym.errors import CorpusPathError, CorruptShardError


@pytest.fixture(scope="module")
def clean(tmp_path_factory, request):
    """A corpus of two shards, and its files' bytes."""
    from gato_gym.data.collect import collect
    from gato_gym.testing import TOY_TASK, ToyExpert, make_toy

    path = tmp_path_factory.mktemp("clean") / "corpus"
    collect(
        TOY_TASK,
        out=path,
        episodes=4,
        seed=0,
        expert=ToyExpert(),
        make_env=make_toy,
        episodes_per_shard=2,
    )
    return path


@pytest.fixture
def path(clean, tmp_path):
    return shutil.copytree(clean, tmp_path / "corpus")


def shards(path):
    return sorted((path / "shards").iterdir())


def in_order(path):
    """The shards in commit order."""
    lines = (path / "manifest.jsonl").read_bytes().splitlines()
    return [path / "shards" / json.loads(line)["shard"]["file"] for line in lines]


def read_all(path):
    corpus = Corpus.open(path)
    return [corpus.read(entry) for entry in corpus.episodes()]


def as_bytes(episodes):
    return [
        (e.seed, e.actions.tobytes(), [v.tobytes() for v in e.observations.values()])
        for e in episodes
    ]


def test_200_flipped_bits_in_shards(path):
    random = np.random.default_rng(1)
    for file in shards(path):
        data = file.read_bytes()
        filled = [i for i, byte in enumerate(data) if byte]
        # Half of the flips hit bytes that hold something, half anywhere, padding included.
        positions = [*random.choice(filled, 60), *random.integers(0, len(data), 60)]
        for position in positions:
            flipped = bytearray(data)
            flipped[position] ^= 1 << random.integers(8)
            file.write_bytes(flipped)
            with pytest.raises(CorruptShardError, match=file.name):
                read_all(path)
        file.write_bytes(data)
    assert len(read_all(path)) == 4


def test_flips_after_the_check_of_the_whole_file_are_found_by_the_records(path):
    """A shard that rots while it is in use: ArrayRecord's and the record's checks still hold."""
    expected = as_bytes(read_all(path))
    random = np.random.default_rng(2)
    file = shards(path)[0]
    data = file.read_bytes()
    found = 0
    for position in random.choice([i for i, byte in enumerate(data) if byte], 100):
        corpus = Corpus.open(path)
        mine = [e for e in corpus.episodes() if e.shard == file.name]
        corpus._checked.add(file.name)
        flipped = bytearray(data)
        flipped[position] ^= 1 << random.integers(8)
        file.write_bytes(flipped)
        for entry in mine:
            try:
                episode = corpus.read(entry)
            except CorruptShardError as e:
                found += 1
                assert file.name in str(e)
            else:
                assert as_bytes([episode])[0] == expected[entry.index]
    assert found > 50


def test_a_changed_shard_is_told_once_and_with_the_fix(path):
    file = shards(path)[0]
    file.write_bytes(file.read_bytes()[:-1])
    corpus = Corpus.open(path)
    entry = next(e for e in corpus.episodes() if e.shard == file.name)
    for look in (lambda: corpus.read(entry), lambda: corpus.check([entry.task])):
        with pytest.raises(CorruptShardError, match=r"Restore the file.*corpus repair") as caught:
            look()
        assert str(caught.value).count(file.name) == 1
    corpus.check(["another task"])


def test_200_flipped_bits_in_the_manifest(path):
    expected = as_bytes(read_all(path))
    file = path / "manifest.jsonl"
    data = file.read_bytes()
    random = np.random.default_rng(3)
    positions = [0, 1, len(data) - 1, len(data) - 2, data.index(b"\n")]
    for position in [*positions, *random.integers(0, len(data), 200).tolist()]:
        for bit in range(8) if position in positions else [random.integers(8)]:
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            file.write_bytes(flipped)
            with pytest.raises(CorruptShardError, match=r"manifest\.jsonl"):
                read_all(path)
    file.write_bytes(data)
    assert as_bytes(read_all(path)) == expected


def test_every_flipped_bit_of_corpus_json(path):
    file = path / "corpus.json"
    data = file.read_bytes()
    for position in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            file.write_bytes(flipped)
            with pytest.raises((CorruptShardError, CorpusPathError)):
                Corpus.open(path)


def test_a_torn_tail_is_ignored_and_cut_off_by_the_next_writer(path, make_episode, caplog):
    expected = as_bytes(read_all(path))
    file = path / "manifest.jsonl"
    data = file.read_bytes()
    last = data[:-1].rindex(b"\n") + 1
    uncommitted = in_order(path)[1]
    uncommitted.rename(pending(uncommitted))
    random = np.random.default_rng(4)
    for cut in [last + 1, len(data) - 1, *random.integers(last + 1, len(data), 20).tolist()]:
        file.write_bytes(data[:cut])
        corpus = Corpus.open(path)
        assert as_bytes([corpus.read(e) for e in corpus.episodes()]) == expected[:2]
        assert corpus.verify().torn_bytes == cut - last
        caplog.clear()
        corpus.append_shard([make_episode(steps=2)])
        assert f"cut off {cut - last} bytes" in caplog.text
        assert len(Corpus.open(path)) == 3
        in_order(path)[1].unlink()


def test_a_manifest_that_lost_its_end_is_found(path):
    """Unlike a torn append, the loss of what was committed leaves a shard that has its name."""
    file = path / "manifest.jsonl"
    data = file.read_bytes()
    lines = [0, data.index(b"\n") + 1]
    for cut in [*lines, *np.random.default_rng(5).integers(0, len(data), 50).tolist()]:
        file.write_bytes(data[:cut])
        lost = 1 if cut >= lines[1] else 2
        for look in (Corpus.open, Corpus.create, lambda p: Corpus(p).verify()):
            with pytest.raises(CorruptShardError, match=rf"{lost} files in shards/ have no line"):
                look(path)


def test_a_shard_from_elsewhere_is_refused_until_it_is_moved_out(path):
    stranger = path / "shards" / f"toy-{'0' * 32}.array_record"
    shutil.copy(shards(path)[0], stranger)
    with pytest.raises(CorruptShardError, match=rf"{stranger.name}.*elsewhere.*corpus repair"):
        Corpus.open(path)
    stranger.unlink()
    assert len(read_all(path)) == 4


def test_a_removed_or_reordered_line_is_found(path):
    file = path / "manifest.jsonl"
    first, second = file.read_bytes().splitlines(keepends=True)
    for wrong in (second, second + first, first + first, first + second + second):
        file.write_bytes(wrong)
        with pytest.raises(CorruptShardError, match="line"):
            Corpus.open(path)


def test_a_manifest_that_shrinks_while_open_is_found(path):
    corpus = Corpus.open(path)
    file = path / "manifest.jsonl"
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(CorruptShardError, match="missing"):
        corpus.refresh()


def test_a_missing_manifest_is_found(path):
    (path / "manifest.jsonl").unlink()
    with pytest.raises(CorruptShardError, match=r"manifest\.jsonl is missing"):
        Corpus.open(path)


@pytest.mark.parametrize("size", [0, 1, 1000, 65536, 131071])
def test_a_truncated_shard(path, size):
    file = shards(path)[1]
    os.truncate(file, size)
    with pytest.raises(CorruptShardError, match=f"{file.name}.* has {size} bytes"):
        read_all(path)
    with pytest.raises(CorruptShardError, match=file.name):
        Corpus.open(path).verify()


def test_a_zeroed_page(path):
    file = shards(path)[0]
    data = bytearray(file.read_bytes())
    start = next(i for i in range(0, len(data), 4096) if any(data[i : i + 4096]))
    data[start : start + 4096] = bytes(4096)
    file.write_bytes(data)
    with pytest.raises(CorruptShardError, match=file.name):
        read_all(path)


def test_swapped_shards(path):
    first, second = shards(path)
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    with pytest.raises(CorruptShardError, match="has changed"):
        read_all(path)


def test_a_missing_shard(path):
    file = shards(path)[0]
    file.unlink()
    with pytest.raises(CorruptShardError, match=f"{file.name}: cannot be read"):
        read_all(path)


def test_a_linked_shard_is_refused(path, tmp_path):
    file = shards(path)[0]
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorruptShardError, match="link"):
        read_all(path)


def test_a_linked_shard_folder_is_refused(path, tmp_path):
    (path / "shards").rename(tmp_path / "elsewhere")
    (path / "shards").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorruptShardError, match="link"):
        read_all(path)


def signed(body: bytes) -> bytes:
    """A first manifest line with a right checksum: what someone hostile would write."""
    return b'{"crc32c":"%08x","shard":%s}\n' % (google_crc32c.value(body), body)


def first_shard(path):
    return json.loads((path / "manifest.jsonl").read_bytes().splitlines()[0])["shard"]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "/tmp/x.array_record",
        "../x.array_record",
        "a/b.array_record",
        "..",
        "",
        ".x.array_record",
        "x.array_record\n",
        "x\u0000.array_record",
        "~/x.array_record",
        "C:\\x.array_record",
        "x.npz",
        "a" * 300 + ".array_record",
        None,
        7,
        ["x"],
    ],
)
def test_names_that_leave_the_folder_are_refused(path, name):
    body = json.dumps({**first_shard(path), "file": name}).encode()
    (path / "manifest.jsonl").write_bytes(signed(body))
    with pytest.raises(CorruptShardError, match="line 1 is not a shard"):
        Corpus.open(path)


def test_a_signed_lie_about_an_episode_is_found(path):
    honest = (path / "manifest.jsonl").read_bytes()
    in_order(path)[1].unlink()
    for change in ({"steps": 77}, {"seed": 99}, {"task": "x"}, {"size": 5}, {"expert": "me"}):
        (path / "manifest.jsonl").write_bytes(honest)
        shard = first_shard(path)
        shard["episodes"][0].update(change)
        (path / "manifest.jsonl").write_bytes(signed(json.dumps(shard).encode()))
        with pytest.raises(CorruptShardError, match="record 0"):
            read_all(path)
    (path / "manifest.jsonl").write_bytes(honest)
    shard = first_shard(path)
    shard["episodes"][0]["episode_return"] += 1
    (path / "manifest.jsonl").write_bytes(signed(json.dumps(shard).encode()))
    with pytest.raises(CorruptShardError, match="differs from its manifest line"):
        Corpus.open(path).verify()


def test_a_record_number_that_does_not_exist(path):
    in_order(path)[1].unlink()
    shard = first_shard(path)
    shard["episodes"] *= 3
    (path / "manifest.jsonl").write_bytes(signed(json.dumps(shard).encode()))
    corpus = Corpus.open(path)
    with pytest.raises(CorruptShardError, match="record 5"):
        corpus.read(corpus.episodes()[5])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=json_values, data=st.data())
def test_signed_nonsense_gives_one_documented_error(clean, tmp_path_factory, value, data):
    shard = first_shard(clean)
    where = data.draw(st.sampled_from(["line", "shard", "episode"]))
    if where == "line":
        shard = value
    elif where == "shard":
        shard[data.draw(st.sampled_from(sorted(shard)))] = value
    else:
        episode = shard["episodes"][0]
        episode[data.draw(st.sampled_from(sorted(episode)))] = value
    path = tmp_path_factory.mktemp("nonsense")
    shutil.copytree(clean, path, dirs_exist_ok=True)
    in_order(path)[1].unlink()
    (path / "manifest.jsonl").write_bytes(signed(json.dumps(shard).encode()))
    try:
        Corpus.open(path).verify()
    except CorruptShardError:
        return
    # What is accepted is an empty shard, or says the same as before but for what was injected:
    # that is in no record.
    injected = ("noise", "burst", "random_start", "max_steps", "learner")
    for episode in (shard["episodes"] or [{}])[0], (before := first_shard(clean))["episodes"][0]:
        for name in injected:
            episode.pop(name, None)
    assert shard == before or not shard["episodes"]


def test_deep_nesting_is_an_error_not_a_crash(path):
    body = b'{"file":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    (path / "manifest.jsonl").write_bytes(signed(body))
    with pytest.raises(CorruptShardError, match="line 1"):
        Corpus.open(path)
