"""`gato-gym transfer scaling` at toy size: stopped, killed, gone on with, grown, shown."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gato_gym.cli import main
from gato_gym.data.corpus import Corpus

SMOKE = ("transfer", "scaling", "--budget", "smoke")
SIZES = ("tiny@16", "tiny", "tiny@64x1")


def results(folder):
    """unit -> (when its result was written, the result)."""
    found = {}
    for root, _, names in os.walk(folder):  # folders may go while it looks: the study tidies up
        if "result.json" in names:
            path = Path(root) / "result.json"
            told = json.loads(path.read_text())
            found[told["unit"]] = (path.stat().st_mtime_ns, told)
    return found


def interrupted(folder, units, how):
    """Run the study until so many results of a stage are there, then send a signal; -> stderr."""
    command = [sys.executable, "-m", "gato_gym", *SMOKE, "--out", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    stage, count = units
    while process.poll() is None:
        if len([unit for unit in results(folder) if unit.startswith(stage)]) >= count:
            process.send_signal(how)
            break
        time.sleep(0.02)
    _, err = process.communicate()
    return process.returncode, err


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A study that was asked to stop after a training, then killed after it had played a little;
    -> (folder, the results it had after each)."""
    folder = tmp_path_factory.mktemp("scaling") / "study"
    code, err = interrupted(folder, ("train/", 1), signal.SIGTERM)
    assert code == 128 + signal.SIGTERM and "saved; run the same command again to go on" in err
    stopped = results(folder)
    code, err = interrupted(folder, ("play/", 2), signal.SIGKILL)
    assert code == -signal.SIGKILL, err
    return folder, stopped, results(folder)


@pytest.fixture(scope="module")
def study(killed):
    """The same, gone on with to its end."""
    folder, *_ = killed
    assert main([*SMOKE, "--out", str(folder)]) == 0
    return folder


def test_nothing_is_repeated(killed, study):
    _, stopped, before = killed
    after = results(study)
    assert len(after) == 2 + 3 + 3 * 2 * 2
    assert 3 <= len(stopped) < len(before) < len(after)
    assert {unit: before[unit] for unit in stopped} == stopped
    assert {unit: after[unit] for unit in before} == before
    assert not list(study.rglob("step-*"))


def test_sizes_differ_in_their_shape_only(study):
    found = {unit: told["result"] for unit, (_, told) in results(study).items()}
    trained = [found[f"train/{size}/0"] for size in SIZES]
    assert len({one["parameters"] for one in trained}) == 3
    assert len({one["data"] for one in trained}) == 1
    assert {one["tokens"] for one in trained} == {4 * 2 * 96}
    seeds = {entry.seed for entry in Corpus.open(study / "corpus").episodes()}
    played = {one["seed"] for unit, one in found.items() if unit.startswith("play/")}
    assert played == {1_000_000} and max(seeds) < 1_000_000


def test_the_study_is_shown(study, run, run_json):
    shown = run_json("transfer", "scaling", "--show", study)
    assert shown["missing"] == [] and shown["figures"] == []
    assert [one["size"] for one in shown["sizes"]] == list(SIZES)
    assert len(shown["points"]) == 3 * 2 and len(shown["gains"]) == 2 * 2
    assert all(point["mean"] is not None for point in shown["points"])
    (versions,), (machine,) = shown["versions"], shown["machines"]
    assert versions["torch"] and machine and shown["seconds"]["play"] > 0
    kept = json.loads((study / "figures/scaling.json").read_text())
    assert kept["points"] == shown["points"]
    assert (study / "figures/scaling-dark.svg").is_file()
    assert (study / "figures/scaling-tasks-light.png").is_file()
    code, told, _ = run("transfer", "scaling", "--show", study, "--markdown")
    assert code == 0 and told.startswith("| tokens | tiny@16 (")
    code, told, _ = run("transfer", "scaling", "--show", study)
    assert code == 0 and "CartPole-v1 (classic)" in told and "tokens/s" in told


