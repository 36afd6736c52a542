"""`gato-gym transfer` at toy size: killed in the middle, gone on with, grown, shown."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from gato_gym.cli import main
from gato_gym.data.corpus import Corpus
from gato_gym.evaluation.studies import speed
from gato_gym.evaluation.transfer.sources import TARGETS, held_out_names
from gato_gym.training.bundle import load_bundle

SMOKE = ("--budget", "smoke")
FIRST = ("--episodes", "1", "2", "--draws", "1")


def results(folder):
    """unit -> (when its result was written, the result)."""
    found = {}
    for path in folder.rglob("result.json"):
        told = json.loads(path.read_text())
        found[told["unit"]] = (path.stat().st_mtime_ns, told)
    return found


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A study that was killed after its third cell; -> (folder, the results it had)."""
    folder = tmp_path_factory.mktemp("transfer") / "study"
    command = [sys.executable, "-m", "gato_gym", "transfer", "run", *SMOKE, *FIRST]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--out", str(folder)], env=environment, stderr=subprocess.PIPE, text=True
    )
    # Killed while it is at the fourth: its run has begun and has no result.
    while process.poll() is None:
        cells = list(folder.glob("finetune/*/*/*/*/result.json"))
        if len(cells) >= 3 and list(folder.glob("finetune/*/*/*/*/run/curve.jsonl")):
            process.send_signal(signal.SIGKILL)
        time.sleep(0.01)
    _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, err
    return folder, results(folder)


@pytest.fixture(scope="module")
def study(killed):
    """The same, gone on with to its end; options alone mean `run`."""
    folder, _ = killed
    assert main(["transfer", *SMOKE, *FIRST, "--out", str(folder)]) == 0
    return folder


def test_after_a_kill_nothing_is_repeated(killed, study):
    _, before = killed
    after = results(study)
    assert len(after) == 3 + 3 + 8
    cells = [unit for unit in before if unit.startswith("finetune/")]
    assert 3 <= len(cells) < 8
    assert all(after[unit] == before[unit] for unit in before)
    # Checkpoints are gone, agents of pretraining stay.
    assert not list(study.rglob("step-*"))
    assert {path.parent.name for path in study.glob("pretrain/*/agent")} == {
        *("all", "only-classic", "no-control")
    }


def test_a_study_without_a_folder_gets_one_of_its_budget(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["transfer", *SMOKE, *FIRST, "--only", "collect/pretraining/text*"]) == 0
    study = tmp_path / "runs-local" / "transfer-smoke"
    assert Corpus.open(study / "pretraining").tasks() == ("text/dialogue",)
    assert f"missing, {3 + 3 + 8 - 1} units" in capsys.readouterr().out


def test_no_action_and_no_option_starts_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as wrong:
        main(["transfer"])
    assert wrong.value.code == 2
    assert "show" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_no_pretraining_saw_the_held_out_task(study):
    targets = [TARGETS["cart-pole"]]
    tasks = Corpus.open(study / "pretraining").tasks()
    assert set(tasks) == {"MountainCar-v0", "text/dialogue"} and not held_out_names(tasks, targets)
    assert Corpus.open(study / "held-out").tasks() == ("CartPole-v1",)
    learned = {}
    for agent in study.glob("pretrain/*/agent"):
        bundle = load_bundle(agent)
        learned[agent.parent.name] = set(bundle.specs)
        assert not held_out_names(bundle.specs, targets) and not bundle.prompts
    assert learned == {
        "all": {"MountainCar-v0", "text/dialogue"},
        "only-classic": {"MountainCar-v0"},
        "no-control": {"text/dialogue"},
    }


