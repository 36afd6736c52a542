"""Small data sets in the formats that others write; the Hub is out of reach."""

import csv
import io
import json
import tarfile

import datasets
import huggingface_hub.constants
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from gato_gym.data.corpus import Corpus
from gato_gym.data.sources.load import read_dataset


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No network, and none of the caches of whoever runs the tests."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def picture_bytes(number: int = 0, kind: str = "JPEG") -> bytes:
    """A picture whose grey is ten times its number."""
    file = io.BytesIO()
    Image.new("RGB", (80, 64), (10 * number,) * 3).save(file, kind, quality=100)
    return file.getvalue()


@pytest.fixture
def picture():
    return picture_bytes


@pytest.fixture
def photos(tmp_path):
    """A folder of pictures with metadata.jsonl, as COCO is often shared: five captions each."""
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = []
    for number in range(12):
        (folder / f"{number:02}.jpg").write_bytes(picture_bytes(number))
        captions = [f"picture {number}, caption {i}" for i in range(5)]
        lines.append(json.dumps({"file_name": f"{number:02}.jpg", "captions": captions}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    (folder / "README.md").write_text("# Photos")
    return folder


@pytest.fixture
def questions(tmp_path):
    """A Parquet file with structs of picture bytes, columns named as in VQAv2."""
    rows = [
        {
            "image": {"bytes": picture_bytes(number, "PNG"), "path": None},
            "question": f"what is number {number}?",
            "answers": [{"answer": f"answer {number}", "answer_id": i} for i in range(3)],
        }
        for number in range(7)
    ]
    path = tmp_path / "questions.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def write_tar(tmp_path):
    """A WebDataset tar of (name, bytes) members."""

    def write(name, members):
        path = tmp_path / name
        with tarfile.open(path, "w") as archive:
            for member, content in members:
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    return write


@pytest.fixture
def write(tmp_path):
    """A file of bytes, text, JSON lines (a list) or CSV (a list of lists)."""

    def call(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        elif name.endswith((".csv", ".tsv")):
            with open(path, "w", newline="") as file:
                csv.writer(file, delimiter="\t" if name.endswith("tsv") else ",").writerows(content)
        else:
            path.write_text("\n".join(json.dumps(row) for row in content) + "\n")
        return path

    return call


@pytest.fixture
def read(tmp_path):
    """Read a data set into a corpus -> (what was done, its episodes)."""

    def call(source, form, out="corpus", task="text/it", **options):
        sources = source if isinstance(source, list) else [source]
        path = tmp_path / out
        done = read_dataset(list(map(str, sources)), path, form=form, task=task, **options)
        corpus = Corpus.open(path)
        entries = corpus.episodes(task) if task in corpus.tasks() else ()
        return done, [corpus.read(entry) for entry in entries]

    return call


@pytest.fixture
def greys():
    """The pictures' numbers in an episode of `picture_bytes`."""

    def call(episode):
        return np.rint(episode.observations["image"].mean((1, 2, 3)) / 10).astype(int).tolist()

    return call
