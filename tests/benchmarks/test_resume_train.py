"""Killed runs end as undisturbed ones, by the benchmark in short; and that it sees a difference."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("resume_train")


def test_killed_runs_end_as_undisturbed_ones():
    """In a process of its own: it forks. torchrun starts one killed rank, and the other, again."""
    command = [sys.executable, str(BENCHMARKS / "resume_train.py"), "--json"]
    command += ["--steps", "10", "--kills", "1", "--workers", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout)["results"]
    expected = {"same_rows": True, "same_losses": True, "same_weights": True}
    assert results["killed, 0 loader processes"] == {"kills": 1, **expected}
    assert results["torchrun, one rank killed"] == {"restarts": 1, **expected}
    for name in ("two ranks beside one", "2 -> 1 ranks", "1 -> 2 ranks"):
        assert results[name]["same_rows"] and results[name]["close_losses"]
        assert results[name]["steps_compared"] >= 1


@pytest.fixture
def write(script, tmp_path):
    """Write down two steps of a run."""

    def run(name, loss=1.5, row=3, weights=b"x"):
        folder = tmp_path / name
        folder.mkdir()
        for step in (1, 2):
            for rank in range(2):
                rows = [[4 * step + 2 * rank, ["a"]], [row, ["b"]]]
                script.tell(folder, f"rows-{rank}", step, rows)
            script.tell(folder, "losses", step, [loss, 1.0])
        (folder / "weights.safetensors").write_bytes(weights)
        return folder

    return run


def test_differences_are_seen(script, write):
    one, two = write("one"), write("two")
    assert all(script.same(one, two).values()) and script.near(one, two)["close_losses"]
    loss = write("loss", loss=1.50002)
    other = script.same(one, loss)
    assert other == {"same_rows": True, "same_losses": False, "same_weights": True}
    assert not script.near(one, loss)["close_losses"]
    assert not script.same(one, write("weights", weights=b"y"))["same_weights"]
    row = write("row", row=5)
    assert not script.same(one, row)["same_rows"] and not script.near(one, row)["same_rows"]
    script.tell(one, "losses", 2, [1.6, 1.0])
    with pytest.raises(AssertionError, match=r"step 2 of .* differs"):
        script.told(one, "losses")
