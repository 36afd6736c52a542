"""The tables and the picture of docs/recipes.md, from what the benchmark wrote."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo():
    location = importlib.util.spec_from_file_location("recipes", ROOT / "demos" / "recipes.py")
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


def run(recipe, rate, seed, losses, seconds=1.0):
    curve = [
        {"step": 10 * (i + 1), "held_out": {"all": x, "atari": 2 * x}, "ema": {"0.9": {"all": 9}}}
        for i, x in enumerate(losses)
    ]
    return {
        "recipe": recipe,
        "rate": rate,
        "seed": seed,
        "curve": curve,
        "step_seconds": seconds,
    }


RESULTS = {
    "steps": 40,
    "recipes": {
        "paper": {"label": "AdamW", "train": {}, "stochastic_depth": 0.1},
        "muon": {"label": "Muon", "train": {"optimizer": "muon"}, "stochastic_depth": 0.1},
        "never": {"label": "Not run", "train": {}, "stochastic_depth": 0.1},
    },
    "runs": [
        run("muon", 2e-3, 0, [4, 3, 1.5, 1], seconds=1.5),
        run("muon", 2e-3, 1, [4, 3, 2, 1.75], seconds=1.2),
        run("muon", 4e-3, 0, [5, 5, 5, 5], seconds=1.3),
        run("paper", 1e-3, 1, [4, 3, 2, 1.5]),
        run("paper", 1e-3, 0, [4, 3, 2.5, 2]),
    ],
}


def test_each_recipe_at_its_best_rate(demo):
    chosen = demo.at_best(RESULTS)
    assert {name: list(by_seed) for name, by_seed in chosen.items()} == {
        "paper": [0, 1],
        "muon": [0, 1],
    }
    assert chosen["muon"][0]["rate"] == 2e-3


@pytest.mark.parametrize(
    ("losses", "step"),
    [
        ([4, 3, 2, 1], 25),
        ([2, 2, 2, 2], 10),
        ([4, 3, 3, 3], None),
        ([4, 2, 3, 2], 35),  # it does not stay below before
    ],
)
def test_steps_to_a_loss(demo, losses, step):
    assert demo.steps_to(run("paper", 1e-3, 0, losses), 2.5) == step


def test_a_recipe_beside_the_papers(demo):
    lines = demo.recipes(RESULTS)
    assert lines[2] == "| AdamW | 0.001 | 2.000, 1.500 |  | 100%, 100% | 1.00 | 100%, 100% |"
    assert lines[3] == (
        "| Muon | 0.002 | 1.000, 1.750 | -1.000, +0.250 | 67%, not reached | 1.20 "
        "| 80%, not reached |"
    )
    assert demo.rates(RESULTS)[2:] == ["| AdamW | 2.000 |  |  |", "| Muon |  | 1.000 | 5.000 |"]
    assert demo.domains(RESULTS)[2:] == ["| AdamW | 3.500 |", "| Muon | 2.750 |"]
    assert demo.means(RESULTS)[3] == "| Muon | 1.000, 1.750 | 9.000, 9.000 |"


def test_tables_go_between_their_markers(demo):
    text = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n"
    assert demo.fill(text, {"x": ["new"]}) == "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n"
    with pytest.raises(ValueError, match="lacks the markers <!-- y -->"):
        demo.fill(text, {"y": []})


def test_the_document_says_what_was_measured(demo):
    results = json.loads(demo.RESULTS.read_text())
    text = demo.DOCUMENT.read_text()
    assert demo.fill(text, {name: make(results) for name, make in demo.TABLES.items()}) == text


def test_one_curve_for_each_run_and_axis(demo):
    figure = demo.draw(RESULTS)
    assert [len(axes.lines) for axes in figure.axes] == [4, 4]
