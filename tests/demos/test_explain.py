"""The demo that draws explanations, and the code on the page about them."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gato_gym.agents.explanation import ActionNumber, Explanation, Tokens

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explaining.md").read_text()


@pytest.fixture
def demo():
    location = importlib.util.spec_from_file_location("explain", ROOT / "demos" / "explain.py")
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


def test_it_draws_every_picture_of_the_page(demo, tmp_path, capsys, monkeypatch):
    moments = {name: (task, 2) for name, (task, _) in demo.MOMENTS.items()}
    monkeypatch.setattr(demo, "MOMENTS", moments)
    assert demo.main(["--out", str(tmp_path / "new")]) == 0
    drawn = {path.name for path in (tmp_path / "new").iterdir()}
    assert drawn == set(re.findall(r"\]\((\S+\.png)\)", PAGE))
    assert capsys.readouterr().out.count("Explanation(") == len(drawn) == 3
    for name in drawn:
        for folder in (tmp_path / "new", demo.DOCS):
            with Image.open(folder / name) as picture:
                assert picture.size == (960, 540)
                assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 50


def test_the_code_on_the_page_runs():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {}
    exec(compile(code, "docs/explaining.md", "exec"), names)
    seen, agent, obs = names["seen"], names["agent"], names["obs"]
    assert names["picture"].shape == (540, 960, 3)
    assert sum(share for _, share in seen.numbers[0].top(2)) == pytest.approx(1)
    assert agent.act(obs) == seen.action
    names["env"].close()


def test_the_table_names_what_there_is():
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert len(rows) == 8
    holders = (Explanation, ActionNumber, Tokens)
    for row in rows:
        told = re.findall(r"`(\w+)(?:\(.*?\))?`", row)
        fields = [set(dir(one)) | set(one.__annotations__) for one in holders]
        assert told[0] in fields[0], told
        assert all(any(name in one for one in fields) for name in told[1:]), told
