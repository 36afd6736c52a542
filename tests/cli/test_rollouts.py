"""Rollouts of a running training: played by another process, whose end never matters to it."""

import json
import signal
import subprocess
import sys
import time

import pytest

from gato_gym import GatoAgent
from gato_gym.cli import rollouts
from gato_gym.cli.rollouts import Rollouts, rollout_tasks
from gato_gym.errors import UnknownTaskError
from gato_gym.evaluation.scores import evaluate
from gato_gym.training.bundle import Bundle, save_bundle

TASK = "CartPole-v1"


@pytest.fixture(scope="module")
def loaded(agent):
    return GatoAgent.from_pretrained(agent, device="cpu")


@pytest.fixture
def write(loaded):
    """Writes the tiny agent's weights as those of a training."""

    def call(folder):
        save_bundle(Bundle(loaded.model, loaded.specs, loaded.prompts, loaded.text), folder)

    return call


@pytest.fixture
def told():
    return []


@pytest.fixture
def running(tmp_path, told):
    with Rollouts(tmp_path, [TASK, "NoSuchTask-v0"], 5, 2, tell=told.append) as found:
        yield found


def nothing(folder):
    """Writes no weights."""


def never(folder):
    raise AssertionError("these weights are not to be written")


def sleeper(folder):
    """In place of the process that plays: one that only ends when it is killed."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def test_weights_are_played_by_another_process(running, write, loaded, tmp_path, told):
    running.start(5, write)
    assert (tmp_path / "rollouts/step-00000005/agent/model.safetensors").is_file()
    (played,) = running.finish(5, never)
    assert told == ["waiting for the rollouts of step 5"]
    expected = evaluate(TASK, loaded, episodes=2, seed=7000)
    (score,) = played.scores
    assert (score.returns, score.normalized) == (expected.returns, expected.normalized)
    assert (played.step, played.problem) == (5, "")
    assert list(played.failed) == ["NoSuchTask-v0"]
    assert "UnknownTaskError" in played.failed["NoSuchTask-v0"]
    assert running.poll() == list(running.finish(5, never)) == []
    assert list((tmp_path / "rollouts").iterdir()) == []

    line = json.loads(json.dumps(played.to_json(), allow_nan=False))
    assert line["step"] == 5 and line["tasks"][TASK]["normalized"] == score.normalized
    assert line["domains"]["classic"]["mean"] == pytest.approx(score.normalized)
    assert line["domains"]["classic"].keys() == {"mean", "iqm", "ci95", "count"}
    values = played.scalars()
    assert values[f"rollouts/return/{TASK}"] == score.mean_return
    assert values["rollouts/mean/classic"] == pytest.approx(score.normalized)
    assert f"classic {score.normalized:.2f} (IQM" in played.line()
    assert "NoSuchTask-v0 failed" in played.line()


def test_due_when_a_multiple_was_passed(tmp_path, told):
    found = Rollouts(tmp_path, [TASK], 5, tell=told.append)
    assert [step for step in range(1, 13) if found.due(step)] == [5, 10]
    resumed = Rollouts(tmp_path, [TASK], 5, step=12, tell=told.append)
    assert [step for step in range(13, 30, 3) if resumed.due(step)] == [16, 22, 25]


def test_one_at_a_time(running, monkeypatch, told):
    monkeypatch.setattr(running, "_spawn", sleeper)
    running.start(5, nothing)
    running.start(10, never)
    running.start(15, never)
    assert told == ["rollouts of step 10 left out: those of step 5 are running"]  # once
    running._process.kill()
    running._process.wait()
    running.start(20, nothing)
    (played,) = running.poll()  # it ended before, unseen
    assert (played.step, played.skipped) == (5, 2)
    assert "2 that were due meanwhile were left out" in played.line()
    running.start(25, never)
    assert told[1:] == ["rollouts of step 25 left out: those of step 20 are running"]


def test_the_last_weights_are_played(running, monkeypatch, told, tmp_path):
    written = []

    def write(folder):
        written.append(folder.parent.name)

    def spawn(folder):
        command = [sys.executable, "-c", "import time; time.sleep(0.2)"]
        return subprocess.Popen(command, stdin=subprocess.PIPE)

    monkeypatch.setattr(running, "_spawn", spawn)
    running.start(5, write)
    assert [played.step for played in running.finish(8, write)] == [5, 8]
    assert written == ["step-00000005", "step-00000008"]
    assert told == ["waiting for the rollouts of step 5", "waiting for the rollouts of step 8"]
    assert list(running.finish(8, never)) == []


def test_a_killed_process_is_told_with_what_it_had_played(running, monkeypatch, tmp_path, loaded):
    score = evaluate(TASK, loaded, episodes=2, seed=7000)

    def spawn(folder):
        text = json.dumps(score.to_json())
        (folder / rollouts.SCORES).write_text(f"{text}\n{text[:40]}")  # killed while it wrote
        (folder / "stderr").write_text("loading\nno memory left\n")
        return sleeper(folder)

    monkeypatch.setattr(running, "_spawn", spawn)
    running.start(5, nothing)
    assert running.poll() == []
    running._process.send_signal(signal.SIGKILL)
    running._process.wait()
    (played,) = running.poll()
    assert played.scores == (score,)
    assert played.problem == "the process ended with code -9: no memory left"
    assert played.problem in played.line()
    assert played.to_json()["problem"] == played.problem
    assert not (tmp_path / "rollouts/step-00000005").exists()


def test_an_agent_that_cannot_be_read_is_told(running):
    running.start(5, lambda folder: folder.mkdir())
    running._process.wait()
    (played,) = running.poll()
    assert played.scores == () and "ended with code 1" in played.problem
    assert "CorruptCheckpointError" in played.problem
    assert played.scalars() == {} and played.domains == {}


def test_what_cannot_be_written_is_told(running, told, tmp_path):
    def full(folder):
        raise OSError(28, "No space left on device")

    running.start(5, full)
    assert told == ["rollouts of step 5 could not start: [Errno 28] No space left on device"]
    assert list((tmp_path / "rollouts").iterdir()) == []


def test_leaving_ends_what_is_running(tmp_path, told, monkeypatch):
    with Rollouts(tmp_path, [TASK], 5, tell=told.append) as found:
        monkeypatch.setattr(found, "_spawn", sleeper)
        found.start(5, nothing)
        process = found._process
    assert process.returncode == -9
    assert told == ["rollouts of step 5 were still running and are ended"]
    with Rollouts(tmp_path, [TASK], 5, tell=told.append) as found:
        monkeypatch.setattr(found, "_spawn", sleeper)
        found.start(5, nothing)
        assert list(found.finish(8, never, leave=lambda: True)) == []
    assert list((tmp_path / "rollouts").iterdir()) == []


def test_the_process_ends_when_training_is_gone(running, write):
    """Its end of the pipe closes, as when a process is killed."""
    running.episodes = 100_000
    running.start(5, write)
    process = running._process
    while not (running._folder(5) / "stderr").exists():
        time.sleep(0.01)
    process.stdin.close()
    assert process.wait(60) == 1
    running.poll()


def test_never_without_every(tmp_path, told):
    with Rollouts(tmp_path, [TASK], 0, tell=told.append) as found:
        assert not any(found.due(step) for step in range(100))
    for wrong in ({"every": -1}, {"every": 5, "episodes": 0}):
        with pytest.raises(ValueError, match="--eval-"):
            Rollouts(tmp_path, [TASK], **wrong, tell=told.append)


def test_which_tasks():
    known = ["CartPole-v1", "ALE/Boxing-v5"]
    assert rollout_tasks(known, []) == known
    assert rollout_tasks(known, ["domain:atari"]) == ["ALE/Boxing-v5"]
    assert rollout_tasks(known, ["ALE/*", "Acrobot-v1"]) == ["ALE/Boxing-v5", "Acrobot-v1"]
    for wrong in ("NoSuchTask-v0", "domain:nowhere", "MiniGrid-*"):
        with pytest.raises(UnknownTaskError):
            rollout_tasks(known, [wrong])
