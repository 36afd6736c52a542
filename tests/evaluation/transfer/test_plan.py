"""What there is to do: regimes, cells, what is held out, what is left out, what it costs."""

from dataclasses import replace

import pytest

from gato_gym import envs
from gato_gym.envs.registry import HELD_OUT
from gato_gym.errors import GatoGymError, UnknownTaskError
from gato_gym.evaluation.studies import units as units_of_studies
from gato_gym.evaluation.studies.speed import Speed, estimate, given_speed
from gato_gym.evaluation.transfer import plan as planning
from gato_gym.evaluation.transfer.budgets import (
    BUDGETS,
    Budget,
    budget,
    changed_numbers,
    together,
)
from gato_gym.evaluation.transfer.plan import make_plan
from gato_gym.evaluation.transfer.sources import (
    SMOKE_SOURCES,
    SOURCES,
    TARGETS,
    held_out_names,
    make_environment,
    refuse_held_out,
)


@pytest.fixture(scope="module")
def small():
    return make_plan(budget("small"))


@pytest.fixture(scope="module")
def stacking():
    return make_plan(budget("small", targets=["block-stacking"], episodes=[1], draws=1))


def pretrainings(plan):
    return {u.key.partition("/")[2]: u for u in plan.units if u.stage == "pretrain"}


def test_the_four_tasks_are_those_that_the_catalogue_holds_out():
    assert {TARGETS[name].task for name in BUDGETS["small"].targets} == set(HELD_OUT)


def test_four_regimes_four_tasks_three_draws(small):
    cells = {(c.regime, c.target.name, c.episodes, c.draw) for c in small.cells}
    assert len(cells) == len(small.cells) == 4 * 4 * 2 * 3
    assert {c[0] for c in cells} == {"all", "same-domain", "no-control", "scratch"}
    assert {c[2] for c in cells} == {10, 100} and {c[3] for c in cells} == {0, 1, 2}
    keys = [unit.key for unit in small.units]
    assert len(set(keys)) == len(keys)
    for unit in small.units:
        assert all(keys.index(need) < keys.index(unit.key) for need in unit.needs)


def test_block_stacking_has_a_fifth_regime(stacking):
    runs = {cell.regime: stacking.unit(cell.key).settings["run"] for cell in stacking.cells}
    assert runs == {
        "all": "all",
        "same-domain": "only-manipulation",
        "no-control": "no-control",
        "dm-control": "only-dm_control",
        "scratch": None,
    }


def test_regimes_differ_in_their_data_only(small):
    found = pretrainings(small)
    assert set(found) == {
        *("all", "no-control"),
        *(f"only-{name}" for name in ("dm_control", "meta_world", "navigation", "atari")),
    }
    apart = [{k: v for k, v in unit.settings.items() if k != "tasks"} for unit in found.values()]
    assert all(settings == apart[0] for settings in apart)
    assert set(found["no-control"].settings["tasks"]) == set(SOURCES["text"].tasks)
    weights = found["all"].settings["tasks"]
    for source in SOURCES.values():  # domains count alike
        assert sum(weights[task] for task in source.tasks) == pytest.approx(1)
    for run, unit in found.items():
        if run.startswith("only-"):
            assert set(unit.settings["tasks"]) == set(SOURCES[run.removeprefix("only-")].tasks)


@pytest.mark.parametrize("name", BUDGETS)
def test_no_pretraining_has_a_held_out_task_in_any_form(name):
    plan = make_plan(budget(name))
    targets = plan.budget.all_targets()
    learned = {task for unit in pretrainings(plan).values() for task in unit.settings["tasks"]}
    assert learned and not held_out_names(learned, targets)
    collected = {u.settings["task"] for u in plan.units if u.key.startswith("collect/pretraining/")}
    assert collected == learned


def test_other_forms_of_a_held_out_task_are_held_out():
    forms = [
        *("dm_control/cartpole-swingup-pixels-v0", "dm_control/cartpole-swingup-random-small-v0"),
        *("ALE/BoxingExtended-v5", "gato_gym/BlockStacking-Instructed-pixels-v0"),
        *("gato_gym/OrderOfApples-v0", "Meta-World/assembly-v3"),
    ]
    others = ["Meta-World/disassemble-v3", "dm_control/cartpole-balance-v0"]
    others += ["gato_gym/BlockStacking-Lift-v0", "CartPole-v1"]
    targets = BUDGETS["paper"].chosen()
    assert held_out_names([*forms, *others], targets) == forms
    with pytest.raises(GatoGymError, match="ALE/BoxingExtended-v5, which this study holds out"):
        refuse_held_out(["ALE/Pong-v5", "ALE/BoxingExtended-v5"], targets, "a corpus")


@pytest.mark.parametrize("name", ["smoke", "suite"])
def test_every_task_that_is_learned_before_has_an_expert(name):
    sources = SMOKE_SOURCES if name == "smoke" else SOURCES
    known = {spec.id: spec for spec in envs.tasks(available=False)}
    for source in sources.values():
        for task in source.tasks:
            assert known[task].expert is not None
            assert known[task].domain in source.domains
    for target in TARGETS.values():
        assert known[target.task].expert is not None


