"""The block-stacking benchmark runs and says what it measured."""

import importlib.util
import json
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_block_stacking.py"


def test_each_task_gives_one_line(capsys):
    location = importlib.util.spec_from_file_location("bench_block_stacking", SCRIPT)
    script = importlib.util.module_from_spec(location)
    location.loader.exec_module(script)
    task = "gato_gym/BlockStacking-Reach-v0"
    assert script.main(["--windows", "2", "--tasks", task]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["task"] == task and found["renderer"] is None
    assert 0 < found["value"] <= found["best"]
