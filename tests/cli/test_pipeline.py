"""The whole line at toy size, through the command line: collect, train, resume, export, play."""

import json
import os
import signal

import av
import pytest

from gato_gym.training.trainer import Trainer


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_pipeline(folder, run_json):
    collected = run_json(
        "collect", "CartPole-v1", "--episodes", 6, "--seed", 100, "--out", "corpus"
    )
    assert collected["tasks"][0]["episodes"] == 6
    assert run_json("corpus", "verify", "corpus")["episodes"] == 6

    train = ("train", "--corpus", "corpus", "--out", "run", "--size", "tiny", "--batch", 2)
    train = (*train, "--log-every", 1, "--threads", 1, "--weights", "CartPole-v1=1")
    first = run_json(*train, "--steps", 5)
    assert first["steps"] == 5
    longer = run_json(*train, "--steps", 8, "--export", "agent")
    assert longer["steps"] == 8 and longer["tokens"] == 8 * 2 * 96
    log = (folder / "run/train.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == list(range(1, 9))
    # A finished run is only exported.
    again = run_json(*train, "--steps", 8, "--export", "again")
    assert again["loss"] == longer["loss"]
    weights = [(folder / name / "model.safetensors").read_bytes() for name in ("agent", "again")]
    assert weights[0] == weights[1]

    card = json.loads((folder / "agent/card.json").read_text())
    assert card["data"]["CartPole-v1"]["parts"][0]["seeds"] == [100, 105]
    assert card["command"].startswith("gato-gym train --corpus corpus --out run --size tiny")
    assert [point["step"] for point in card["curve"]] == list(range(1, 9))
    assert card["prompts"]["CartPole-v1"]["return"] == 500
    assert card["command"] in (folder / "agent/README.md").read_text()

    play = ("--task", "CartPole-v1", "--checkpoint", "agent")
    score = run_json("eval", *play, "--episodes", 2, "--seed", 7000)
    assert score["checkpoint"] == "agent" and score["episodes"] == 2
    assert run_json("eval", *play, "--episodes", 2, "--seed", 7000)["returns"] == score["returns"]

    video = run_json("record", *play, "--out", "videos/cart.mp4")
    with av.open(str(folder / "videos/cart.mp4")) as file:
        frames = sum(1 for _ in file.decode(video=0))
    assert frames == video["mean_length"] + 1


@pytest.fixture
def started(folder, run_json):
    """A run of two steps, and its command without --steps."""
    run_json("collect", "CartPole-v1", "--episodes", 1, "--out", "corpus")
    train = ("train", "--corpus", "corpus", "--out", "run", "--size", "tiny", "--batch", 2)
    train = (*train, "--log-every", 1, "--threads", 1)
    run_json(*train, "--steps", 2)
    return train


def test_a_run_that_has_only_tensorboard_gets_its_log_from_there(started, folder, run_json):
    log = folder / "run/train.jsonl"
    before = [json.loads(line) for line in log.read_text().splitlines()]
    log.unlink()
    run_json(*started, "--steps", 2)
    after = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["step"] for line in after] == [1, 2]
    for old, new in zip(before, after, strict=True):
        assert new["losses"] == pytest.approx(old["losses"], rel=1e-6)
        assert new["loss"] == pytest.approx(old["loss"], rel=1e-6)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_saves_and_leaves(started, folder, run, run_json, monkeypatch, number):
    """And the run goes on as if nothing had happened."""
    step = Trainer._step

    def interrupted(self, *arguments):
        if self.step == 3:
            os.kill(os.getpid(), number)
        return step(self, *arguments)

    def into(out):
        return (*started[:4], out, *started[5:], "--steps", 6)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted)
        code, out, err = run(*into("stopped"))
    assert (code, out) == (128 + number, "")
    assert err.splitlines()[-1] == "saved step 3: run the same command again to resume"
    losses = []
    for name in ("stopped", "straight"):
        run_json(*into(name))
        lines = (folder / name / "train.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert len(losses[0]) == 6 and losses[0] == losses[1]


def test_other_settings_do_not_resume(started, fails):
    changed = list(started)
    changed[changed.index("--batch") + 1] = 3
    assert "other train settings (batch)" in fails(*changed, "--steps", 2)
