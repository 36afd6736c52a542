"""Rows and cards of a data set name files of its own; others of this machine stay closed."""

import gzip
import os
import zipfile
from types import SimpleNamespace

import datasets
import fsspec
import huggingface_hub
import pytest

from gato_gym.data.sources import paths
from gato_gym.errors import DatasetError


@pytest.fixture
def secret(write, picture):
    """A picture beside the folder of the data set, not in it."""
    return write("secret.jpg", picture(9))


@pytest.fixture
def listed(write):
    """A data set of one row in a folder, which names a picture."""

    def call(image):
        return write("set/list.jsonl", [{"image": image, "caption": "x"}])

    return call


def refused(read, source, form="captions", **options):
    with pytest.raises(DatasetError) as error:
        read(source, form, out="refused", **options)
    return str(error.value)


def test_pictures_elsewhere_are_not_read(read, listed, secret, tmp_path, write, picture):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.jpg", picture(9))
    for image in ("../secret.jpg", str(secret), "sub/../../secret.jpg", {"path": str(secret)}):
        told = refused(read, listed(image))
        assert "row 0, column 'image' names" in told and "is outside of" in told
    for image in (f"zip://a.jpg::{tmp_path}/all.zip", "zip://a.jpg::../all.zip"):
        assert "is outside of" in refused(read, listed(image))
    (tmp_path / "set" / "link.jpg").symlink_to(secret)
    assert "is outside of" in refused(read, listed("link.jpg"))
    assert "is outside of" in refused(read, listed("../secret.jpg").parent)
    assert "is no path" in refused(read, listed("a\0.jpg"))
    # What is inside is read, by a relative path or an absolute one.
    inside = write("set/sub/a.jpg", picture(1))
    for number, image in enumerate(("sub/a.jpg", str(inside), "sub/../sub/a.jpg")):
        assert len(read(listed(image), "captions", out=f"inside {number}")[1]) == 1


@pytest.mark.parametrize(
    "address",
    [
        "file://{}",
        "FILE:{}",
        "local://{}",
        "simplecache::file://{}",
        "zip://a.jpg::file://{}",
        "zip://a.jpg::simplecache::file://{}",
        "zip://a.jpg::set::file:{}",
        "zip://a.jpg",
        "hf://datasets/someone/photos/a.jpg",
        "http://127.0.0.1:9/a.jpg",
    ],
)
def test_addresses_are_not_opened(read, listed, secret, address, monkeypatch):
    monkeypatch.setattr(fsspec, "open", lambda *args, **options: pytest.fail("was opened"))
    assert "holds an address" in refused(read, listed(address.format(secret)))


@pytest.mark.parametrize(
    "address", ["{}", "secret.jpg", "file://{}", "zip://a::{}", "hf://x::file://{}", "~/a.jpg"]
)
def test_a_set_on_the_hub_names_no_local_file(secret, address, monkeypatch):
    monkeypatch.chdir(secret.parent)
    with pytest.raises(DatasetError, match=r"row 0 names .* not on the Hub"):
        paths.read_file(address.format(secret), None, "row 0")


def test_files_on_the_hub_are_read_there(monkeypatch, secret):
    asked = []

    def there(address, mode):
        asked.append(address)
        return open(secret, mode)

    monkeypatch.setattr(fsspec, "open", there)
    for address in ("hf://datasets/a/b@main/c.jpg", "zip://c.jpg::hf://datasets/a/b/d.zip"):
        assert paths.read_file(address, None, "row 0") == secret.read_bytes()
        assert asked[-1] == address


def test_what_unpacks_to_more_than_memory_is_refused(read, listed, tmp_path, monkeypatch, picture):
    monkeypatch.setattr(paths, "MOST_BYTES", 1 << 20)
    listed("")
    (tmp_path / "set" / "b.gz").write_bytes(gzip.compress(bytes(2 << 20)))
    with zipfile.ZipFile(tmp_path / "set" / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b.jpg", bytes(2 << 20))
        archive.writestr("a.jpg", picture(3))
    for address in ("zip://b.jpg::b.zip", "gzip://b::b.gz"):
        assert "is larger than 1,048,576 bytes" in refused(read, listed(address))
    assert "cannot be read" in refused(read, listed("zip://c.jpg::b.zip"))
    assert len(read(listed("zip://a.jpg::b.zip"), "captions")[1]) == 1


def card(line, name="README.md"):
    settings = f"configs:\n- config_name: default\n  {line}\n"
    return f"---\n{settings}---\n# Set\n" if name == "README.md" else settings


@pytest.mark.parametrize("name", ["README.md", ".huggingface.yaml"])
def test_a_card_names_no_files_elsewhere(read, write, tmp_path, name, monkeypatch):
    write("outside/x.jsonl", [{"text": "secret"}])
    folder = write("set/own.jsonl", [{"text": "own"}]).parent
    monkeypatch.setattr(
        datasets, "load_dataset_builder", lambda *args, **options: pytest.fail("was looked up")
    )
    for line in (
        "data_files: ../outside/x.jsonl",
        f"data_files: {tmp_path}/outside/x.jsonl",
        "data_files: [{split: train, path: [own.jsonl, http://127.0.0.1:9/x.jsonl]}]",
        "data_files: {train: 'zip://x.jsonl::https://127.0.0.1:9/x.zip'}",
        "data_files: hf://datasets/someone/private/x.jsonl",
        "data_dir: ../outside",
    ):
        write(f"set/{name}", card(line, name))
        told = refused(read, folder, "text")
        assert name in told and "expected files inside of the folder" in told


def test_a_card_may_choose_among_the_files_of_its_folder(read, write):
    write("set/one/x.jsonl", [{"text": "one"}])
    write("set/two/x.jsonl", [{"text": "two"}])
    folder = write("set/README.md", card("data_files: two/*.jsonl")).parent
    _, (episode,) = read(folder, "text")
    assert episode.actions.tolist() == ["two"]


def test_links_out_of_a_folder_are_not_followed(read, write, tmp_path):
    write("outside/x.jsonl", [{"text": "secret"}])
    folder = write("set/own.jsonl", [{"text": "own"}]).parent
    os.symlink(tmp_path / "outside" / "x.jsonl", folder / "x.jsonl")
    assert "is outside of" in refused(read, folder, "text")
    plain = write("texts/a.txt", "own").parent
    os.symlink(write("key.txt", "secret"), plain / "b.txt")
    assert "is outside of" in refused(read, plain, "text")


def test_links_in_the_cache_of_the_hub_are_followed(read, write, tmp_path):
    blob = write("datasets--a--b/blobs/0123", [{"text": "cached"}])
    folder = tmp_path / "datasets--a--b" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    os.symlink(blob, folder / "train.jsonl")
    _, (episode,) = read(folder, "text")
    assert episode.actions.tolist() == ["cached"]


def test_a_set_on_the_hub_is_made_of_files_there(read, secret, monkeypatch):
    class Builder:
        __module__ = "datasets.packaged_modules.json.json"

        def __init__(self):
            files = {"train": ["hf://datasets/a/b@0/x.jsonl", str(secret)]}
            self.config = SimpleNamespace(data_files=files)

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", lambda *args, **options: None)
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *args, **options: Builder())
    told = refused(read, "someone/texts", "text")
    assert "the split 'train' names" in told and "is not on the Hub" in told
