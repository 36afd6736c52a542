"""What there is to do: sizes, points, tasks, what is left out, what it costs."""

from dataclasses import replace

import pytest

from gato_gym import envs
from gato_gym.config import MODELS
from gato_gym.data.collect import collect
from gato_gym.errors import GatoGymError, UnknownTaskError
from gato_gym.evaluation.scaling import plan as planning
from gato_gym.evaluation.scaling.budgets import (
    BUDGETS,
    ScalingBudget,
    budget,
    changed_numbers,
    size_config,
    together,
)
from gato_gym.evaluation.scaling.plan import LENGTHS, make_plan
from gato_gym.evaluation.scaling.speed import nominal
from gato_gym.evaluation.studies import units as units_of_studies
from gato_gym.evaluation.studies.speed import estimate


def test_sizes_are_presets_or_presets_of_another_width():
    assert size_config("79m") == MODELS["79m"]
    assert size_config("bundle@192x4") == replace(MODELS["bundle"], size="bundle@192x4")
    small = size_config("bundle@64x2")
    assert (small.width, small.layers, small.heads, small.hidden) == (64, 2, 2, 256)
    assert small.context == MODELS["bundle"].context
    with pytest.raises(ValueError, match="did you mean 'bundle'"):
        size_config("bundel@64")
    with pytest.raises(ValueError, match="must be a multiple of 32"):
        size_config("bundle@65")
    with pytest.raises(ValueError, match="at least 1 layer"):
        size_config("bundle@64x0")


def test_points_in_tokens():
    log = budget("small", tokens=2048 * 308 * 8, points=4)
    assert log.steps == 2048 and log.point_steps() == (260, 510, 1020, 2048)
    even = replace(log, spacing="even")
    assert even.point_steps() == (510, 1020, 1540, 2048)
    # Too short for so many; never none, never one twice.
    short = replace(log, tokens=3 * 308 * 8, points=9)
    assert short.point_steps() == (1, 2, 3)
    assert budget("small", points=1).point_steps() == (budget("small").steps,)


def test_all_sizes_learn_the_same_in_the_same_way():
    plan = make_plan(budget("small", seeds=2))
    found = {unit.key: unit.settings for unit in plan.units if unit.stage == "train"}
    assert list(found) == [
        f"train/{size}/{seed}" for seed in (0, 1) for size in ("bundle", "bundle@128", "bundle@64")
    ]
    apart = [
        {name: value for name, value in settings.items() if name not in ("size", "model", "seed")}
        for settings in found.values()
    ]
    assert all(settings == apart[0] for settings in apart)
    assert len({settings["model"]["width"] for settings in found.values()}) == 3
    keys = [unit.key for unit in plan.units]
    assert len(set(keys)) == len(keys)
    for unit in plan.units:
        assert all(keys.index(need) < keys.index(unit.key) for need in unit.needs)
    played = [unit for unit in plan.units if unit.stage == "play"]
    assert len(played) == 3 * 2 * 6 * 5


def test_domains_count_alike():
    plan = make_plan(budget("small"))
    sums = {}
    for task, weight in plan.unit("train/bundle/0").settings["tasks"].items():
        domain = envs.task_spec(task).domain
        sums[domain] = sums.get(domain, 0) + weight
    assert len(sums) == 3 and all(total == pytest.approx(1) for total in sums.values())


@pytest.mark.parametrize("name", BUDGETS)
def test_every_task_of_a_budget_can_be_studied(name):
    plan = make_plan(budget(name))
    assert plan.tasks and (name == "paper" or not plan.skipped)
    for spec in plan.tasks.values():
        assert spec.expert is not None and spec.expert_score > spec.random_score
    if name == "paper":
        assert {unit.settings["size"] for unit in plan.units if unit.stage == "train"} == {
            *("79m", "364m", "1.2b")
        }
        assert len(plan.tasks) > 100


def test_estimates_know_the_lengths_of_the_tasks_that_a_budget_plays():
    assert set(BUDGETS["small"].tasks) | set(BUDGETS["smoke"].tasks) <= set(LENGTHS)


UNSCORED = "Meta-World/button-press-topdown-wall-v3"
"""Its expert is not above random play."""


