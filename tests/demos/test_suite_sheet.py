"""The sheet that shows one task of each domain."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "demos" / "suite.py"


@pytest.fixture(scope="module")
def script():
    location = importlib.util.spec_from_file_location("suite_sheet", SCRIPT)
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


def test_it_shows_every_domain_that_was_asked_for(script, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    domains = ["classic", "popgym", "navigation"]
    assert script.main(["--domains", *domains, "--steps", "3", "--out", str(out)]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()[:3]] == domains
    picture = np.asarray(Image.open(out))
    height, width = script.TILE
    assert picture.shape[0] > height and picture.shape[1] > 3 * width
    for number in range(3):
        x = 8 + number * (width + 8)
        tile = picture[8 + script.LABEL : 8 + script.LABEL + height, x : x + width]
        assert tile.std() > 5  # not one flat colour


def test_an_unknown_domain_is_refused(script, capsys):
    with pytest.raises(SystemExit):
        script.main(["--domains", "nowhere"])
    assert "no domain nowhere" in capsys.readouterr().err


def test_the_tasks_that_stand_for_a_domain_exist(script):
    from gato_gym.envs.registry import load_tasks

    known = load_tasks()
    assert {known[task].domain for task in script.FACES.values()} == set(script.FACES)