def test_pictures_of_pretraining_show_no_held_out_game():
    env = make_environment("text/captioning")
    try:
        seen = {env.reset(seed=seed)[1]["source"] for seed in range(20_000, 20_012)}
    finally:
        env.close()
    assert seen == {"blocks", "grid"}


def test_a_package_that_is_missing_is_named_with_all_that_needs_it(monkeypatch):
    there = units_of_studies.is_available
    monkeypatch.setattr(
        units_of_studies, "is_available", lambda spec: spec.extra != "atari" and there(spec)
    )
    plan = make_plan(budget("small"))
    assert set(plan.skipped) == {*SOURCES["atari"].tasks, "ALE/Boxing-v5"}
    assert 'pip install "gato-gym[atari]"' in plan.skipped["ALE/Boxing-v5"]
    assert {cell.target.name for cell in plan.cells} == {
        *("cartpole-swingup", "assembly", "order-of-apples")
    }
    assert not any("ALE" in task for task in pretrainings(plan)["all"].settings["tasks"])
    monkeypatch.setattr(units_of_studies, "is_available", lambda spec: spec.domain != "meta_world")
    alone = make_plan(replace(budget("small"), targets=("assembly",)))
    assert not alone.cells and "Meta-World/assembly-v3" in alone.skipped


def test_a_regime_without_data_is_left_out(monkeypatch):
    text = set(SOURCES["text"].tasks)
    monkeypatch.setattr(units_of_studies, "is_available", lambda spec: spec.id not in text)
    plan = make_plan(budget("small", targets=["assembly"]))
    assert {cell.regime for cell in plan.cells} == {"all", "same-domain", "scratch"}
    assert "finetune/no-control/assembly" in plan.skipped


def test_a_target_without_an_expert_score_is_named(monkeypatch):
    plan = make_plan(budget("smoke"))
    assert plan.unscored == ()
    spec = replace(envs.task_spec("CartPole-v1"), expert_score=None)
    monkeypatch.setattr(planning.envs, "task_spec", lambda task: spec)
    assert make_plan(budget("smoke")).unscored == ("cart-pole",)


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("finetune", 96),
        ("finetune/all/boxing", 6),
        ("finetune/*/boxing/100", 12),
        ("pretrain/all", 1),
        ("collect/held-out/", 4),
    ],
)
def test_units_by_pattern(small, pattern, count):
    assert len(small.choose([pattern])) == count


def test_all_units_without_a_pattern_and_an_error_for_a_wrong_one(small):
    assert small.choose([]) == list(small.units)
    with pytest.raises(GatoGymError, match="finetune/al: the study has no such unit"):
        small.choose(["finetune/al"])


def test_wrong_numbers_are_told():
    with pytest.raises(ValueError, match="did you mean 'small'"):
        budget("smal")
    with pytest.raises(ValueError, match="unknown model size"):
        budget("small", size="bundel")
    with pytest.raises(UnknownTaskError, match="cartpole-swingup"):
        budget("small", targets=["pong"])
    with pytest.raises(ValueError, match="201 episodes: at least 1, and at most the 200"):
        budget("small", episodes=[201])
    with pytest.raises(ValueError, match="no pretraining data"):
        budget("smoke", targets=["boxing"])
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        budget("small", draws=0)


def test_budgets_as_json_and_what_differs():
    one = budget("small", episodes=[10, 1], targets=["boxing"])
    assert Budget.from_json(one.to_json()) == one and one.episodes == (1, 10)
    other = replace(one, tokens=5, tuning=replace(one.tuning, steps=7), draws=1)
    assert changed_numbers(one, other) == ["tokens 2000000, not 5", "tuning steps 500, not 7"]
    both = together(one, budget("small", episodes=[100], targets=["assembly"], draws=5))
    assert (both.targets, both.episodes, both.draws) == (("boxing", "assembly"), (1, 10, 100), 5)


def test_the_estimate_adds_up(small):
    speed = Speed(trained=1000, acted=500, passes=50, played=100)
    unit = small.unit("finetune/scratch/boxing/10/0")
    # 500 steps of 4 rows of 308 tokens; 3 evaluations of 3 episodes at once, of 1785 steps of 22
    # tokens, one of which is the action.
    assert unit.work.trained == 500 * 4 * 308 and unit.work.acted == 3 * 3 * 1785 * 22
    assert unit.work.passes == 3 * 1785
    assert speed.seconds(unit) == pytest.approx(4 + 616 + 706.86 + 107.1)
    # Four numbers in an action of assembly.
    assert small.unit("finetune/scratch/assembly/10/0").work.passes == 3 * 500 * 4
    found = estimate(small.units, speed, jobs=2)
    total = sum(speed.seconds(unit) for unit in small.units)
    assert found.total == pytest.approx(total / 3600 / 2)
    assert found.units == {"collect": 30, "pretrain": 6, "finetune": 96}
    with pytest.raises(ValueError, match="trained must be positive, got 0"):
        given_speed(0)