def test_a_task_that_cannot_be_scored_or_shown_is_named(monkeypatch):
    plan = make_plan(budget("smoke", tasks=["CartPole-v1", "InvertedPendulum-v5", UNSCORED]))
    assert set(plan.tasks) == {"CartPole-v1"}
    assert plan.skipped["InvertedPendulum-v5"] == "no expert plays it, and no corpus was given"
    assert plan.skipped[UNSCORED].startswith("the expert (0) is not above random play")
    assert not any("button" in unit.key or "Pendulum" in unit.key for unit in plan.units)
    assert UNSCORED in make_plan(budget("paper")).skipped
    with pytest.raises(GatoGymError, match="none of the tasks can be studied: Meta-World/button"):
        make_plan(budget("smoke", tasks=[UNSCORED]))
    unknown = replace(envs.task_spec("MountainCar-v0"), expert_score=None)
    specs = {"MountainCar-v0": unknown, "CartPole-v1": envs.task_spec("CartPole-v1")}
    monkeypatch.setattr(planning.envs, "task_spec", specs.__getitem__)
    assert make_plan(budget("smoke")).skipped == {"MountainCar-v0": "no expert score is known"}


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(units_of_studies, "is_available", lambda spec: spec.domain != "mujoco")
    plan = make_plan(budget("small"))
    assert 'pip install "gato-gym[mujoco]"' in plan.skipped["Reacher-v5"]
    assert "Reacher-v5" not in plan.tasks and len(plan.tasks) == 4


def test_a_corpus_instead_of_experts(tmp_path):
    collect("CartPole-v1", out=tmp_path / "corpus", episodes=1, seed=1)
    plan = make_plan(budget("smoke", corpus=str(tmp_path / "corpus")))
    assert list(plan.tasks) == ["CartPole-v1"]
    assert {unit.stage for unit in plan.units} == {"train", "play"}
    with pytest.raises(UnknownTaskError, match="has no episode of 'Acrobot-v1'; it has CartPole"):
        make_plan(budget("smoke", corpus=str(tmp_path / "corpus"), tasks=["Acrobot-v1"]))
    with pytest.raises(ValueError, match="collects nothing"):
        budget("smoke", corpus=str(tmp_path), demonstrations=3)


def test_wrong_numbers_are_told():
    with pytest.raises(ValueError, match="did you mean 'small'"):
        budget("smal")
    with pytest.raises(ValueError, match="unknown model size"):
        budget("small", sizes=["bundel"])
    with pytest.raises(ValueError, match="one context to see the same rows of tokens, got bundle"):
        budget("small", sizes=["bundle", "tiny"])
    with pytest.raises(ValueError, match="episodes must be at least 1, got 0"):
        budget("small", episodes=0)
    with pytest.raises(ValueError, match="demonstrations must be at least 1, got 0"):
        budget("small", demonstrations=0)
    with pytest.raises(UnknownTaskError):
        make_plan(budget("small", tasks=["CartPoole-v1"]))


def test_budgets_as_json_and_what_differs():
    one = budget("small", sizes=["bundle@64"], seeds=2)
    assert ScalingBudget.from_json(one.to_json()) == one
    other = replace(one, tokens=5, tasks=(), sizes=("bundle",), seeds=1)
    assert changed_numbers(one, other) == [
        f"tasks {' '.join(one.tasks)}, not all",
        "tokens 1500000, not 5",
    ]
    both = together(one, replace(one, sizes=("bundle",), seeds=1))
    assert (both.sizes, both.seeds) == (("bundle@64", "bundle"), 2)


def test_the_estimate_adds_up():
    plan = make_plan(budget("small"))
    speed = nominal(plan.budget.sizes, 1000)
    assert speed.by_size["bundle"].trained == 1000
    assert speed.by_size["bundle@64"].trained > speed.by_size["bundle@128"].trained > 1000
    unit = plan.unit("train/bundle/0")
    assert unit.work.trained == plan.budget.steps * 8 * 308 >= 1_500_000
    assert speed.seconds(unit) == pytest.approx(4 + unit.work.trained / 1000)
    play = plan.unit(f"play/bundle/0/{plan.budget.steps}/Reacher-v5").work
    # 20 episodes of 50 steps of 13 tokens, two of which are the action; 8 at once.
    assert (play.acted, play.passes) == (20 * 50 * 13, 20 * 50 * 2 / 8)
    found = estimate(plan.units, speed, jobs=2)
    assert found.total == pytest.approx(sum(map(speed.seconds, plan.units)) / 3600 / 2)
    assert found.units == {"collect": 5, "train": 3, "play": 90}
