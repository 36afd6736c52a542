"""`gato-gym tasks`: the list, the counts, and the commands that write the catalogue."""

import json
from functools import cache

import pytest

from gato_gym import envs
from gato_gym.cli import catalogue, tasks
from gato_gym.envs import registry
from gato_gym.envs.registry import load_tasks

TASK_KEYS = {
    *("id", "domain", "package", "observation", "actions", "available", "random", "expert"),
    *("source", "extra", "name", "observation_kind", "horizon", "control_hz", "success"),
}


@pytest.fixture
def scores_path(tmp_path, monkeypatch):
    """A copy of the score file that the commands write to."""
    path = tmp_path / "scores.json"
    path.write_text('{"CartPole-v1": {"expert": 499.0, "expert_source": "kept"}}')
    monkeypatch.setattr(catalogue, "SCORES_PATH", path)
    monkeypatch.setattr(catalogue, "load_scores", cache(lambda: json.loads(path.read_text())))
    return path


def test_json_lists_the_whole_catalogue(run_json):
    rows = run_json("tasks")
    assert {row["id"] for row in rows} == {spec.id for spec in envs.tasks(available=False)}
    assert all(set(row) >= TASK_KEYS for row in rows)
    boxing = next(row for row in rows if row["id"] == "ALE/Boxing-v5")
    assert boxing["package"] == "ale-py" and boxing["extra"] == "atari"
    assert boxing["actions"] == "discrete 18"
    assert boxing["observation"] == {"observation": "image 64x80x3"}
    assert boxing["observation_kind"] == "pixels" and boxing["name"] == "Boxing"


def test_a_domain(run_json, run):
    assert {row["domain"] for row in run_json("tasks", "--domain", "classic")} == {"classic"}
    assert "CartPole-v1" in run("tasks")[1]


def test_counts_stand_beside_the_papers(run_json, run):
    rows = run_json("tasks", "--domains")
    ours = {row["domain"]: row["tasks"] for row in rows if row["domain"]}
    assert sum(ours.values()) == len(envs.tasks())
    atari = next(row for row in rows if row["domain"] == "atari")
    assert (atari["gato_domain"], atari["gato_tasks"]) == ("ALE Atari", 51)
    assert sum(row["gato_tasks"] or 0 for row in rows) == 596  # Table 1
    assert "DM Lab" in run("tasks", "--domains")[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--domain", "attari"), "did you mean atari?"),
        (("--task", "CartPool-v1"), "CartPole-v1"),
        (("--domains", "--build"), "only one of"),
        (("--import-scores", "/none/there.json"), "/none/there.json"),
    ],
)
def test_wrong_use(arguments, told, fails):
    assert told in fails("tasks", *arguments)


def test_a_missing_package_hides_its_tasks_in_one_line(run, monkeypatch):
    count = sum(spec.extra == "atari" for spec in envs.tasks(available=False))
    monkeypatch.setattr(registry, "is_available", lambda spec: spec.extra != "atari")
    monkeypatch.setattr(tasks, "is_available", registry.is_available)
    _, out, err = run("tasks")
    assert "ALE/" not in out
    assert err == f'{count} more with: pip install "gato-gym[atari]"\n'


def test_measuring_writes_scores_with_their_source(scores_path, tmp_path, run):
    code, _, err = run(
        *("tasks", "--task", "CartPole-v1", "--measure", "random", "--episodes", 3, "--seed", 5),
        *("--cache", tmp_path / "cache", "--workers", 1),
    )
    assert code == 0, err
    row = json.loads(scores_path.read_text())["CartPole-v1"]
    assert row["expert"] == 499.0 and row["expert_source"] == "kept"
    assert row["random"] > 8 and row["random_std"] >= 0
    assert row["random_source"] == "gato-gym tasks --measure random --episodes 3 --seed 5"


def test_published_scores_do_not_replace_measured_ones(scores_path, tmp_path, run):
    table = {
        "a": {"env_id": "ALE/Boxing-v4", "expert": 90.0, "expert_std": 2.0},
        "b": {"env_id": "CartPole-v0", "expert": 200.0},
        "c": {"env_id": "Nothing-v0", "expert": 1.0},
    }
    published = tmp_path / "published.json"
    published.write_text(json.dumps(table))
    scores_path.write_text(
        '{"CartPole-v1": {"expert": 499.0, "expert_source": "gato-gym tasks --measure expert"}}'
    )
    code, out, _ = run("tasks", "--import-scores", published)
    assert (code, out.split(" scores")[0]) == (0, "1 of 3")
    rows = json.loads(scores_path.read_text())
    assert rows["ALE/Boxing-v5"]["expert"] == 90.0
    assert rows["ALE/Boxing-v5"]["expert_source"].endswith("on ALE/Boxing-v4")
    assert rows["CartPole-v1"]["expert"] == 499.0


def test_the_catalogue_is_written_one_task_per_line():
    lines = registry.TASKS_PATH.read_text().splitlines()
    assert len(lines) == len(load_tasks()) + 2
    assert all(json.loads(line.rstrip(","))["id"] for line in lines[1:-1])
