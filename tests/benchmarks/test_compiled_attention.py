"""The benchmark of compiled attention at toy size."""

import importlib
import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")
def test_both_ways_are_timed_and_agree(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    script = importlib.import_module("compiled_attention")
    out = tmp_path / "found.json"
    arguments = ["--size", "tiny", "--rows", "2", "--repeats", "2", "--out", str(out)]
    assert script.main(arguments) == 0
    assert "by blocks" in capsys.readouterr().out
    found = json.loads(out.read_text())
    # Different programs, so not bit by bit equal.
    assert 0 < found["apart"] < 0.02
    assert all(seconds > 0 for seconds in found["seconds"].values())
