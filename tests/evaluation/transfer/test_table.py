"""Tables and figures of made-up studies: known verdicts, every cell, what is missing."""

import re
from dataclasses import replace

import numpy as np
import pytest

from gato_gym.errors import GatoGymError
from gato_gym.evaluation.studies.pictures import save_picture
from gato_gym.evaluation.transfer.figures import draw, save_figures
from gato_gym.evaluation.transfer.plan import REGIMES
from gato_gym.evaluation.transfer.table import study_table
from gato_gym.evaluation.transfer.text import as_markdown, as_text, costs_as_markdown

LEVELS = {"all": 0.9, "same-domain": 0.5, "no-control": 0.1, "dm-control": 0.5, "scratch": 0.5}


def level(cell):
    return LEVELS[cell.regime]


def test_known_transfer(fill):
    study, plan = fill(level, targets=["assembly"], episodes=[1, 10])
    table = study_table(study, plan)
    verdicts = {(v["regime"], v["episodes"]): v["verdict"] for v in table["verdicts"]}
    told = {"all": "positive", "same-domain": "none", "no-control": "negative"}
    assert verdicts == {(r, n): verdict for r, verdict in told.items() for n in (1, 10)}
    assert table["missing"] == [] and len(table["cells"]) == 4 * 2
    for row in table["cells"]:
        # The curve's best window is its last: the mean of 2/4, 3/4 and 4/4 of the level.
        assert row["mean"] == pytest.approx(0.75 * LEVELS[row["regime"]], abs=0.06)
        assert row["mean"] == pytest.approx(np.mean(row["scores"]))
        assert row["ci95"][0] < row["mean"] < row["ci95"][1]
        assert list(row["draws"]) == ["0", "1", "2"] and row["missing"] == []
    text = as_text(table)
    assert "all data                  1" in text and "positive" in text and "Holm" in text
    lines = as_markdown(table)
    assert len(lines) == 2 + 2 and lines[2].count("|") == lines[0].count("|") == 7
    assert "positive" in lines[2] and "negative" in lines[2]


def test_what_is_missing_is_named_and_not_averaged(fill):
    def some(cell):
        if cell.regime == "all" and cell.episodes == 1:
            return None
        return None if (cell.regime, cell.draw) == ("no-control", 2) else level(cell)

    study, plan = fill(some, targets=["assembly"], episodes=[1, 10])
    table = study_table(study, plan)
    rows = {(row["regime"], row["episodes"]): row for row in table["cells"]}
    assert rows["all", 1]["mean"] is None and rows["all", 1]["missing"] == [0, 1, 2]
    assert rows["no-control", 1]["missing"] == [2] and len(rows["no-control", 1]["scores"]) == 2
    assert {(v["regime"], v["episodes"]) for v in table["verdicts"]} == {
        *(("all", 10), ("same-domain", 1), ("same-domain", 10))
    }
    assert table["missing"] == [
        *(f"finetune/all/assembly/1/{draw}" for draw in range(3)),
        *(f"finetune/no-control/assembly/{n}/2" for n in (1, 10)),
    ]
    text = as_text(table)
    assert "all 3 draws are missing" in text and "draw 2 missing" in text
    assert "missing, 5 units:\n  finetune/all/assembly/1/0" in text
    assert any("missing" in line for line in as_markdown(table))
    panel = draw(table, "figure-9").axes[0]
    (cross,) = [line for line in panel.lines if line.get_gid() == "all missing"]
    assert cross.get_marker() == "x"
    hollow = [line for line in panel.lines if line.get_gid() == "no-control mean"]
    assert all(line.get_markerfacecolor() == "#ffffff" for line in hollow)


