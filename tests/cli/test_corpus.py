"""`gato-gym corpus`: merge, card, export and import; one line for everything that goes wrong."""

import json

import h5py
import pytest

from gato_gym.cli import main
from gato_gym.data import merge as merge_module
from gato_gym.data.corpus import Corpus


def contents(path):
    corpus = Corpus.open(path)
    return {e.key: (corpus.read_record(e), e.line()) for e in corpus.episodes()}


def test_stats_for_machines_and_for_people(run, run_json, corpus):
    row = run_json("corpus", "stats", corpus)["by_task"]["CartPole-v1"]
    assert {"mean_return", "std_return", "min_return", "max_return", "mean_length"} <= set(row)
    assert {"success_rate", "normalized", "experts", "seeds", "parts", "tokens"} <= set(row)
    code, out, _ = run("corpus", "stats", corpus)
    assert code == 0
    head, task, total = out.splitlines()
    assert "normalised" in head and task.startswith("CartPole-v1") and total.startswith("total")


def test_merging(run, run_json, corpus, tmp_path):
    out = tmp_path / "all"
    found = run_json("corpus", "merge", corpus, "--out", out)
    assert (found["episodes"], found["skipped"], found["total"]) == (6, 0, 6)
    assert contents(out) == contents(corpus)
    code, told, _ = run("corpus", "merge", corpus, out, "--out", out)
    assert (code, told.startswith("0 episodes (0 steps) added, 6 were there already")) == (0, True)


def test_an_interrupted_merge_says_what_is_safe(run, corpus, tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(merge_module, "_batches", interrupted)
    code, out, err = run("corpus", "merge", corpus, "--out", tmp_path / "all")
    assert (code, out) == (130, "")
    assert "0 episodes are safe" in err and "same command again" in err


def test_writing_a_card(run, run_json, corpus, tmp_path):
    out = tmp_path / "card"
    card = run_json("corpus", "card", corpus, "--out", out)
    assert json.loads((out / "card.json").read_text()) == card
    assert {path.name for path in out.iterdir()} == {"README.md", "card.json", "returns.png"}
    code, told, _ = run("corpus", "card", corpus, "--out", out)
    assert (code, str(out) in told) == (0, True)


def test_to_minari_and_back(run, run_json, corpus, tmp_path):
    root = ("--root", tmp_path / "minari")
    (dataset,) = run_json("corpus", "export", "--minari", corpus, *root)["datasets"]
    assert (dataset["id"], dataset["episodes"]) == ("gato_gym/CartPole-v1-v0", 6)
    code, out, _ = run("corpus", "export", "--minari", corpus, *root)
    assert (code, "was there already" in out) == (0, True)
    back = tmp_path / "back"
    found = run_json("corpus", "import", "--minari", dataset["id"], "--out", back, *root)
    assert found["datasets"][0] | {"episodes": 6, "task": "CartPole-v1"} == found["datasets"][0]
    assert contents(back) == contents(corpus)
    code, out, _ = run("corpus", "import", "--minari", dataset["path"], "--out", back)
    assert (code, "6 were there already" in out) == (0, True)


def test_one_task_under_a_name(run_json, corpus, tmp_path):
    command = ("--task", "CartPole-v1", "--id", "me/pole-v3", "--root", tmp_path)
    (dataset,) = run_json("corpus", "export", corpus, "--minari", *command)["datasets"]
    assert dataset["id"] == "me/pole-v3"


def test_wrong_use(fails, corpus, tmp_path):
    out = ("--out", tmp_path / "out")
    assert "does not exist" in fails("corpus", "merge", tmp_path / "none", *out)
    assert "at least one corpus" in fails("corpus", "merge", *out)
    assert "does not exist" in fails("corpus", "card", tmp_path / "none")
    assert "--minari" in fails("corpus", "export", corpus)
    assert "--minari" in fails("corpus", "import", "x-v0", *out)
    assert "at least one data set" in fails("corpus", "import", "--minari", *out)
    told = fails("corpus", "import", "--minari", "x-v0", *out, "--root", tmp_path / "none")
    assert "no Minari data set 'x-v0'" in told
    told = fails("corpus", "export", "--minari", corpus, "--task", "Pong-v5", "--root", tmp_path)
    assert "has no episode of 'Pong-v5'" in told
    assert list(tmp_path.iterdir()) == []


def test_what_is_damaged_is_told_in_one_line(fails, corpus, tmp_path):
    export = ["corpus", "export", "--minari", str(corpus), "--root", str(tmp_path)]
    assert main(export) == 0
    folder = tmp_path / "gato_gym/CartPole-v1-v0"
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        file["episode_3/rewards"][0] = float("nan")
    out = ("--out", tmp_path / "out")
    assert "CartPole-v1-v0, episode 3" in fails("corpus", "import", "--minari", folder, *out)
    assert len(Corpus.open(tmp_path / "out")) == 3
    (folder / "data/main_data.hdf5").write_bytes(b"\x89HDF")
    assert "not a readable" in fails("corpus", "import", "--minari", folder, *out)
    (folder / "data/metadata.json").unlink()
    assert "is no Minari data set" in fails("corpus", "import", "--minari", folder, *out)
    assert "holds something else" in fails(*export)


@pytest.mark.parametrize("action", ["list", "verify", "stats", "merge", "card", "export", "import"])
def test_every_action_has_its_help(action, run):
    code, out, _ = run("corpus", action, "--help")
    assert code == 0 and f"gato-gym corpus {action}" in out
