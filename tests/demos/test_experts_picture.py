"""The picture of the learning curves, from the cards that ship."""

import importlib.util
import json
from pathlib import Path

import imageio.v3 as imageio
import pytest

from gato_gym.agents.experts import learned_cards
from gato_gym.envs.registry import load_tasks

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def experts():
    location = importlib.util.spec_from_file_location("experts", ROOT / "demos" / "experts.py")
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


def test_one_panel_per_expert(experts, tmp_path, capsys):
    assert experts.main(["--out", str(tmp_path / "curves.png")]) == 0
    image = imageio.imread(tmp_path / "curves.png")
    rows = -(-len(learned_cards()) // experts.COLUMNS)
    assert image.shape[0] > 150 * rows and image.shape[1] > 1000
    assert image.min() < 100 and image.max() == 255


def test_every_learned_expert_has_a_published_score_beside_it(experts):
    published = experts.published()
    assert published.keys() <= load_tasks().keys()
    for card in learned_cards():
        assert published[card["task"]]["source"], card["task"]
        assert len(card["evaluation"]["returns"]) == card["evaluation"]["episodes"] == 50
        assert card["curve"] and card["steps_trained"] >= card["curve"][-1][0]


def test_the_shipped_experts_are_small():
    for folder in (ROOT / "agents" / "experts" / "weights").iterdir():
        assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000, folder.name


def test_a_published_score_says_where_it_comes_from():
    for task, entry in json.loads((ROOT / "docs" / "published_scores.json").read_text()).items():
        assert set(entry) == {"score", "source"} and entry["source"], task
