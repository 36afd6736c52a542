"""`gato-gym probe`: results, resuming, and what it refuses."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli import probe_prompts, probe_robustness
from gato_gym.config import model_config
from gato_gym.evaluation.scores import evaluate
from gato_gym.models.gato import Gato
from gato_gym.training.bundled import BUNDLED
from gato_gym.types import Episode

POLE, CAR = "CartPole-v1", "MountainCar-v0"


def demonstration(task):
    spec = envs.task_spec(task)
    seen = np.zeros((4, *spec.observations[0].shape), np.float32)
    return Episode(task, {"observation": seen}, np.ones(3, np.int64), np.zeros(3), False, 0, "test")


def save(folder, seed=0, tasks=(POLE, CAR)):
    """An agent of random weights; of MountainCar it has no demonstration."""
    torch.manual_seed(seed)
    specs = {task: envs.task_spec(task) for task in tasks}
    prompts = {POLE: demonstration(POLE)}
    GatoAgent(Gato(model_config("tiny")), specs, prompts).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save(tmp_path_factory.mktemp("probe") / "agent")


@pytest.fixture
def interrupted(monkeypatch):
    """After so many scores of a probe somebody presses Ctrl-C; returns what is played."""

    def arrange(module, after):
        played: list[str] = []

        def spy(task, *args, **kwargs):
            if after is not None and len(played) == after:
                raise KeyboardInterrupt
            played.append(task)
            return evaluate(task, *args, **kwargs)

        monkeypatch.setattr(module, "evaluate", spy)
        return played

    return arrange


def image_of(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def without_speed(value):
    if isinstance(value, dict):
        return {k: without_speed(v) for k, v in value.items() if k != "steps_per_second"}
    return [without_speed(one) for one in value] if isinstance(value, list) else value


def test_prompts_of_the_bundled_agent(run_json, run, tmp_path):
    out, chart = tmp_path / "new" / "prompts.json", tmp_path / "new" / "prompts.svg"
    scorecard = json.loads((BUNDLED / "scorecard.json").read_text())
    (known,) = [one for one in scorecard["tasks"] if one["task"] == POLE]
    command = ("probe", "prompts", POLE, "--episodes", 1, "--seed", known["seed"])
    command += ("--out", out, "--chart", chart)
    found = run_json(*command)
    assert json.loads(out.read_text()) == found
    (row,) = found["tasks"]
    assert (row["task"], row["measure"], row["missing"]) == (POLE, "mean_return", {})
    own, none, wrong = (row["conditions"][name] for name in ("own", "none", "wrong"))
    # As `gato-gym eval` plays it.
    assert own["returns"] == known["returns"][:1]
    assert own["normalized"] == (own["value"] - row["random"]) / (row["expert"] - row["random"])
    assert (own["prompt"], none["prompt"]) == (POLE, None)
    assert wrong["prompt"] in {one["task"] for one in scorecard["tasks"]} - {POLE}
    for name, one in (("none", none), ("wrong", wrong)):
        change = row["differences"][name]
        assert change["mean"] == one["value"] - own["value"] and change["verdict"] == "too few"
    assert found["settings"].keys() == {
        *("probe", "checkpoint", "weights", "episodes", "seed", "version")
    }
    assert "torch" in found["versions"] and found["machine"]
    for path in (chart, chart.with_name("prompts-dark.svg")):
        text = "".join(ElementTree.parse(path).getroot().itertext())
        assert POLE in text and "no demonstration" in text
    assert sorted(path.name for path in out.parent.iterdir()) == [
        *("prompts-dark.svg", "prompts.json", "prompts.svg")
    ]


def test_an_interrupted_probe_of_prompts_goes_on(run, run_json, fails, tiny, tmp_path, interrupted):
    out = tmp_path / "prompts.json"
    command = ["probe", "prompts", "--checkpoint", tiny, "--episodes", 2, "--num-envs", 1]
    whole = run_json(*command)
    played = interrupted(probe_prompts, 2)
    code, printed, err = run(*command, "--out", out)
    assert (code, printed) == (130, "") and "2 scores finished, kept in" in err
    assert played == [POLE, POLE] and not out.exists()
    # Scores of other weights do not get in between; the order in which they play is no matter.
    told = fails(
        *command[:2], "--checkpoint", save(tmp_path / "other", 1), *command[4:], "--out", out
    )
    assert "checkpoint" in told and "weights" in told and "episodes" not in told
    played = interrupted(probe_prompts, None)
    code, printed, err = run(*command[:-1], 2, "--out", out, "--json")
    assert code == 0 and "2 scores taken over" in err
    assert without_speed(json.loads(printed)) == without_speed(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "prompts.json"]
    # What cannot be had is named: this checkpoint has one demonstration only.
    pole, car = whole["tasks"]
    assert pole["missing"] == {"wrong": "the checkpoint has no demonstration of another task"}
    assert car["missing"] == {"own": "the checkpoint has no demonstration of it"}
    assert car["conditions"]["wrong"]["prompt"] == POLE and car["differences"] == {}
    assert "no score of MountainCar-v0 own" in err and "2 of 6 scores could not be had" in err


def test_robustness(run, run_json, tiny, tmp_path, interrupted):
    out, chart = tmp_path / "robust.json", tmp_path / "robust.png"
    command = [
        *("probe", "robustness", POLE, "--checkpoint", tiny, "--episodes", 2, "--perturb"),
        *("delayed-actions=1", "observation-noise=0.5", "sticky-actions", "game-variants"),
    ]
    whole = run_json(*command)
    played = interrupted(probe_robustness, 3)
    code, _, err = run(*command, "--out", out)
    assert code == 130 and "3 scores finished" in err and len(played) == 3
    played = interrupted(probe_robustness, None)
    code, printed, err = run(*command, "--out", out, "--chart", chart, "--json")
    found = json.loads(printed)
    assert code == 0 and len(played) == 2 and "3 scores taken over" in err
    assert without_speed(found) == without_speed(whole)
    (row,) = found["tasks"]
    assert [(one["perturbation"], one["strength"]) for one in row["changes"]] == [
        *(("delayed-actions", "1"), ("observation-noise", "0.5")),
        *(("sticky-actions", "0.25"), ("sticky-actions", "0.5")),
    ]
    base = row["base"]
    for one in row["changes"]:
        assert one["difference"]["mean"] == pytest.approx(one["value"] - base["value"])
        assert one["normalized"] == pytest.approx(
            (one["value"] - row["random"]) / (row["expert"] - row["random"])
        )
    assert found["left_out"] == {
        "sticky-actions=0": {POLE: "the task has 0 itself"},
        "game-variants": {POLE: "it has no modes and difficulties"},
    }
    assert found["perturbations"]["delayed-actions"]["unit"] == "steps"
    assert found["spread"].keys() == {POLE} and len(found["spread"][POLE]["observation"]) == 4
    pictures = [image_of(path) for path in (chart, tmp_path / "robust-dark.png")]
    assert pictures[0].shape == pictures[1].shape and min(pictures[0].shape[:2]) > 100
    assert np.median(pictures[0]) > 200 > 60 > np.median(pictures[1])
    told = run(*command)[1]
    assert "game-variants: not played of 1 task\n  it has no modes" in told
    lines = run(*command, "--markdown")[1].splitlines()
    assert len(lines) == 2 + 1 + 4 and all(line.count("|") == 8 for line in lines)


def test_what_cannot_be_played_is_named(run, tmp_path):
    gone = "Nowhere/Gone-v0"
    folder = tmp_path / "agent"
    torch.manual_seed(0)
    spec = envs.task_spec(POLE)
    specs = {POLE: spec, gone: replace(spec, id=gone)}
    GatoAgent(Gato(model_config("tiny")), specs).save_pretrained(folder)
    command = ("probe", "robustness", "--checkpoint", folder, "--episodes", 1)
    code, out, err = run(*command, "--perturb", "delayed-actions=1", "--json")
    found = json.loads(out)
    assert code == 0 and [row["task"] for row in found["tasks"]] == [POLE]
    assert f"unknown task '{gone}'" in found["skipped"][gone]
    assert "2 of 4 scores could not be had" in err
    code, out, err = run("probe", "prompts", gone, "--checkpoint", folder, "--episodes", 1)
    assert (code, out) == (1, "") and err.endswith("no task could be played\n")


def test_what_is_refused(fails, tiny, tmp_path):
    for action in ("prompts", "robustness"):
        here = ("probe", action, "--checkpoint", tiny)
        told = fails(*here[:2], "CartPol-v1", *here[2:])
        assert "does not know 'CartPol-v1': did you mean 'CartPole-v1'?" in told
        assert "CartPole-v1, MountainCar-v0" in fails(*here[:2], "ALE/*", *here[2:])
        assert "--episodes must be at least 1, got 0" in fails(*here, "--episodes", 0)
        assert "--num-envs must be at least 1" in fails(*here, "--num-envs", 0)
        assert ".svg or .png" in fails(*here, "--chart", tmp_path / "chart.pdf")
    here = ("probe", "robustness", "--checkpoint", tiny, "--perturb")
    assert "did you mean 'pixel-noise'" in fails(*here, "pixel-nois")
    assert "a whole number from 1 to 100: steps" in fails(*here, "delayed-actions=-1")
    assert list(tmp_path.iterdir()) == []