def test_what_it_cost(fill):
    study, plan = fill(level, targets=["assembly"], episodes=[1])
    table = study_table(study, plan)
    count = sum(unit.stage == "collect" for unit in plan.units)
    assert table["seconds"] == {"collect": 36.0 * count, "pretrain": 270.0, "finetune": 864.0}
    assert table["machines"] == ["a laptop"] and len(table["collected"]) == count
    *_, collect, pretrain, finetune, whole = costs_as_markdown(table)
    assert f"{2 * count:,} episodes, {1000 * count:,} steps of {count} tasks" in collect
    assert "`only-meta_world` 1.0 min, 1 tasks, loss 1.25" in pretrain
    assert finetune == "| finetune | 12 runs | 0.24 |"
    assert whole == f"| **all** | | **{(36 * count + 270 + 864) / 3600:.2f}** |"


def test_raw_returns_where_no_expert_is_known(fill):
    study, plan = fill(level, targets=["assembly"], episodes=[1])
    table = study_table(study, replace(plan, unscored=("assembly",)))
    assert {row["unit"] for row in table["cells"]} == {"return"}
    (row,) = [row for row in table["cells"] if row["regime"] == "scratch"]
    assert row["scores"] == [one["score"] for one in row["draws"].values()]
    assert "assembly: no expert score is known, so raw returns are compared" in as_text(table)
    assert draw(table, "figure-9").axes[0].get_ylabel() == "mean return"


def test_cells_of_other_weights_are_refused(fill):
    study, plan = fill(level, targets=["assembly"], episodes=[1])
    unit = plan.unit("pretrain/no-control")
    study.finish(unit, {"weights": "bb", "training_seconds": 2.0})
    with pytest.raises(GatoGymError, match=r"no-control.*aa.*bb now: delete that folder"):
        study_table(study, plan)


def test_figures_have_every_cell(fill, tmp_path):
    study, plan = fill(level, targets=["assembly", "boxing", "block-stacking"], episodes=[1, 10])
    table = study_table(study, plan)
    nine, nineteen = draw(table, "figure-9", "dark"), draw(table, "figure-19")
    assert [len(picture.axes) for picture in (nine, nineteen)] == [2, 1]
    seen = {}
    for picture, names in ((nine, ["assembly", "boxing"]), (nineteen, ["block-stacking"])):
        for panel, name in zip(picture.axes, names, strict=True):
            for line in panel.lines:
                regime, _, what = (line.get_gid() or "").partition(" ")
                if what in ("draws", "mean", "ci95"):
                    number = (1, 10)[round(float(np.mean(line.get_xdata())))]
                    seen[name, regime, number, what] = list(line.get_ydata())
    for row in table["cells"]:
        key = row["target"], row["regime"], row["episodes"]
        assert seen[*key, "draws"] == row["scores"]
        assert seen[*key, "mean"] == [row["mean"]]
        assert seen[*key, "ci95"] == row["ci95"]
    assert len(seen) == 3 * len(table["cells"]) == 3 * (8 + 8 + 10)
    assert as_markdown(table)[0].endswith("| no control data | DM Control only | scratch |")

    paths = save_figures(table, tmp_path / "figures")
    assert sorted(path.name for path in paths) == sorted(
        f"transfer-figure-{number}-{theme}.{kind}"
        for number in (9, 19)
        for theme in ("light", "dark")
        for kind in ("svg", "png")
    )
    svg = (tmp_path / "figures/transfer-figure-19-light.svg").read_text()
    for regime, title in REGIMES.items():
        assert f">{title}<" in svg, regime
    assert re.search(">block stacking<", svg)
    save_picture(draw(table, "figure-19"), tmp_path / "again", "transfer")
    assert (tmp_path / "again.svg").read_text() == svg


def test_no_figure_of_tasks_that_a_study_does_not_have(fill):
    study, plan = fill(level, targets=["assembly"], episodes=[1], draws=1)
    table = study_table(study, plan)
    assert draw(table, "figure-19") is None
    # One draw has no interval and no verdict.
    assert {row["ci95"] for row in table["cells"]} == {None}
    assert {v["verdict"] for v in table["verdicts"]} == {"untested"}
    assert as_text(table).count("untested") == 3
