"""An import that was stopped goes on; another data set under the same name is noticed."""

import pytest

from gato_gym.data.corpus import Corpus
from gato_gym.data.sources import episodes as episodes_module
from gato_gym.data.sources import load
from gato_gym.errors import DatasetError


def lines(path):
    corpus = Corpus.open(path)
    return [(entry.key, corpus.read_record(entry)) for entry in corpus.episodes()]


def test_going_on_gives_the_same_corpus(read, photos, tmp_path, monkeypatch):
    original = episodes_module.read_pair

    def interrupted(row, number, how):
        if number > 10:
            raise KeyboardInterrupt
        return original(row, number, how)

    with monkeypatch.context() as patch:
        patch.setattr(episodes_module, "read_pair", interrupted)
        with pytest.raises(KeyboardInterrupt, match=r"2 episodes are safe .* same command again"):
            read(photos, "captions")
    done, _ = read(photos, "captions")
    assert (done.episodes, done.skipped) == (1, 2)
    read(photos, "captions", out="at once")
    assert lines(tmp_path / "corpus") == lines(tmp_path / "at once")
    done, _ = read(photos, "captions")
    assert (done.episodes, done.skipped) == (0, 3)


def test_pictures_of_episodes_that_are_there_are_not_read_again(read, photos, monkeypatch):
    read(photos, "captions")
    seen = []
    original = episodes_module.read_pair
    monkeypatch.setattr(
        episodes_module,
        "read_pair",
        lambda row, number, how: seen.append(number) or original(row, number, how),
    )
    read(photos, "captions")
    assert seen == [0, 1, 2, 3, 4]  # of the first one, which is compared


def test_it_commits_as_it_goes(read, photos, tmp_path, monkeypatch):
    committed = []
    original = load._Job._commit

    def commit(job):
        original(job)
        committed.append(len(Corpus.open(tmp_path / "corpus")))

    monkeypatch.setattr(load._Job, "_commit", commit)
    read(photos, "captions", shard_bytes=1)
    assert committed == [1, 2, 3, 3]
    committed.clear()
    monkeypatch.setattr(load, "_MOST_WAITING", 2)
    read(photos, "captions", task="text/again")
    assert committed == [5, 6]


def test_text_that_grew(read, write):
    path = write("a.jsonl", [{"text": "one"}, {"text": "two"}])
    read(path, "text")
    write("a.jsonl", [{"text": "one"}, {"text": "two"}, {"text": "three"}])
    done, episodes = read(path, "text")
    assert (done.episodes, done.skipped) == (1, 2)
    assert [e.actions[0] for e in episodes] == ["one", "two", "three"]


def test_other_data_under_the_same_name(read, write):
    read(write("a/set.jsonl", [{"text": "one"}]), "text")
    other = write("b/set.jsonl", [{"text": "two"}])
    with pytest.raises(DatasetError, match="has other words as text/it of data/set, number 0"):
        read(other, "text")
    done, _ = read(other, "text", name="b")
    assert (done.expert, done.episodes) == ("data/b", 1)


def test_pictures_of_another_size(read, photos):
    read(photos, "captions")
    with pytest.raises(DatasetError, match=r"has pictures of \(64, 80\) .* expected \(32, 48\)"):
        read(photos, "captions", image_size=(32, 48))


@pytest.mark.parametrize("option", ["limit", "shard_bytes"])
def test_numbers_are_positive(read, photos, option):
    with pytest.raises(ValueError, match=f"{option} must be at least 1, got 0"):
        read(photos, "captions", **{option: 0})
