"""One toy run with all that a page can show, written by hand, and the page of it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from gato_gym.data.collect import collect
from gato_gym.evaluation.report.page import build
from gato_gym.evaluation.video import VideoWriter

SCRIPT = "<script>alert(1)</script>"
"""A task's name, as bad as it gets."""
TASKS = {
    "CartPole-v1": "classic",
    "ALE/Boxing-v5": "atari",
    SCRIPT: "$_classic",
    "text/vqa": "text",
}


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def score(task, level, **more):
    """A row of a scorecard: random play 0, the expert 10, episodes around `level`."""
    returns = [10 * level - 1, 10 * level, 10 * level + 1]
    mean = 10 * level
    row = {"task": task, "episodes": 3, "seed": 7000, "mean_return": mean, "returns": returns}
    row |= {"ci95": [mean - 1, mean + 1], "random": 0.0, "expert": 10.0, "normalized": level}
    return row | {"success_rate": None, "checkpoint": "run/agent"} | more


def scorecard():
    spoken = {
        "accuracy": 0.7,
        "accuracy_ci95": [0.6, 0.8],
        "exact": 0.5,
        "sources": {"blocks": {"accuracy": 0.9, "accuracy_ci95": [0.8, 1.0], "replies": 4}},
        "controls": {"question_only": {"accuracy": 0.2, "accuracy_ci95": [0.1, 0.3]}},
        "perplexity": 1.5,
    }
    tasks = [
        score("CartPole-v1", 1.0),
        score("ALE/Boxing-v5", 0.3),
        score(SCRIPT, 0.6),
        score("text/vqa", 0.7, expert=None, normalized=None, **spoken),
    ]
    return {"tasks": tasks, "checkpoint": "run/agent", "skipped": {"Gone-v0": "no package"}}


def log(step, **more):
    losses = {"atari": 1 / step, SCRIPT: 2 / step}
    line = {"step": step, "loss": 3 / step, "losses": {}, "accuracy": {}, "learning_rate": 1e-3}
    return line | {"tokens_per_second": 5e3, "domain_losses": losses} | more


def write_run(folder):
    """A training run in `folder`."""
    agent = folder / "agent"
    write_lines(folder / "train.jsonl", [log(step) for step in (1, 2, 3, 4)])
    write_lines(folder / "validation.jsonl", [{"step": 2, "loss": 1.2}, {"step": 4, "loss": 1.1}])
    played = {"step": 2, "domains": {"atari": {"mean": 0.4, "iqm": 0.3}}}
    write_lines(folder / "rollouts.jsonl", [played])
    write_json(agent / "config.json", {"size": "tiny", "width": 32})
    write_json(agent / "tasks.json", {t: {"id": t, "domain": d} for t, d in TASKS.items()})
    write_json(agent / "scorecard.json", scorecard())
    data = {"share": 1.0, "episodes": 9, "steps": 90, "tokens": 900, "parts": [{"expert": "bot"}]}
    card = {"parameters": 12345, "steps": 4, "tokens": 9000, "seconds": 60.0, "machine": "2 x CPU"}
    card |= {"command": f"gato-gym train --note '{SCRIPT}'", "data": {"CartPole-v1": data}}
    card |= {"model": {"width": 32}, "train": {"seed": 0}, "versions": {"python": "3.11"}}
    card["start"] = {"agent": "older", "weights": "00112233", "card": {"steps": 2, "command": "x"}}
    write_json(agent / "card.json", card)
    text = f"---\nlicense: x\n---\n# A card\n\n{SCRIPT}\n\n[a](card.json) [b](https://arxiv.org)\n"
    (agent / "README.md").write_text(text + "\n![film](https://example.org/a.png)\n")
    save_file({"w": np.ones((2, 2), np.float32)}, agent / "model.safetensors")
    return folder


def write_video(path, shade=120):
    with VideoWriter(path, fps=10) as video:
        for _ in range(6):
            video.add(np.full((360, 480, 3), shade, np.uint8))
    return path


@pytest.fixture(scope="session")
def toy():
    """What the tests make runs of: see the functions."""
    return SimpleNamespace(
        script=SCRIPT, write_run=write_run, write_video=write_video, scorecard=scorecard, log=log
    )


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """The page of the toy run, with a video and a corpus."""
    folder = tmp_path_factory.mktemp("report")
    collect("CartPole-v1", out=folder / "corpus", episodes=2, seed=0)
    video = write_video(folder / "play.mp4")
    return build(write_run(folder / "run"), videos=[video], corpus=folder / "corpus")
