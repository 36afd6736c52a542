"""`gato-gym eval --all`: it goes on where it was killed, and names what it leaves out."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli import eval as evaluation
from gato_gym.config import model_config
from gato_gym.errors import UnknownTaskError
from gato_gym.evaluation.cluster import RandomPlay, play_on_cluster
from gato_gym.evaluation.scores import Score
from gato_gym.models.gato import Gato

TASKS = ["CartPole-v1", "MountainCar-v0", "Pendulum-v1"]
LONG = "dm_control/reassemble_5_bricks_random_order_features-v0"


def save(folder, tasks, seed=0):
    """An agent of random weights that claims to know the tasks."""
    torch.manual_seed(seed)
    spec = envs.task_spec("CartPole-v1")
    specs = {task: replace(spec, id=task) for task in tasks}
    specs |= {task: envs.task_spec(task) for task in tasks if task in TASKS}
    GatoAgent(Gato(model_config("tiny")), specs).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save(tmp_path_factory.mktemp("all") / "agent", TASKS)


@pytest.fixture
def played(monkeypatch):
    """The tasks that were played, as they come."""
    seen, evaluate = [], evaluation.evaluate

    def spy(task, *args, **kwargs):
        seen.append(task)
        return evaluate(task, *args, **kwargs)

    monkeypatch.setattr(evaluation, "evaluate", spy)
    return seen


def without_speed(result):
    for row in result["tasks"]:
        assert row.pop("steps_per_second") > 0
    return result


KILLED = """
import os, signal, sys
from gato_gym.cli import eval as evaluation, main

evaluate = evaluation.evaluate

def mortal(task, *args, **kwargs):
    if task == "MountainCar-v0":
        os.kill(os.getpid(), signal.SIGKILL)
    return evaluate(task, *args, **kwargs)

