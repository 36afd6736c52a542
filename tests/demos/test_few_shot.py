"""The table and the picture of docs/finetuning.md, from what the benchmark wrote."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo():
    location = importlib.util.spec_from_file_location("few_shot", ROOT / "demos" / "few_shot.py")
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


def run(way, episodes, draw=0):
    return {
        "way": way,
        "episodes": episodes,
        "draw": draw,
        "trained_parameters": 12345,
        "before": -200.0,
        "score": -120.25,
        "normalized": 0.789,
        "score_at_step": 80,
        "last": -130.0,
        "seconds": 90.0,
        "random": -200.0,
        "expert": -99.1,
        "curve": [{"step": 0, "mean_return": -200.0}, {"step": 20, "mean_return": -120.25}],
    }


RESULTS = {
    "task": "MountainCar-v0",
    "runs": [run("LoRA", 1), run("all weights", 10), run("from scratch", 10, draw=1)],
}


def test_one_row_per_run(demo):
    head, rule, *rows = demo.table(RESULTS)
    assert head.count("|") == rule.count("|") == 11 and len(rows) == 3
    assert rows[0] == "| 1 | 0 | LoRA | 12,345 | -200.0 | -120.2 | 0.79 | 80 | -130.0 | 1.5 |"


def test_it_writes_the_document_between_its_markers_and_the_picture(demo, tmp_path):
    paths = [tmp_path / name for name in ("results.json", "a.md", "a.png")]
    paths[0].write_text(json.dumps(RESULTS))
    paths[1].write_text("before\n<!-- few-shot -->\nold\n<!-- /few-shot -->\nafter\n")
    options = ("--results", "--document", "--picture")
    command = [str(word) for pair in zip(options, paths, strict=True) for word in pair]
    assert demo.main(command) == 0
    text = paths[1].read_text()
    assert text.startswith("before\n<!-- few-shot -->\n| episodes") and "old" not in text
    assert text.endswith("<!-- /few-shot -->\nafter\n")
    assert demo.main(command) == 0 and paths[1].read_text() == text
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit, match="needs the markers"):
        demo.with_table("none", [])


def test_a_panel_per_number_of_episodes(demo):
    figure = demo.picture(RESULTS)
    assert [panel.get_title() for panel in figure.axes] == ["1 episode", "10 episodes"]
    lines = figure.axes[1].get_lines()
    assert list(lines[0].get_ydata()) == [-200.0, -120.25]
    assert len(lines) == 4  # two runs, the expert, random play


def test_the_document_shows_the_results_that_are_kept(demo):
    results = json.loads(demo.RESULTS.read_text())
    assert demo.with_table(demo.DOCUMENT.read_text(), demo.table(results)) == (
        demo.DOCUMENT.read_text()
    )
    assert demo.PICTURE.is_file() and demo.PICTURE.name in demo.DOCUMENT.read_text()
