"""The folder of a study, and doing its units: cached, refused, failed, stopped, shared."""

from dataclasses import replace

import pytest

from gato_gym.data.collect import collect
from gato_gym.errors import GatoGymError
from gato_gym.evaluation.studies import runner
from gato_gym.evaluation.studies.runner import run_units
from gato_gym.evaluation.studies.speed import given_speed
from gato_gym.evaluation.transfer import stages
from gato_gym.evaluation.transfer.budgets import budget
from gato_gym.evaluation.transfer.plan import make_plan
from gato_gym.evaluation.transfer.study import Study


@pytest.fixture
def plan():
    return make_plan(budget("smoke"))


@pytest.fixture
def study(plan, tmp_path):
    return Study.create(tmp_path / "study", plan.budget)


def go(study, plan, only=(), **options):
    """-> (report, the lines that were told)."""
    lines = []
    report = run_units(
        study, plan, plan.choose(only), speed=given_speed(1e4), tell=lines.append, **options
    )
    return report, lines


@pytest.fixture
def quick(monkeypatch):
    """Stages that only note what they are asked for; -> (the notes, unit -> what it does)."""
    notes, actions = [], {}

    def stage(unit, study, stop):
        notes.append(unit.key)
        return actions.get(unit.key, lambda: {"episodes": 1, "mean_return": 0.0})()

    monkeypatch.setattr(stages, "STAGES", dict.fromkeys(stages.STAGES, stage))
    return notes, actions


def test_a_study_takes_its_own_numbers_only(study, plan):
    with pytest.raises(GatoGymError, match=r"tokens 384, not 9; tuning steps 2, not 3"):
        Study.create(
            study.folder,
            replace(plan.budget, tokens=9, tuning=replace(plan.budget.tuning, steps=3)),
        )
    grown = Study.create(study.folder, replace(plan.budget, episodes=(3,), draws=1))
    assert (grown.budget.episodes, grown.budget.draws) == ((1, 2, 3), 2)
    assert Study(study.folder).budget == grown.budget


def test_other_folders_are_left_alone(study, plan, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no transfer study"):
        Study(tmp_path / "none")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="choose another --out"):
        Study.create(tmp_path / "mine", plan.budget)
    (study.folder / "study.json").write_text("{")
    with pytest.raises(GatoGymError, match="not valid JSON"):
        Study(study.folder)
    (study.folder / "study.json").write_text('{"format": 2}')
    with pytest.raises(GatoGymError, match="format 2, not 1"):
        Study(study.folder)


def test_each_unit_is_done_once(study, plan, quick):
    notes, _ = quick
    report, lines = go(study, plan)
    assert notes == report.done == [unit.key for unit in plan.units]
    assert lines[0].startswith("[1/22] collect/held-out/cart-pole: 1 episodes")
    assert "left about" in lines[0] and lines[-1].endswith("left about 0:00:00")
    # Killed between its result and the deletion of its checkpoints.
    (study.path("pretrain/all") / "run/step-00000001").mkdir(parents=True)
    report, lines = go(study, plan)
    assert report == runner.Report() and lines == [] and len(notes) == 22
    assert not (study.path("pretrain/all") / "run").exists()


def test_a_changed_setting_is_named(study, plan, quick):
    go(study, plan)
    changed = make_plan(replace(plan.budget, learning_rate=5.0))
    with pytest.raises(GatoGymError, match=r"pretrain/all was made with learning_rate 0.001, not"):
        go(study, changed)
    # Begun, but not done: its checkpoints are of other settings.
    (study.path("pretrain/all") / "result.json").unlink()
    report, _ = go(study, changed, ["pretrain/all"])
    assert "learning_rate 0.001, not 5.0" in report.failed["pretrain/all"]


def test_what_fails_stops_only_what_needs_it(study, plan, quick):
    notes, actions = quick

    def broken():
        raise ValueError("no such luck")

    actions["pretrain/all"] = broken
    report, lines = go(study, plan)
    assert report.failed == {"pretrain/all": "ValueError: no such luck"}
    assert "pretrain/all failed: ValueError: no such luck" in lines
    assert set(report.blocked) == {
        f"finetune/all/cart-pole/{n}/{draw}" for n in (1, 2) for draw in (0, 1)
    }
    assert set(report.blocked.values()) == {"pretrain/all"}
    assert len(report.done) == 22 - 1 - 4
    assert "Traceback" in (study.path("pretrain/all") / "failure.txt").read_text()
    del actions["pretrain/all"]
    notes.clear()
    report, _ = go(study, plan)
    assert notes == report.done == ["pretrain/all", *(f"finetune/all/cart-pole/{n}/{d}"
                                                      for n in (1, 2) for d in (0, 1))]  # fmt: skip
    assert not (study.path("pretrain/all") / "failure.txt").exists()


def test_what_is_needed_and_not_chosen_is_told(study, plan, quick):
    notes, _ = quick
    report, _ = go(study, plan, ["finetune/scratch"])
    assert notes == [] and len(report.blocked) == 4
    assert set(report.blocked.values()) == {"collect/held-out/cart-pole"}


def test_a_stop_leaves_the_rest(study, plan, quick):
    notes, actions = quick
    actions["pretrain/all"] = lambda: None  # as a stage that was asked to stop
    report, _ = go(study, plan)
    assert report.stopped and notes[-1] == "pretrain/all" and len(report.done) == 3
    report, _ = go(study, plan, stop=lambda: True)
    assert report.stopped and report.done == []


def test_a_unit_that_another_process_holds_is_waited_for(study, plan, quick, monkeypatch):
    notes, _ = quick
    first = plan.units[0]
    monkeypatch.setattr(runner, "POLL", 0.02)
    with study.claimed(first) as mine:
        assert mine
        with study.claimed(first) as second:
            assert not second
        looks = []

        def stop():
            looks.append(None)
            if len(looks) == 60:  # by then all others that can be done are
                study.begin(first)
                study.finish(first, {"episodes": 1, "mean_return": 0.0})
            return False

        report, _ = go(study, plan, stop=stop)
    assert first.key not in notes and len(report.done) == 22 - 1 and not report.blocked


def test_fewer_episodes_than_asked_for_fail_their_cells_alone(study, plan):
    collect("CartPole-v1", out=study.folder / "held-out", episodes=1, seed=20_000)
    unit = plan.unit("collect/held-out/cart-pole")
    study.begin(unit)
    study.finish(unit, {"episodes": 1, "mean_return": 500.0})
    report, _ = go(study, plan, ["finetune/scratch/cart-pole/1/0", "finetune/scratch/*/2/0"])
    assert report.done == ["finetune/scratch/cart-pole/1/0"]
    assert (
        "has 1 episodes of CartPole-v1, 2 are asked for"
        in report.failed["finetune/scratch/cart-pole/2/0"]
    )


def test_held_out_episodes_in_the_pretraining_corpus_are_refused(study, plan):
    collect("CartPole-v1", out=study.folder / "pretraining", episodes=1, seed=20_000)
    with pytest.raises(GatoGymError, match="has episodes of CartPole-v1, which this study holds"):
        stages.pretrain(plan.unit("pretrain/all"), study, lambda: False)


def test_a_collection_stops_between_its_parts(study, plan):
    asked = []

    def stop():
        asked.append(None)
        return len(asked) > 4

    unit = plan.unit("collect/held-out/cart-pole")
    assert stages.collect(unit, study, stop) is None
    found = stages.collect(unit, study, lambda: False)
    assert found["episodes"] == 3 and found["mean_return"] == 500
