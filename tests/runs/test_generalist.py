"""The generalist's recipe: all of it at toy size, and what it would do at its own."""

import importlib.util
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gato_gym import GatoAgent, envs
from gato_gym.data.mixture import task_weights

RECIPE = Path(__file__).parents[2] / "runs" / "generalist.py"


@pytest.fixture(scope="module")
def recipe():
    location = importlib.util.spec_from_file_location("generalist", RECIPE)
    module = importlib.util.module_from_spec(location)
    sys.modules["generalist"] = module  # dataclasses look there
    location.loader.exec_module(module)
    return module


def test_at_toy_size_it_ends_with_a_scored_agent(tmp_path):
    command = [sys.executable, str(RECIPE), "--work", str(tmp_path), "--toy", "--jobs", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    agent = GatoAgent.from_pretrained(tmp_path / "agent")
    toys = ["CartPole-v1", "Meta-World/reach-v3", "gato_gym/BabyAI-GoToObj-pixels-v0"]
    assert sorted(agent.specs) == sorted(agent.prompts) == toys
    scores = json.loads((tmp_path / "agent" / "scorecard.json").read_text())
    assert sorted(row["task"] for row in scores["tasks"]) == toys and not scores["skipped"]
    card = json.loads((tmp_path / "agent" / "card.json").read_text())
    # 24, 9 and 3 of 36; two clean and two noisy episodes.
    shares = {task: data["share"] for task, data in card["data"].items()}
    assert shares == {toys[0]: 0.0833, toys[1]: 0.6667, toys[2]: 0.25}
    for data in card["data"].values():
        assert [part["episodes"] for part in data["parts"]] == [2, 2]
        assert data["parts"][0]["noise"] == 0 < data["parts"][1]["noise"]
    text = (tmp_path / "agent" / "README.md").read_text()
    (row,) = [row for row in scores["tasks"] if row["task"] == "Meta-World/reach-v3"]
    assert f"| `Meta-World/reach-v3` | 1 | {row['mean_return']:.1f} [" in text


def test_a_step_that_fails_ends_it(recipe, tmp_path, capfd):
    (tmp_path / "corpus").write_text("not a folder")
    assert recipe.main(["--work", str(tmp_path), "--toy", "--jobs", "1"]) == 2
    out, err = capfd.readouterr()
    assert out.count("$ gato-gym") == 1 and "corpus" in err


def test_it_learns_a_hundred_and_twenty_tasks_of_seven_domains(recipe, tmp_path, capsys):
    assert recipe.main(["--work", str(tmp_path / "work"), "--dry-run", "--start", "bundled"]) == 0
    assert not list(tmp_path.iterdir())
    lines = [shlex.split(line)[2:] for line in capsys.readouterr().out.splitlines()]
    *collecting, train, evaluate = lines
    collected = {word for line in collecting for word in line[1 : line.index("--episodes")] if word}
    specs = {spec.id: spec for spec in envs.tasks()}
    assert {line[0] for line in collecting} == {"collect"} and collected <= specs.keys()
    assert len(collected) >= 120 and len({specs[task].domain for task in collected}) >= 7
    # The agent that it goes on from plays some; the block stacker is shown its work in no order.
    learners = {line[line.index("--learner") + 1] for line in collecting if "--learner" in line}
    assert learners == {"bundled"}
    scattered = [line for line in collecting if "scripted/stacker_anywhere" in line]
    assert {line[1] for line in scattered} == {
        f"gato_gym/BlockStacking{name}-pixels-v0" for name in ("", "-Lift", "-Reach")
    }
    # What is collected is what is learned: every task has a share.
    weights = dict(word.rsplit("=", 1) for word in train[train.index("--weights") + 1 :])
    domains = {spec.id: spec.domain for spec in specs.values()}
    shares = task_weights({k: float(v) for k, v in weights.items()}, collected, domains)
    assert set(shares) == collected
    assert sum(shares.values()) == pytest.approx(sum(part.share for part in recipe.PARTS), rel=1e-3)
    assert train[0] == "train" and train[train.index("--start") + 1] == "bundled"
    assert evaluate[:2] == ["eval", "--all"] and "--controls" in evaluate
    # Not in the agent's folder, which the next run of the script replaces before it evaluates.
    assert Path(evaluate[evaluate.index("--out") + 1]).parent == tmp_path / "work"
