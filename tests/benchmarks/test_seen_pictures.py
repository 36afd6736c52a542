"""The count of pictures that evaluation shares with training."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("ale_py")

PATH = Path(__file__).parents[2] / "benchmarks" / "seen_pictures.py"


def test_it_counts(capsys):
    location = importlib.util.spec_from_file_location("seen_pictures", PATH)
    script = importlib.util.module_from_spec(location)
    location.loader.exec_module(script)
    arguments = ["--games", "crazy climber", "--train", "12", "--test", "3"]
    assert script.main(arguments) == 0
    *game, own, shared = capsys.readouterr().out.splitlines()[1].split()
    assert game == ["crazy", "climber"]
    assert int(own) == 0 < int(shared)  # its opening stands still
