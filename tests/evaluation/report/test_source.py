"""A run's folder: what it is, and that damaged and foreign files are left out and told."""

import json

import pytest

from gato_gym.evaluation.report.source import RunFolder, read_scores
from gato_gym.evaluation.transfer.budgets import budget
from gato_gym.evaluation.transfer.study import Study


def test_kinds(run):
    (run / "other").mkdir()
    (run / "other" / "finetune.json").write_text("{}")
    assert [RunFolder(p).kind for p in (run, run / "agent", run / "other", "bundled")] == [
        *("training run", "agent", "fine-tuning run", "agent")
    ]
    assert RunFolder(run).agent == "agent/" and RunFolder(run / "agent").agent == ""
    assert RunFolder(run / "agent").name == "run/agent" and RunFolder("bundled").name == "bundled"


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone does not exist: pass the --out folder"):
        RunFolder(tmp_path / "gone")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file is a file"):
        RunFolder(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no run .* expected train\.jsonl"):
        RunFolder(tmp_path / "empty")
    (tmp_path / "empty" / "step-00000010").mkdir()
    with pytest.raises(ValueError, match=r"has checkpoints but no train\.jsonl"):
        RunFolder(tmp_path / "empty")


def test_a_transfer_study_says_which_command_shows_it(tmp_path):
    folder = Study.create(tmp_path / "study", budget("smoke")).folder
    with pytest.raises(ValueError, match=r"gato-gym transfer show .*study --figures figures$"):
        RunFolder(folder)
    for regime in ("all", "no-control"):
        (folder / "pretrain" / regime / "agent").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"gato-gym report .*study/pretrain/all/agent$"):
        RunFolder(folder)


def test_a_line_that_a_crash_cut_off_ends_the_log(run):
    with (run / "train.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    folder = RunFolder(run)
    assert [line["step"] for line in folder.lines("train.jsonl")] == [1, 2, 3, 4]
    assert folder.problems == ["train.jsonl: line 5 is cut off or damaged; it is left out"]


def test_what_follows_a_damaged_line_is_counted(run):
    lines = (run / "train.jsonl").read_text().splitlines()
    (run / "train.jsonl").write_text("\n".join([lines[0], '{"step": "two"}', *lines[2:]]))
    folder = RunFolder(run)
    assert len(folder.lines("train.jsonl")) == 1
    assert "line 2 is cut off or damaged; it and the 2 after it are left out" in folder.problems[0]


def test_links_out_of_the_folder_are_not_followed(run, tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"tasks": []}))
    card = run / "agent" / "card.json"
    card.unlink()
    card.symlink_to(secret)
    folder = RunFolder(run)
    assert folder.of_agent("card.json") == {}
    assert folder.problems == [
        "agent/card.json is a link to outside of the run's folder and left out"
    ]
    assert not folder.files


def test_links_into_the_hubs_cache_are_followed(run, tmp_path):
    blob = tmp_path / "hub" / "blobs" / "abc"
    snapshot = tmp_path / "hub" / "snapshots" / "revision"
    blob.parent.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    blob.write_text('{"steps": 7}')
    for name in ("config.json", "tasks.json", "card.json"):
        (snapshot / name).symlink_to(blob)
    folder = RunFolder(snapshot)
    assert folder.of_agent("card.json") == {"steps": 7} and not folder.problems


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000])
def test_damaged_documents_are_left_out(run, text):
    (run / "agent" / "card.json").write_text(text)
    folder = RunFolder(run)
    assert folder.of_agent("card.json") == {}
    assert len(folder.problems) == 1 and "agent/card.json" in folder.problems[0]


def test_scores_that_a_person_names(tmp_path):
    path = tmp_path / "scores.json"
    with pytest.raises(FileNotFoundError, match=r"gato-gym eval --all --out scores\.json"):
        read_scores(path)
    for text in ("{", "[]", "{}", '{"tasks": 3}'):
        path.write_text(text)
        with pytest.raises(ValueError, match="expected the JSON of gato-gym eval --all"):
            read_scores(path)
    path.write_text('{"task": "A-v0", "mean_return": 1.0, "checkpoint": "a"}')
    assert read_scores(path)["tasks"][0]["task"] == "A-v0"
