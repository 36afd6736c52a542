"""Building and measuring the catalogue: cached, resumable, and one bad task costs one task."""

import json
import shutil

import pytest

from gato_gym.cli.catalogue import name_experts
from gato_gym.envs.registry import TASKS_PATH
from gato_gym.evaluation import catalogue
from gato_gym.testing import fragile_work


def run(tasks, cache, factor=2, workers=2):
    outcomes = catalogue.run_cached(tasks, fragile_work, (factor,), cache, workers, "work")
    return {outcome.task: outcome for outcome in outcomes}


def test_one_bad_task_costs_that_task_only(tmp_path):
    found = run(["a", "ends", "bb", "fails", "x/ccc"], tmp_path)
    assert {task: found[task].result for task in ("a", "bb", "x/ccc")} == {
        "a": {"value": 2},
        "bb": {"value": 4},
        "x/ccc": {"value": 10},
    }
    assert found["ends"].result is None and "ended its process" in found["ends"].problem
    assert found["fails"].result is None and "no such luck" in found["fails"].problem


def test_a_second_run_computes_only_what_is_not_there(tmp_path):
    run(["a", "bb"], tmp_path)
    found = run(["a", "bb", "ccc"], tmp_path, factor=100)
    assert {task: outcome.result["value"] for task, outcome in found.items()} == {
        "a": 2,
        "bb": 4,
        "ccc": 300,
    }


def test_a_half_written_result_is_computed_again(tmp_path):
    run(["a"], tmp_path)
    (tmp_path / "a.json").write_text('{"value"')
    assert run(["a"], tmp_path)["a"].result == {"value": 2}


def test_random_play_of_cartpole_is_reproducible_and_of_the_published_size():
    first = catalogue.measure("CartPole-v1", "random", 40, 0)
    again = catalogue.measure("CartPole-v1", "random", 40, 0)
    assert first == again
    assert 18 < first["mean"] < 28  # 22.2 for uniform random actions
    assert first["std"] > 0 and first["success"] is None


@pytest.mark.parametrize("task", ["CartPole-v1", "ALE/Boxing-v5", "gato_gym/BlockStacking-v0"])
def test_an_entry_is_what_the_catalogue_holds(task):
    stored = {row["id"]: row for row in json.loads(TASKS_PATH.read_text())}
    assert json.loads(json.dumps(catalogue.build(task))) == {**stored[task], "expert": None}


def test_the_catalogue_names_the_experts_there_are(tmp_path, capsys):
    shutil.copy(TASKS_PATH, tmp_path / "tasks.json")
    assert name_experts(tmp_path / "tasks.json") == 0
    assert " 0 changed" in capsys.readouterr().out, "run gato-gym tasks --name-experts"
    assert (tmp_path / "tasks.json").read_bytes() == TASKS_PATH.read_bytes()
