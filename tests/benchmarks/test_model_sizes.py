"""The parameter counts beside the paper's."""

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "model_sizes.py"


@pytest.fixture(scope="module")
def script():
    location = importlib.util.spec_from_file_location("model_sizes", SCRIPT)
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


def test_every_size_of_the_paper_is_within_a_tenth(script, capsys):
    assert script.main(["--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["79m", "364m", "1.2b"]
    for row in rows:
        assert row["parameters"] / row["paper"] == pytest.approx(row["ratio"], abs=1e-4)
        assert row["ratio"] == pytest.approx(1, abs=0.1)
    assert script.main([]) == 0
    assert "73,442,256" in capsys.readouterr().out
