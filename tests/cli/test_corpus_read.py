"""`gato-gym corpus read`."""

import json

import pytest
from PIL import Image

from gato_gym.data.corpus import Corpus


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (100, 70), "red").save(folder / "a.png")
    line = {"file_name": "a.png", "title": "a red picture"}
    (folder / "metadata.jsonl").write_text(json.dumps(line))
    return folder


def test_reading_for_machines_and_for_people(run, run_json, photos, tmp_path):
    out = tmp_path / "corpus"
    command = ("corpus", "read", photos, "--as", "captions", "--task", "text/photos", "--out", out)
    options = ("--columns", "caption=title", "--image-size", "32", "48", "--limit", "1")
    found = run_json(*command, *options)
    assert (found["episodes"], found["expert"]) == (1, "data/photos")
    assert found["columns"] == {"image": "image", "caption": "title"}
    (entry,) = Corpus.open(out).episodes()
    assert entry.observations["image"].shape == (32, 48, 3)
    code, told, err = run(*command, *options)
    assert code == 0 and "1 were there already" in told and "caption=title" in told
    assert err == ""  # no bar where nobody watches
    assert Corpus.open(out).read(entry).actions.tolist() == ["a red picture"]


def test_wrong_use(fails, photos, tmp_path):
    where = ("--task", "text/photos", "--out", tmp_path / "corpus")
    read = ("corpus", "read", photos, "--as", "captions", *where)
    assert "no column that looks like caption" in fails(*read)
    assert "PART=COLUMN" in fails(*read, "--columns", "title")
    assert "multiples of 16" in fails(*read, "--image-size", "30", "48")
    assert "name a file, a folder" in fails("corpus", "read", "--as", "text", *where)
    assert not (tmp_path / "corpus").exists()
