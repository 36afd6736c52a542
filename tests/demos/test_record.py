"""The demo that films every task, on a tiny agent with random weights."""

import importlib.util
import json
from pathlib import Path

import av
import pytest
import torch
from PIL import Image

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.models.gato import Gato

DEMO = Path(__file__).parents[2] / "demos" / "record.py"
TASKS = ("CartPole-v1", "Acrobot-v1")


@pytest.fixture(scope="module")
def demo():
    location = importlib.util.spec_from_file_location("record_demo", DEMO)
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    specs = {task: envs.task_spec(task) for task in TASKS}
    folder = tmp_path_factory.mktemp("demo") / "agent"
    GatoAgent(Gato(model_config("tiny")), specs).save_pretrained(folder)
    return folder


def test_a_task_is_filmed_and_scored(demo, checkpoint, tmp_path, capsys):
    out = tmp_path / "videos"
    command = ["--checkpoint", str(checkpoint), "--tasks", "CartPole-v1", "--out", str(out)]
    assert demo.main([*command, "--episodes", "2"]) == 0
    assert {path.name for path in out.iterdir()} == {
        "CartPole-v1.mp4",
        "contact_sheet.png",
        "scores.json",
    }
    (score,) = json.loads((out / "scores.json").read_text())
    assert (score["task"], score["episodes"], score["seed"]) == ("CartPole-v1", 2, 7000)
    with av.open(str(out / "CartPole-v1.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == score["returns"][0] + 1
    with Image.open(out / "contact_sheet.png") as sheet:
        assert min(sheet.size) > 180
    printed = capsys.readouterr().out
    for word in ("[1/1]", "CartPole-v1", "episodes", "expert", "normalised"):
        assert word in printed


def test_of_many_tasks_it_plays_some_of_every_domain(demo):
    domains = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "c1": "c", "c2": "c"}
    assert demo.spread(domains, 0) == demo.spread(domains, 6) == list(domains)
    assert demo.spread(domains, 3) == ["a1", "b1", "c1"]
    assert demo.spread(domains, 4) == ["a1", "a2", "b1", "c1"]
    assert demo.spread(domains, 2) == ["a1", "b1"]
    # The familiar ones of a domain go before the others.
    many = {"ALE/Assault-v5": "a", "ALE/Boxing-v5": "a", "b1": "b"}
    assert demo.spread(many, 2) == ["ALE/Boxing-v5", "b1"]


def test_what_cannot_be_drawn_is_left_out_and_told(demo, capsys):
    blind = ["popgym-RepeatFirstEasy-v0", "popgym-RepeatFirstHard-v0"]
    domains = {"CartPole-v1": "classic", **dict.fromkeys(blind, "popgym"), "Acrobot-v1": "classic"}
    assert list(demo.filmed(domains)) == ["CartPole-v1", "Acrobot-v1"]
    assert capsys.readouterr().out == "left out, nothing to film: popgym, 2 tasks\n"


def test_familiar_tasks_are_tasks(demo):
    assert {spec.id for spec in envs.tasks(available=False)} >= demo.FAMILIAR


def test_a_task_of_another_checkpoint(demo, checkpoint, tmp_path, capsys):
    out = tmp_path / "videos"
    command = ["--checkpoint", str(checkpoint), "--tasks", "ALE/Pong-v5", "--out", str(out)]
    assert demo.main(command) == 2
    told = capsys.readouterr().err
    assert "of its 2 the nearest: " in told and "CartPole-v1" in told and "Acrobot-v1" in told
    assert not out.exists()


def test_a_missing_checkpoint(demo, tmp_path, capsys):
    out = tmp_path / "videos"
    assert demo.main(["--checkpoint", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert not out.exists()
    assert "does not exist" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(demo, checkpoint, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "videos"
    assert demo.main(["--checkpoint", str(checkpoint), "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert str(out) in told and told.count("\n") == 1


def test_a_video_that_cannot_be_written(demo, checkpoint, tmp_path, capsys):
    (tmp_path / "CartPole-v1.mp4").mkdir()
    command = ["--checkpoint", str(checkpoint), "--tasks", "CartPole-v1", "--out", str(tmp_path)]
    assert demo.main(command) == 2
    assert str(tmp_path / "CartPole-v1.mp4") in capsys.readouterr().err


def test_file_names(demo):
    assert demo.slug("ALE/Boxing-v5") == "ALE__Boxing-v5"