def test_cells_differ_in_their_start_only_and_draws_are_nested(study):
    found = results(study)
    cells = {unit: told["result"] for unit, (_, told) in found.items() if "finetune" in unit}
    for regime in ("all", "same-domain", "no-control", "scratch"):
        one, two = (cells[f"finetune/{regime}/cart-pole/{n}/0"] for n in (1, 2))
        assert two["data"]["seeds"][:1] == one["data"]["seeds"]
        assert len(two["data"]["seeds"]) == 2 and one["data"]["available"] == 3
        assert one["settings"] == cells["finetune/scratch/cart-pole/1/0"]["settings"]
    # All regimes learn from the same episodes, and play the same ones.
    alike = [
        (cell["data"], [(p["step"], p["seed"]) for p in cell["curve"]])
        for unit, cell in cells.items()
        if unit.endswith("/2/0")
    ]
    assert all(one == alike[0] for one in alike)
    weights = {u: told["result"]["weights"] for u, (_, told) in found.items() if "pretrain/" in u}
    assert len(set(weights.values())) == 3
    assert cells["finetune/all/cart-pole/1/0"]["base"] == weights["pretrain/all"]
    assert cells["finetune/same-domain/cart-pole/1/0"]["base"] == weights["pretrain/only-classic"]
    assert cells["finetune/scratch/cart-pole/1/0"]["start"] == "scratch"
    assert {told["result"]["tokens"] for u, (_, told) in found.items() if "pretrain/" in u} == {384}
    machine = found["finetune/all/cart-pole/1/0"][1]
    assert machine["versions"]["torch"] and machine["machine"] and machine["seconds"] > 0


def test_more_draws_are_added_by_two_processes(study, run, run_json):
    before = results(study)
    grown = ("--episodes", 1, "--draws", 2, "--jobs", 2, "--out", study)
    code, out, err = run("transfer", "run", *SMOKE, *grown)
    assert code == 0, err
    after = results(study)
    assert {unit: after[unit] for unit in before} == before
    new = {f"finetune/{r}/cart-pole/1/1" for r in ("all", "same-domain", "no-control", "scratch")}
    assert set(after) - set(before) == new
    assert err.count("left about") == 4 and f"[{3 + 3 + 8}/{3 + 3 + 8}]" in err

    # What is there is shown, and what a study of these numbers lacks is named.
    missing = {unit.removesuffix("1/1") + "2/1" for unit in new}
    assert "missing, 4 units" in out and all(unit in out for unit in missing)
    shown = run_json("transfer", "show", study)
    assert set(shown["missing"]) == missing and shown["figures"] == []
    assert {v["verdict"] for v in shown["verdicts"]} <= {"positive", "none", "negative"}
    assert {(v["regime"], v["episodes"]) for v in shown["verdicts"]} == {
        *(("all", 1), ("same-domain", 1), ("no-control", 1))
    }
    assert (study / "figures/transfer-figure-9-dark.svg").is_file()
    kept = json.loads((study / "figures/transfer.json").read_text())
    assert kept["cells"] == shown["cells"]
    code, told, _ = run("transfer", "show", study, "--markdown")
    assert code == 0 and told.startswith("| task | episodes | all data | same domain only |")


def test_other_numbers_are_refused(study, fails):
    told = fails("transfer", "run", *SMOKE, "--size", "bundle", "--out", study)
    assert "size tiny, not bundle" in told
    told = fails("transfer", "run", *SMOKE, "--only", "finetune/most", "--out", study)
    assert "no such unit" in told
    assert "jobs must be at least 1" in fails("transfer", "run", "--jobs", 0, "--out", study)
    assert "holds no transfer study" in fails("transfer", "show", study / "pretrain")


def test_what_cannot_be_done_is_told(run, tmp_path):
    code, out, err = run(
        *("transfer", "run", *SMOKE, "--only", "finetune/scratch", "--out", tmp_path / "alone")
    )
    assert code == 1 and "4 units could not be done" in err
    assert "finetune/scratch/cart-pole/1/0: needs collect/held-out/cart-pole" in err
    assert "missing, 22 units" in out


def test_a_plan_tells_hours_and_does_nothing(run_json, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speed, "probe", lambda *_, **__: pytest.fail("it was given"))
    plan = ("transfer", "plan", "--budget", "small", "--tokens-per-second", 5000)
    found = run_json(*plan, "--jobs", 2)
    assert found["cells"] == 96 and found["jobs"] == 2 and found["hours"] < 3
    assert found["hours"] == pytest.approx(sum(u["seconds"] for u in found["units"]) / 3600 / 2)
    code, told, _ = run(*plan, "--only", "pretrain")
    assert code == 0 and told.count("pretrain/") == 6 and "hours with 1 process" in told
    assert list(tmp_path.iterdir()) == []


def test_the_probe_measures_this_machine(run_json):
    found = run_json("transfer", "plan", *SMOKE)
    assert found["speed"].startswith("measured here")
    assert min(found["tokens_per_second"].values()) > 0
