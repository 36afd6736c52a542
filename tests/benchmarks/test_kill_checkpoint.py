"""20 kills while checkpoints are saved, by the benchmark; and that the benchmark sees a loss."""

import importlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("kill_checkpoint")


def test_20_kills_lose_nothing():
    """In a process of its own: it forks."""
    command = [sys.executable, str(BENCHMARKS / "kill_checkpoint.py"), "--json"]
    done = subprocess.run(
        [*command, "--kills", "20", "--flips", "90"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["kills"] == 20 and result["acknowledged"] > 10
    assert result["loaded"] >= 20 and result["flips"] == 90
    assert [result[name] for name in ("lost", "torn", "different", "silent_flips")] == [0] * 4
    assert len([name for name in result["details"] if name.startswith("flips noticed")]) == 3


def test_a_lost_a_torn_and_a_wrong_checkpoint_are_seen(script, tmp_path):
    toy, kept, expected = script.Toy(), script.Checkpoints(tmp_path), script.Expected()

    def check(told):
        counts = Counter()
        script.check(tmp_path, script.Checkpoints(tmp_path / "reader"), expected, told, counts)
        return {name: count for name, count in counts.items() if count}

    assert check(0) == {} and check(1) == {"lost": 1}
    toy.advance()
    folder = kept.save(1, toy.model, toy.optimizer, {}, wait=True)
    assert check(1) == {"loaded": 1} and check(2) == {"loaded": 1, "lost": 1}
    toy.advance()
    kept.save(1, toy.model, toy.optimizer, {}, wait=True)
    assert check(1) == {"loaded": 1, "different": 1}
    (folder / "state.json").unlink()
    assert check(1) == {"torn": 1}
