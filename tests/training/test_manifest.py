"""A folder with a manifest is exactly what was written, or one clear error."""

import json
import os

import pytest

from gato_gym.errors import CorruptCheckpointError
from gato_gym.training import manifest
from gato_gym.training.manifest import check_manifest, read_json, write_manifest


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "folder"
    (root / "inner").mkdir(parents=True)
    (root / "state.json").write_text("{}")
    (root / "inner" / "a b").write_bytes(bytes(1000))
    (root / "notes").write_text("not listed")
    write_manifest(root, skip=["notes"])
    return root


def test_what_is_listed_is_checked_and_nothing_else(folder):
    assert json.loads((folder / "manifest.json").read_text()).keys() == {"state.json", "inner/a b"}
    check_manifest(folder, ["inner/a b"])
    (folder / "notes").write_text("changed")
    check_manifest(folder)
    with pytest.raises(CorruptCheckpointError, match="notes was not there when"):
        check_manifest(folder, complete=True)
    with pytest.raises(CorruptCheckpointError, match="does not list notes"):
        check_manifest(folder, ["notes"])


def test_parts_share_the_reading(folder):
    (folder / "inner" / "a b").write_bytes(bytes(999))
    with pytest.raises(CorruptCheckpointError, match="a b is not the file that was saved"):
        check_manifest(folder, part=(0, 2))
    check_manifest(folder, part=(1, 2))
    (folder / "inner" / "a b").unlink()
    with pytest.raises(CorruptCheckpointError, match="a b is missing"):
        check_manifest(folder, part=(1, 2))


def test_everything_is_on_the_disk_before_the_manifest(folder, monkeypatch):
    synced = []
    monkeypatch.setattr(manifest, "fsync", lambda path: synced.append(path.name))
    write_manifest(folder)
    assert sorted(synced[:-2]) == ["a b", "inner", "manifest.json", "notes", "state.json"]
    assert synced[-2:] == ["manifest.json", "folder"]


@pytest.mark.parametrize(
    "escape", ["../secret", "/etc/hostname", "a/../../secret", "a\0b", "x" * 5000]
)
def test_a_manifest_must_stay_inside(folder, escape):
    (folder.parent / "secret").write_text("x")
    path = folder / "manifest.json"
    files = json.loads(path.read_text())
    path.write_text(json.dumps({**files, escape: {"size": 1, "crc32c": 0}}))
    with pytest.raises(CorruptCheckpointError, match="names a file outside"):
        check_manifest(folder)


def test_links(folder):
    outside = folder.parent / "outside.json"
    (folder / "state.json").rename(outside)
    (folder / "state.json").symlink_to(outside)
    with pytest.raises(CorruptCheckpointError, match="names a file outside"):
        check_manifest(folder)
    check_manifest(folder, follow_links=True)
    (folder / "state.json").unlink()
    os.symlink("state.json", folder / "state.json")
    with pytest.raises(CorruptCheckpointError, match=r"state\.json"):
        check_manifest(folder)


@pytest.mark.parametrize("text", ["[]", "1", "null", "{", "\udc80", "[" * 100_000])
def test_json_that_is_no_object(tmp_path, text):
    path = tmp_path / "state.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CorruptCheckpointError, match=r"state\.json"):
        read_json(path)


def test_json_that_is_no_file(tmp_path):
    with pytest.raises(CorruptCheckpointError, match="cannot be read: Is a directory"):
        read_json(tmp_path)
