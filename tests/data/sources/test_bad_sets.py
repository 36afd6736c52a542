"""What is wrong with a data set is told in words; nothing in it is run."""

import os
import pickle
import sys

import datasets
import huggingface_hub
import pytest

from gato_gym.data.corpus import Corpus
from gato_gym.data.sources import tables
from gato_gym.errors import DatasetError, MissingExtraError


@pytest.fixture
def refused(read):
    def call(source, form="text", **options):
        with pytest.raises(DatasetError) as error:
            read(source, form, **options)
        return str(error.value)

    return call


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_tar_is_unpickled(read, refused, write_tar, picture, tmp_path):
    trap = tmp_path / "trap"
    evil = pickle.dumps(Evil(trap))
    endings = ("pickle", "pkl", "pyd", "pth", "pt", "npy", "npz", "ten", "mp", "cbor", "pickle.gz")
    members = [("0.jpg", picture()), ("0.txt", b"a dog"), *((f"0.{e}", evil) for e in endings)]
    done, (episode,) = read(write_tar("evil.tar", members), "captions")
    assert episode.actions.tolist() == ["a dog"] and done.columns["caption"] == "txt"
    assert "nothing that is read here" in refused(write_tar("b.tar", members[2:]), "captions")
    assert not trap.exists()
    pickle.loads(evil)
    assert trap.exists(), "the trap would not have shown anything"


def test_a_folder_of_pickles_and_scripts(refused, write, tmp_path):
    write("set/data.pkl", pickle.dumps(Evil(tmp_path / "trap")))
    folder = write("set/set.py", f"import os; os.mkdir({str(tmp_path / 'trap')!r})").parent
    assert "has no data that can be read here" in refused(folder)
    write("set/data.jsonl", [{"text": "a"}])
    assert "scripts are no longer supported" in refused(folder)
    assert not (tmp_path / "trap").exists()


def test_broken_utf8_names_the_file_and_the_line(read, refused, write):
    for name, content in (
        ("a.jsonl", b'{"text": "a"}\n{"text": "b\xff"}\n'),
        ("a.csv", b"text\nb\xff\n"),
        ("a.txt", b"good\nb\xff"),
    ):
        path = write(name, content)
        assert f"{name}', line 2: byte " in refused(path)
        _, episodes = read(path, "text", out=f"of {name}", errors="replace")
        assert "b\ufffd" in episodes[-1].actions[-1]
    assert "no UTF-8" in refused(write("folder/b.jsonl", b'{"text": "\xff"}\n').parent)


def test_broken_json(refused, write):
    assert "bad.jsonl', line 2 is no JSON" in refused(write("bad.jsonl", '{"text":"a"}\n{"text"\n'))
    assert "surrogate pair" in refused(write("s.jsonl", '{"text":"a"}\n{"text":"\\ud800"}\n'))


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.tar", "a.json"])
def test_damaged_files(refused, write, name):
    told = refused(write(name, b"PAR1 and then nothing of it"))
    assert name in told and "cannot be read" in told


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_empty_files(refused, write, name):
    told = refused(write(name, b""))
    assert "no rows" in told or "cannot be read" in told


def test_columns_are_listed(refused, write):
    path = write("a.jsonl", [{"picture_of": "x", "words": "y"}])
    told = refused(path, "captions")
    assert "'picture_of', 'words'" in told and "--columns image=COLUMN" in told
    told = refused(path, "captions", columns={"image": "picture"})
    assert "has no column 'picture'" in told and "did you mean 'picture_of'" in told


@pytest.mark.parametrize(
    ("name", "form", "words"),
    [
        ("a.zip", "text", "unpack it"),
        ("a.jpg", "captions", "metadata.jsonl"),
        ("a.xyz", "text", "of no kind"),
        ("a.txt", "captions", "--as text"),
        ("a.pkl", "captions", "of no kind"),
    ],
)
def test_files_of_other_kinds(refused, write, name, form, words):
    assert words in refused(write(name, b"abc"), form)


def test_pictures_without_words(refused, write, picture):
    assert '{"file_name": "a.jpg"' in refused(write("set/a.jpg", picture()).parent, "captions")


def test_addresses_are_not_followed(refused, write):
    path = write("a.jsonl", [{"image": "https://example.org/a.png", "caption": "x"}])
    told = refused(path, "captions")
    assert "row 0, column 'image' holds an address" in told and "download" in told
    assert "holds no picture" in refused(
        write("b.jsonl", [{"image": 3, "caption": "x"}]), "captions"
    )


def test_messages_of_another_form(refused, write):
    good = {"role": "assistant", "content": "x"}
    for messages, words in (
        ([{"role": "robot", "content": "x"}, good], "row 0: message 0 has the role 'robot'"),
        ([{"content": "x"}], "row 0, message 0 has no role"),
        ([{"role": "user", "content": [{"type": "image"}]}, good], "message 0 holds a list"),
        ("hello", "holds a str as messages"),
    ):
        assert words in refused(write("a.jsonl", [{"messages": messages}]), "chat")


def test_the_hub_cannot_be_reached(refused):
    told = refused("someone/photos", "captions")
    assert "cannot be read from the Hugging Face Hub" in told and "\n" not in told
    assert "hf download --repo-type dataset someone/photos" in told and "pass FOLDER" in told


@pytest.mark.parametrize("source", ["./none", "/none/at/all", "none.jsonl", "a b/c", "x/y/z"])
def test_paths_that_do_not_exist(refused, source):
    assert "does not exist" in refused(source)


@pytest.mark.parametrize(
    "task", ["photos", "text/", "text/a/b", "text/../x", "CartPole-v1", "text/ a"]
)
def test_tasks_have_names_of_their_own(refused, write, task):
    assert "expected text/NAME" in refused(write("a.txt", "x"), task=task)


def test_the_tasks_of_environments_are_taken(refused, write, monkeypatch):
    from gato_gym.data.sources import load

    monkeypatch.setattr(load, "registered", lambda task: object())
    assert "gato-gym collect text/it" in refused(write("a.txt", "x"))


def test_without_the_package(read, write, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"gato-gym\[language\]"):
        read(write("a.jsonl", [{"text": "x"}]), "text")
    done, _ = read(write("a.txt", "plain text needs no package"), "text")
    assert done.episodes == 1


def test_what_was_read_before_the_fault_is_safe(read, write, tmp_path):
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    bad = [{"messages": [{"role": "robot", "content": "a"}]}]
    with pytest.raises(DatasetError, match="row 3"):
        read(write("a.jsonl", rows * 3 + bad), "chat")
    assert len(Corpus.open(tmp_path / "corpus")) == 3


def test_only_formats_of_data_are_read(monkeypatch, refused):
    class Strange:
        __module__ = "datasets.packaged_modules.pandas.pandas"

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", lambda *args, **options: None)
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *args, **options: Strange())
    told = refused("someone/pickles")
    assert "in a format that is not read here (pandas)" in told
    assert "pandas" not in tables._READERS
