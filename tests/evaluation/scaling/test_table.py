"""Tables and figures of made-up studies: means against a direct computation, what is missing."""

import json
import re

import numpy as np
import pytest

from gato_gym import envs
from gato_gym.errors import GatoGymError
from gato_gym.evaluation.scaling.figures import draw, save_figures
from gato_gym.evaluation.scaling.table import scaling_table
from gato_gym.evaluation.scaling.text import as_markdown, as_text, short_count
from gato_gym.evaluation.studies.pictures import save_picture

SIZES = ("bundle@64", "bundle@128", "bundle")
LEVELS = dict(zip(SIZES, (0.2, 0.5, 0.8), strict=True))


def level(settings):
    return LEVELS[settings["size"]]


def points_of(table):
    return {(point["size"], point["step"]): point for point in table["points"]}


def change(study, key, edit):
    """Edit the result of a unit."""
    path = study.path(key) / "result.json"
    told = json.loads(path.read_text())
    edit(told["result"])
    path.write_text(json.dumps(told))


def test_means_are_those_of_a_direct_computation(fill):
    study, plan = fill(level, seeds=2)
    table = scaling_table(study, plan)
    last = plan.budget.steps
    for size in SIZES:
        tasks, runs = {}, {"0": {}, "1": {}}
        for path in study.folder.glob(f"play/{size}/*/{last}/*/result.json"):
            found = json.loads(path.read_text())["result"]
            score = (np.mean(found["returns"]) - found["random"]) / (
                found["expert"] - found["random"]
            )
            tasks.setdefault(found["task"], []).append(score)
            runs[path.parts[-4]][found["task"]] = score
        assert len(tasks) == 3 and all(len(scores) == 2 for scores in tasks.values())

        def of_domains(scores):
            classic = (scores["CartPole-v1"] + scores["MountainCar-v0"]) / 2
            return (classic + scores["Reacher-v5"]) / 2

        point = points_of(table)[size, last]
        means = {task: np.mean(scores) for task, scores in tasks.items()}
        assert point["mean"] == pytest.approx(of_domains(means))
        assert point["runs"] == {s: pytest.approx(of_domains(run)) for s, run in runs.items()}
        assert point["mean"] == pytest.approx(LEVELS[size], abs=0.04)
        assert point["ci95"][0] < point["mean"] < point["ci95"][1]
        assert {t: row["mean"] for t, row in point["tasks"].items()} == pytest.approx(means)
        assert point["tokens"] == last * 8 * 308 and point["missing"] == []


def test_intervals_are_those_of_the_bootstrap(fill):
    study, plan = fill(level, tasks=["CartPole-v1", "Reacher-v5"], sizes=["bundle"])
    (point,) = [p for p in scaling_table(study, plan)["points"] if p["step"] == plan.budget.steps]
    rng, scores = np.random.default_rng(1), []
    for task, row in point["tasks"].items():
        spec = envs.task_spec(task)
        returns = np.array(row["returns"]["0"])
        scores.append((returns - spec.random_score) / (spec.expert_score - spec.random_score))
    resampled = np.mean([rng.choice(one, (50_000, len(one))).mean(axis=1) for one in scores], 0)
    assert point["ci95"] == pytest.approx(np.percentile(resampled, [2.5, 97.5]), abs=2e-3)


def test_what_size_gave(fill):
    study, plan = fill(lambda s: 0.5 if s["size"] == "bundle" else level(s))
    table = scaling_table(study, plan)
    assert [one["size"] for one in table["sizes"]] == list(SIZES)
    assert [(g["size"], g["than"]) for g in table["gains"]] == [
        *[("bundle@128", "bundle@64")] * 3,
        *[("bundle", "bundle@128")] * 3,
    ]
    for gain in table["gains"]:
        points = points_of(table)
        means = [points[size, gain["step"]]["mean"] for size in (gain["size"], gain["than"])]
        assert gain["difference"] == pytest.approx(means[0] - means[1])
        low, high = gain["ci95"]
        assert (low > 0) == (gain["size"] == "bundle@128") and low < gain["difference"] < high
    text = as_text(table)
    assert "bundle@64 (64 k)" in text and "more than the size before" in text
    assert table["machines"] == ["a desk"] and table["versions"] == [{"torch": "2"}]
    assert table["seconds"] == {"collect": 3.0, "train": 3.0, "play": 27.0}
    lines = as_markdown(table)
    assert len(lines) == 2 + 3 and {line.count("|") for line in lines} == {1 + 1 + 3 + 2}


