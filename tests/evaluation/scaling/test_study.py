"""The folder of a scaling study, and doing its units: killed, refused, stopped."""

from dataclasses import replace

import numpy as np
import pytest

from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.errors import GatoGymError
from gato_gym.evaluation.scaling import stages
from gato_gym.evaluation.scaling.budgets import budget
from gato_gym.evaluation.scaling.plan import make_plan
from gato_gym.evaluation.scaling.study import ScalingStudy
from gato_gym.evaluation.studies.learning import Learner
from gato_gym.evaluation.studies.runner import run_units
from gato_gym.evaluation.studies.speed import given_speed
from gato_gym.evaluation.transfer.budgets import budget as transfer_budget
from gato_gym.evaluation.transfer.study import Study
from gato_gym.training.bundle import load_bundle


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("scaling") / "corpus"
    collect("CartPole-v1", out=path, episodes=3, seed=1_000_000)
    return path


@pytest.fixture
def plan(corpus):
    return make_plan(budget("smoke", corpus=str(corpus), sizes=["tiny@16", "tiny"]))


@pytest.fixture
def study(plan, tmp_path):
    return ScalingStudy.create(tmp_path / "study", plan.budget)


def go(study, plan, only=(), **options):
    return run_units(
        study, plan, plan.choose(only), speed=given_speed(1e4), tell=lambda _: None, **options
    )


def weights(study, plan):
    unit = plan.unit("train/tiny/0")
    return {step: one["weights"] for step, one in study.result(unit)["points"].items()}


def test_a_study_takes_its_own_numbers_only(study, plan):
    with pytest.raises(GatoGymError, match=r"tokens 768, not 9; points 2, not 3"):
        ScalingStudy.create(study.folder, replace(plan.budget, tokens=9, points=3))
    with pytest.raises(GatoGymError, match=r"corpus .*, not none"):
        ScalingStudy.create(study.folder, replace(plan.budget, corpus="", demonstrations=2))
    grown = ScalingStudy.create(study.folder, replace(plan.budget, sizes=("tiny@64x1",), seeds=2))
    assert grown.budget.sizes == ("tiny@16", "tiny", "tiny@64x1") and grown.budget.seeds == 2
    assert ScalingStudy(study.folder).budget == grown.budget


def test_studies_of_another_kind_are_left_alone(study, tmp_path):
    with pytest.raises(GatoGymError, match="holds a scaling study, not a transfer study"):
        Study.create(study.folder, transfer_budget("smoke"))
    Study.create(tmp_path / "transfer", transfer_budget("smoke"))
    with pytest.raises(GatoGymError, match="holds a transfer study, not a scaling study"):
        ScalingStudy(tmp_path / "transfer")
    with pytest.raises(FileNotFoundError, match="holds no scaling study: gato-gym transfer scal"):
        ScalingStudy(tmp_path / "none")


def test_all_sizes_see_the_same_rows(study, plan, corpus):
    rows = []
    for size in ("tiny", "tiny@16"):
        settings = plan.unit(f"train/{size}/0").settings
        learner = Learner(Corpus.open(corpus), settings, study.path(f"apart/{size}"))
        rows.append(learner.trainer.source.rows(range(8)))
    np.testing.assert_array_equal(rows[0].ids, rows[1].ids)


def test_each_point_is_an_agent_and_plays_seeds_that_nobody_learned(study, plan):
    report = go(study, plan)
    assert len(report.done) == 2 + 2 * 2 and not report.failed
    for step in plan.budget.point_steps():
        bundle = load_bundle(study.path("train/tiny/0") / "points" / str(step))
        assert set(bundle.specs) == set(bundle.prompts) == {"CartPole-v1"}
        result = study.result(plan.unit(f"play/tiny/0/{step}/CartPole-v1"))
        assert result["weights"] == weights(study, plan)[str(step)]
        assert len(result["returns"]) == plan.budget.episodes
        # The corpus has the seeds from a million on.
        assert result["seed"] == 1_000_003
    assert len(set(weights(study, plan).values())) == 2
    assert not list(study.folder.rglob("step-*"))
    assert go(study, plan).done == []


def test_a_training_that_is_killed_goes_on_to_the_same_weights(study, plan, tmp_path, monkeypatch):
    go(study, plan, ["train/tiny/0"])
    other = ScalingStudy.create(tmp_path / "killed", plan.budget)
    unit = plan.unit("train/tiny/0")

    def killed(bundle, folder):
        if folder.name == "4":
            raise KeyboardInterrupt  # as a signal that nobody catches
        return stages_save(bundle, folder)

    stages_save = stages.save_bundle
    with monkeypatch.context() as patch:
        patch.setattr(stages, "save_bundle", killed)
        with pytest.raises(KeyboardInterrupt):
            go(other, plan, ["train/tiny/0"])
    first = other.path(unit) / "points/2/model.safetensors"
    before = first.stat().st_mtime_ns
    assert not other.done(unit) and list(other.path(unit).glob("run/step-*"))
    assert go(other, plan, ["train/tiny/0"]).done == [unit.key]
    assert weights(other, plan) == weights(study, plan)
    assert first.stat().st_mtime_ns == before  # it was not made again


def test_a_stop_saves_what_is_under_way(study, plan):
    asked = []

    def stop():
        asked.append(None)
        return len(asked) > 4

    report = go(study, plan, stop=stop)
    assert report.stopped and report.done == []
    go(study, plan, ["train"])
    report = go(study, plan, ["play/tiny/0/2"], stop=lambda: len(asked.append(1) or asked) > 12)
    assert report.stopped and report.done == []
    assert go(study, plan).done[0] == "play/tiny/0/2/CartPole-v1"


def test_a_corpus_that_has_grown_is_refused(study, plan, corpus):
    settings = plan.unit("train/tiny/0").settings
    folder = study.path("apart")
    learner = Learner(Corpus.open(corpus), settings, folder)
    assert not learner.run(lambda: learner.trainer.step == 2)
    collect("CartPole-v1", out=corpus, episodes=4, seed=1_000_000)
    with pytest.raises(GatoGymError, match=r"4 episodes, had 3.*or delete .*apart"):
        Learner(Corpus.open(corpus), settings, folder)