evaluation.evaluate = mortal
main(sys.argv[1:])
"""


def test_a_killed_evaluation_goes_on(run, run_json, fails, tiny, played, tmp_path):
    out = tmp_path / "card.json"
    command = ["eval", "--all", "--checkpoint", str(tiny), "--episodes", "2"]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *command, "--out", str(out)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, ""), done.stderr
    journal = tmp_path / "card.json.journal"
    assert not out.exists() and journal.read_bytes().count(b"\n") == 2
    # Results of something else do not get into the same file.
    other = save(tmp_path / "other", TASKS, seed=1)
    told = fails("eval", "--all", "--checkpoint", other, "--episodes", 2, "--out", out)
    assert "checkpoint" in told and "weights" in told and "episodes" not in told
    assert "episodes 2, now 3" in fails(*command[:-1], 3, "--out", out)
    assert played == []
    code, printed, err = run(*command, "--out", out)
    assert (code, played) == (0, TASKS[1:]) and TASKS[0] in printed
    assert err == f"gato-gym eval: 1 task taken over from {journal}, not played again\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "other"]
    found = json.loads(out.read_text())
    assert without_speed(found) == without_speed(run_json(*command))
    assert played[2:] == TASKS


def test_processes_share_the_tasks(run_json, tiny, played, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "card.json"
    command = ["eval", "--all", "--checkpoint", str(tiny), "--episodes", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "gato_gym", *command, "--workers", "2", "--out", str(out)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = without_speed(json.loads(out.read_text()))
    assert [row["task"] for row in found["tasks"]] == TASKS
    assert found == without_speed(run_json(*command)) and played == TASKS
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]


def test_ctrl_c_says_what_is_kept(run, tiny, tmp_path, monkeypatch):
    evaluate = evaluation.evaluate

    def interrupted(task, *args, **kwargs):
        if task == TASKS[1]:
            raise KeyboardInterrupt
        return evaluate(task, *args, **kwargs)

    monkeypatch.setattr(evaluation, "evaluate", interrupted)
    out = tmp_path / "card.json"
    code, printed, err = run(
        *("eval", "--all", "--checkpoint", tiny, "--episodes", 1, "--out", out)
    )
    assert (code, printed) == (130, "")
    assert f"1 task finished, kept in {out}.journal: the same command goes on" in err
    assert [path.name for path in tmp_path.iterdir()] == ["card.json.journal"]


def test_tasks_that_cannot_be_played_are_named(run, tmp_path, monkeypatch):
    gone = "Nowhere/Gone-v0"
    folder = save(
        tmp_path / "agent", ["CartPole-v1", gone, "strange_module:Task-v0", "Pendulum-v1"]
    )
    evaluate = evaluation.evaluate

    def broken(task, *args, **kwargs):
        if task == "Pendulum-v1":
            raise RuntimeError("the simulator\nis unstable")
        return evaluate(task, *args, **kwargs)

    monkeypatch.setattr(evaluation, "evaluate", broken)
    command = ("eval", "--all", "--checkpoint", folder, "--episodes", 1)
    code, out, err = run(*command, "--json", "--out", tmp_path / "card.json")
    found = json.loads(out)
    assert code == 0 and [row["task"] for row in found["tasks"]] == ["CartPole-v1"]
    assert found["skipped"].keys() == {gone, "strange_module:Task-v0", "Pendulum-v1"}
    assert found["skipped"]["Pendulum-v1"] == "RuntimeError: the simulator is unstable"
    assert f"unknown task '{gone}'" in found["skipped"][gone]
    assert "strange_module" in found["skipped"]["strange_module:Task-v0"]
    assert f"skipped {gone}: " in err and "3 of 4 tasks skipped" in err
    assert found["overall"]["count"] == 1 and json.loads((tmp_path / "card.json").read_text())


def test_with_nothing_to_play_it_fails(run, tmp_path):
    folder = save(tmp_path / "agent", ["Nowhere/Gone-v0"])
    out = tmp_path / "new" / "card.json"
    command = ("eval", "--all", "--checkpoint", folder, "--episodes", 1, "--out", out)
    code, printed, err = run(*command)
    assert (code, printed) == (1, "") and err.endswith("no task could be played\n")
    assert list(out.parent.iterdir()) == []


def test_a_return_without_end_is_not_averaged(run_json, tiny, monkeypatch):
    evaluate = evaluation.evaluate

    def endless(task, *args, **kwargs):
        found = evaluate(task, *args, **kwargs)
        return replace(found, returns=(float("inf"),)) if task == "CartPole-v1" else found

    monkeypatch.setattr(evaluation, "evaluate", endless)
    found = run_json("eval", "--all", "--checkpoint", tiny, "--episodes", 1)
    assert set(found["skipped"]) == {"CartPole-v1"} and len(found["tasks"]) == 2


@pytest.fixture
def scored(monkeypatch):
    """Plays nothing: every task has a score, one of them no expert."""

    def score(task, agent, *, episodes, seed, **kwargs):
        expert = None if task == "Pendulum-v1" else 300_000.0
        return Score(
            **{"task": task, "episodes": episodes, "seed": seed, "mean_return": 150_000.0},
            **{"ci95": (-123_456.7, 234_567.8), "random": 0.0, "expert": expert},
            **{"normalized": None if expert is None else 0.5, "success_rate": 0.25},
            **{"checkpoint": "x", "steps_per_second": 1.0, "mean_length": 9.0},
            returns=(150_000.0,) * episodes,
        )

    monkeypatch.setattr(evaluation, "evaluate", score)
    monkeypatch.setattr(evaluation.envs, "make", lambda task: envs.factory.gym.Env())


def test_people_read_blocks_of_domains_in_100_columns(run, scored, tmp_path):
    folder = save(tmp_path / "agent", [*TASKS, "ALE/Boxing-v5", LONG])
    chart = tmp_path / "new" / "chart.svg"
    code, out, err = run("eval", "--all", "--checkpoint", folder, "--chart", chart)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines[1:])) <= 100
    assert lines[0] == f"{folder}: 50 episodes per task, seeds 7000 to 7049"
    heads = [line.split()[0] for line in lines if "normalised" in line and "return" in line]
    assert heads == ["atari", "classic", "dm_control_manipulation"]
    row = next(line for line in lines if "ALE/Boxing-v5" in line)
    assert row.split()[1:] == [
        *("150000", "[-123457,", "234568]", "300000", "0.50", "25%", "0.94"),
    ]
    assert f"  {LONG}" in lines
    assert "  JAT on the same 1 task 0.94, here 0.50" in lines
    whole = lines[lines.index("all 5 tasks") :]
    assert whole[1].startswith("  mean 0.50 [0.50, 0.50], IQM 0.50 [0.50, 0.50], median 0.50")
    assert whole[2] == "  of 4 tasks: 4 at 50 %, 0 at 80 %, 0 at 100 % of the expert or more"
    assert "  not averaged: Pendulum-v1: no expert score is known" in whole
    assert chart.read_bytes().startswith(b"<?xml")


def test_the_json_has_what_others_published(run_json, scored, tmp_path):
    folder = save(tmp_path / "agent", ["CartPole-v1", "Pendulum-v1", "ALE/Boxing-v5"])
    found = run_json("eval", "--all", "--checkpoint", folder, "--episodes", 10)
    assert found.keys() >= {"tasks", "domains", "checkpoint", "overall", "unscored", "skipped"}
    rows = {row["task"]: row for row in found["tasks"]}
    assert rows["ALE/Boxing-v5"]["published"]["jat"]["mean"] == 92.31
    assert (rows["CartPole-v1"]["published"], rows["CartPole-v1"]["domain"]) == ({}, "classic")
    assert found["domains"]["atari"]["published"]["jat"]["count"] == 1
    assert found["domains"]["classic"]["published"] == {}
    assert found["published"]["headlines"]["gato"]["above"] == {"50": 450}
    assert set(found["unscored"]) == {"Pendulum-v1"}
    settings = found["settings"]
    assert (settings["episodes"], settings["seed"], settings["prompt"]) == (10, 7000, True)
    assert len(settings["weights"]) == 8 and settings["checkpoint"] == found["checkpoint"]


def test_rounded_weights_are_known_by_what_they_were(run_json, scored, tiny):
    command = ("eval", "--all", "--checkpoint", tiny)
    whole, rounded = run_json(*command), run_json(*command, "--precision", "bfloat16")
    assert whole["settings"]["weights"] == rounded["settings"]["weights"]
    assert rounded["settings"]["precision"] == "bfloat16"


def test_without_a_score_there_is_no_chart(run, scored, tmp_path):
    folder = save(tmp_path / "agent", ["Pendulum-v1"])
    chart = tmp_path / "chart.png"
    code, out, err = run("eval", "--all", "--checkpoint", folder, "--chart", chart)
    assert code == 0 and "  no task has a normalised score" in out
    assert f"so there is no {chart}" in err and not chart.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--all", "--chart", "chart.pdf"), ".svg or .png, got 'chart.pdf'"),
        (("--task", "CartPole-v1", "--chart", "chart.png"), "it is for --all"),
        (("--all", "--episodes", 0), "--episodes must be at least 1, got 0"),
        (("--all", "--workers", 0), "--workers must be at least 1, got 0"),
        (("--all", "--agent", "expert", "--checkpoint", "x"), "--checkpoint is for --agent gato"),
    ],
)
def test_wrong_use(arguments, told, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert told in fails("eval", *arguments)
    assert list(tmp_path.iterdir()) == []


class Unwell(RandomPlay):
    """Has no agent for Acrobot."""

    def __call__(self, task, episode):
        if task == "Acrobot-v1":
            raise UnknownTaskError("no agent for Acrobot")
        return super().__call__(task, episode)


def test_on_a_cluster_too_a_task_costs_only_itself(ray_cluster):
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test
    try:
        tasks = ["Acrobot-v1", "Nowhere/Gone-v0", "CartPole-v1"]
        found = dict(
            play_on_cluster(
                *(ray_cluster.address, tasks, Unwell(7), lambda task: "random"),
                **{"episodes": 3, "seed": 7, "workers": 1},
            )
        )
    finally:
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert found.keys() == set(tasks)
    assert isinstance(found["Nowhere/Gone-v0"], UnknownTaskError)
    assert str(found["Acrobot-v1"]) == "no agent for Acrobot"
    assert (found["CartPole-v1"].episodes, found["CartPole-v1"].checkpoint) == (3, "random")