def test_what_is_missing_is_named_and_not_averaged(fill):
    gone = {"size": "bundle", "task": "Reacher-v5"}

    def some(settings):
        if all(settings[name] == value for name, value in gone.items()):
            return None
        return level(settings)

    study, plan = fill(some)
    table = scaling_table(study, plan)
    steps = plan.budget.point_steps()
    assert table["missing"] == [f"play/bundle/0/{step}/Reacher-v5" for step in steps]
    for (size, _), point in points_of(table).items():
        assert (point["mean"] is None) == (size == "bundle")
        assert point["missing"] == (["Reacher-v5"] if size == "bundle" else [])
    assert {gain["size"] for gain in table["gains"]} == {"bundle@128"}
    text = as_text(table)
    assert text.count("1 tasks missing") == 3 and "missing, 3 units:" in text
    svg = _svg(draw(table, "scaling"), study.folder)
    assert "bundle@64 mean" in svg and "bundle mean" not in svg
    # Its other tasks are shown.
    svg = _svg(draw(table, "scaling-tasks"), study.folder)
    assert svg.count('id="bundle mean"') == 2 and svg.count('id="bundle@64 mean"') == 3


def test_results_that_do_not_fit_together_are_refused(fill):
    study, plan = fill(level)
    step = plan.budget.steps
    change(study, "train/bundle/0", lambda result: result.update(data="others"))
    with pytest.raises(
        GatoGymError, match=r"bundle@128/0 learned from other episodes than .*bundle/0"
    ):
        scaling_table(study, plan)
    change(study, "train/bundle/0", lambda result: result.update(data="dd"))
    key = f"play/bundle/0/{step}/Reacher-v5"
    change(study, key, lambda result: result.update(weights="ff"))
    with pytest.raises(GatoGymError, match="played with the weights ff, the study has bundle 0"):
        scaling_table(study, plan)
    change(study, key, lambda result: result.update(weights=f"bundle 0 {step}", seed=7))
    with pytest.raises(GatoGymError, match=r"played seeds from 7, .* from 1000000"):
        scaling_table(study, plan)


def test_figures_in_two_forms_and_two_themes(fill):
    study, plan = fill(level, seeds=2)
    table = scaling_table(study, plan)
    paths = save_figures(table, study.folder / "figures")
    assert {path.name for path in paths} == {
        f"scaling{name}-{theme}.{kind}"
        for name in ("", "-tasks")
        for theme in ("light", "dark")
        for kind in ("svg", "png")
    }
    svg = (study.folder / "figures/scaling-light.svg").read_text()
    for size in SIZES:
        assert f'id="{size} ci95"' in svg and re.search(f">{size} .* k", svg)
    assert svg.count('id="bundle runs"') == 3
    assert _svg(draw(table, "scaling"), study.folder) == svg
    named = (study.folder / "figures/scaling-tasks-dark.svg").read_text()
    assert all(f">{task}<" in named for task in plan.tasks)


def test_no_figure_before_anything_was_played(fill):
    study, plan = fill(lambda settings: None)
    table = scaling_table(study, plan)
    assert save_figures(table, study.folder / "figures") == []
    assert len(table["missing"]) == 27 and "27 units" in as_text(table)


@pytest.mark.parametrize(
    ("value", "told"),
    [(384, "384"), (64_000, "64 k"), (399_488, "399 k"), (999_960, "1 M"), (5.24e11, "524 B")],
)
def test_short_counts(value, told):
    assert short_count(value) == told


def _svg(picture, folder):
    path, _ = save_picture(picture, folder / "again", "scaling")
    return path.read_text()
