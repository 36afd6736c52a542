"""docs/real_data.md works as it stands, on data in the forms that it names."""

import json
import re
import shlex

import pyarrow
import pyarrow.parquet
import pytest

from gato_gym.cli import main
from gato_gym.data.corpus import Corpus


@pytest.fixture
def downloads(tmp_path, monkeypatch, write, write_tar, picture):
    """What its readers have in their folder: COCO and VQAv2 in their authors' form, and others."""
    monkeypatch.chdir(tmp_path)
    write("photos/a.jpg", picture())
    write("photos/metadata.jsonl", [{"file_name": "a.jpg", "caption": "a red bus"}])
    ids = (139, 285)
    for number in ids:
        write(f"val2017/{number:012}.jpg", picture())
        write(f"val2014/COCO_val2014_{number:012}.jpg", picture())
    images = [{"id": number, "file_name": f"{number:012}.jpg", "license": 1} for number in ids]
    captions = [{"image_id": n, "id": i, "caption": f"bear {n}"} for i, n in enumerate(ids * 2)]
    coco = {"info": {}, "images": images, "annotations": captions}
    write("annotations/captions_val2017.json", json.dumps(coco))
    asked = [{"image_id": n, "question": "what is it?", "question_id": n * 1000} for n in ids]
    write("v2_OpenEnded_mscoco_val2014_questions.json", json.dumps({"questions": asked}))
    answers = [{"answer": "bear", "answer_confidence": "yes", "answer_id": 1}] * 10
    answered = [{"image_id": n, "question_id": n * 1000, "answers": answers} for n in ids]
    write("v2_mscoco_val2014_annotations.json", json.dumps({"annotations": answered}))
    rows = [{"img": {"bytes": picture(), "path": "a.jpg"}, "alt": "a boat"}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), "captions.parquet")
    (tmp_path / "shards").mkdir()
    write_tar("shards/0.tar", [("0.jpg", picture()), ("0.txt", b"a tree")])
    write("books/a.txt", "Call me Ishmael.")
    write("articles.jsonl", [{"title": "x", "body": "News."}])
    write("chat.jsonl", [{"messages": [{"role": "assistant", "content": "hello"}]}])
    write("instructions.csv", [["instruction", "output"], ["say yes", "yes"]])


def test_its_commands_and_scripts_work(request, downloads, tmp_path):
    page = (request.config.rootpath / "docs" / "real_data.md").read_text()
    ran = 0
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        if language == "python":
            exec(compile(block, "real_data.md", "exec"), {})
        for line in block.splitlines() if language == "bash" else ():
            if not line.startswith("gato-gym") or "NAME/NAME" in line:
                continue
            words = [
                found
                for word in shlex.split(line)[1:]
                for found in (sorted(map(str, tmp_path.glob(word))) if "*" in word else [word])
            ]
            assert main(words) == 0, line
            ran += 1
    assert ran == 9
    corpus = Corpus.open("corpus")
    said = {entry.task: corpus.read(entry).actions[0] for entry in corpus.episodes()}
    assert said == {
        "text/photos": "a red bus",
        "text/coco": "bear 139",
        "text/stock": "a boat",
        "text/web": "a tree",
        "text/vqa2": "bear",
        "text/books": "Call me Ishmael.",
        "text/articles": "News.",
        "text/chat": "yes",
    }