def test_a_size_is_added_by_two_processes(study, run, run_json):
    before = results(study)
    code, out, err = run(*SMOKE, "--sizes", "tiny@32x1", "--jobs", 2, "--out", study)
    assert code == 0, err
    after = results(study)
    assert {unit: after[unit] for unit in before} == before
    assert len(after) == len(before) + 1 + 2 * 2 and "tiny@32x1" in out
    shown = run_json("transfer", "scaling", "--show", study, "--figures", study / "again")
    assert len(shown["sizes"]) == 4 and len(shown["figures"]) == 8
    # A result that is gone is named, and its point has no mean.
    (study / "play/tiny/0/4/CartPole-v1/result.json").unlink()
    code, out, _ = run("transfer", "scaling", "--show", study)
    assert code == 0 and "missing, 1 units:\n  play/tiny/0/4/CartPole-v1" in out
    assert "1 tasks missing" in out
    assert main([*SMOKE, "--out", str(study)]) == 0


def test_other_settings_are_refused(study, fails, tmp_path):
    told = fails(*SMOKE, "--tokens", 999, "--episodes", 3, "--out", study)
    assert "tokens 768, not 999; episodes 2, not 3" in told
    assert "unknown model size 'tinny'" in fails(*SMOKE, "--sizes", "tinny", "--out", study)
    assert "one context" in fails(*SMOKE, "--sizes", "tiny", "bundle", "--out", study)
    told = fails(*SMOKE, "--tasks", "CartPool-v1", "--out", tmp_path / "new")
    assert "CartPole-v1" in told and not (tmp_path / "new").exists()
    told = fails(*SMOKE, "--tasks", "InvertedPendulum-v5", "--out", tmp_path / "new")
    assert "InvertedPendulum-v5: no expert plays it" in told
    assert "no such unit" in fails(*SMOKE, "--only", "plays", "--out", study)
    assert "jobs must be at least 1" in fails(*SMOKE, "--jobs", 0, "--out", study)
    assert "holds no scaling study" in fails("transfer", "scaling", "--show", study / "train")
    assert "either --out" in fails(*SMOKE)
    assert "either --out" in fails(*SMOKE, "--out", study, "--show", study)


def test_a_task_that_is_left_out_is_told(run, tmp_path):
    tasks = ("--tasks", "MountainCar-v0", "InvertedPendulum-v5")
    code, out, err = run(*SMOKE, *tasks, "--only", "collect", "--out", tmp_path / "study")
    assert code == 0 and "left out, 1:\n  InvertedPendulum-v5: no expert plays it" in err
    assert "left out, 1:" in out and "missing, 9 units" in out


def test_a_corpus_that_is_there_is_learned_from(corpus, run_json, tmp_path):
    sizes = ("--sizes", "tiny@16", "--points", 1)
    shown = run_json(*SMOKE, "--corpus", corpus, *sizes, "--out", tmp_path / "study")
    assert list(shown["tasks"]) == ["CartPole-v1"] and shown["missing"] == []
    assert shown["seconds"].keys() == {"train", "play"} and len(shown["points"]) == 1


def test_a_plan_tells_minutes_and_does_nothing(run_json, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = ("transfer", "scaling", "--plan", "--budget", "small", "--tokens-per-second", 2500)
    found = run_json(*plan, "--jobs", 2)
    assert found["hours"] == pytest.approx(sum(u["seconds"] for u in found["units"]) / 3600 / 2)
    assert len(found["units"]) == 5 + 3 + 90 and set(found["sizes"]) == {
        *("bundle@64", "bundle@128", "bundle")
    }
    code, told, _ = run(*plan, "--only", "train")
    assert code == 0 and told.count("train/") == 3 and "minutes with 1 process" in told
    assert list(tmp_path.iterdir()) == []


def test_the_probe_measures_every_size(run_json):
    found = run_json(*SMOKE, "--plan")["sizes"]
    assert set(found) == set(SIZES)
    assert all(one["speed"].startswith("measured here") for one in found.values())
    assert all(min(one["tokens_per_second"].values()) > 0 for one in found.values())
