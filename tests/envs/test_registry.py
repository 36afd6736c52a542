"""The catalogue: scores, availability, nearest names, and that it stays light."""

import json
import subprocess
import sys

import pytest

from gato_gym.agents.experts import expert_ids
from gato_gym.agents.experts.hyperparameters import HYPERPARAMETERS
from gato_gym.envs import registry
from gato_gym.envs.families import base_name, families, family_of, observation_kind
from gato_gym.envs.registry import nearest, registered, tasks

EVERY = tasks(available=False)


@pytest.mark.parametrize("module", ["gato_gym", "gato_gym.envs", "gato_gym.agents.experts"])
def test_import_is_light(module):
    heavy = ["torch", "stable_baselines3"]
    heavy += sorted({name for family in families() for name in family.modules})
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_own_ids_are_registered_by_the_package_alone():
    code = (
        "import gymnasium, gato_gym\n"
        "gymnasium.register_envs(gato_gym)\n"
        "print(gymnasium.spec('gato_gym/BlockStacking-v0').id)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "gato_gym/BlockStacking-v0"


@pytest.mark.parametrize("spec", EVERY, ids=lambda spec: spec.id)
def test_entries_point_at_things_that_exist(spec):
    assert spec.expert is None or spec.expert in expert_ids()
    family = family_of(spec.id)
    assert family in families()
    assert (family.name, family.extra, family.distribution) == (
        spec.family,
        spec.extra,
        spec.package,
    )


def test_hyperparameters_are_of_known_tasks():
    assert HYPERPARAMETERS.keys() <= {spec.id for spec in EVERY}


def test_scores_are_of_known_tasks_with_their_source():
    for task, scores in registry.load_scores().items():
        assert registered(task) is not None
        for key in scores.keys() & {"random", "expert"}:
            assert scores[f"{key}_source"]


def test_scores_fill_the_spec(tmp_path, monkeypatch):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"CartPole-v1": {"random": 22.0, "random_source": "us"}}))
    scores = registry.load_scores(path)
    monkeypatch.setattr(registry, "load_scores", lambda: scores)
    spec = registered("CartPole-v1")
    assert (spec.random_score, spec.random_source, spec.expert_score) == (22.0, "us", None)


def test_nearest_forgives_case_and_namespace():
    names = ["ALE/Boxing-v5", "ALE/Pong-v5", "CartPole-v1"]
    assert nearest("boxing-v5", names)[0] == "ALE/Boxing-v5"
    assert nearest("CARTPOLE-v0", names) == ["CartPole-v1"]
    assert nearest("xyz", names) == []


def test_held_out_tasks_are_in_the_catalogue():
    assert all(registered(task) is not None for task in registry.HELD_OUT)


def test_no_task_is_counted_twice():
    keys = [(spec.package, base_name(spec.id), observation_kind(spec)) for spec in EVERY]
    assert len(set(keys)) == len(keys)


def test_there_are_as_many_tasks_as_gato_had():
    assert len(EVERY) >= 604
