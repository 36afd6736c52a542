"""`gato-gym collect --ray` and `gato-gym eval --ray`: what they print, and how they refuse."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from gato_gym.data.corpus import Corpus


def without_speed(found):
    """Nor how many played together: a cluster's players play one episode each."""
    rows = found.get("tasks", [found])
    for row in rows:
        assert row.pop("steps_per_second") > 0 and row.pop("num_envs") > 0
    return found


def test_collecting_twice_on_a_cluster(ray_cluster, run_json, run, tmp_path):
    out = tmp_path / "c"
    command = ("collect", "CartPole-v1", "Acrobot-v1", "--out", out, "--episodes", 3)
    found = run_json(*command, "--ray", ray_cluster.address)
    assert [row["episodes"] for row in found["tasks"]] == [3, 3]
    assert run_json(*command)["tasks"][0]["skipped"] == 3
    assert Corpus.open(out).verify().episodes == 6
    code, printed, err = run(*command, "--ray", ray_cluster.address, "--workers", 1)
    assert (code, err) == (0, "") and printed.count("0 episodes (0 steps) added") == 2


def test_gato_scores_the_same_on_a_cluster(ray_cluster, run_json, agent):
    command = ("eval", "--all", "--checkpoint", agent, "--episodes", 3)
    found = run_json(*command, "--ray", ray_cluster.address)
    assert without_speed(found) == without_speed(run_json(*command))


def test_random_play_scores_the_same_on_a_cluster(ray_cluster, run_json):
    command = ("eval", "--task", "CartPole-v1", "--agent", "random", "--episodes", 3)
    found = run_json(*command, "--ray", ray_cluster.address, "--workers", 1)
    assert without_speed(found) == without_speed(run_json(*command))


def test_a_cluster_of_its_own(tmp_path):
    command = ["collect", "CartPole-v1", "--out", "c", "--episodes", "2", "--ray", "local"]
    elsewhere = {name: text for name, text in os.environ.items() if "RAY_AUTH" not in name}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "gato_gym", *command, "--json"],
        cwd=tmp_path,
        env=elsewhere | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1 and '"episodes": 2' in done.stdout
    # Where Ray leaves a token, which changes how later clusters start.
    assert not (tmp_path / ".ray").exists()


def test_ctrl_c_says_what_is_safe(ray_cluster, tmp_path):
    command = ["collect", "CartPole-v1", "--out", "c", "--episodes", "100000"]
    command += ["--ray", ray_cluster.address, "--episodes-per-shard", "1"]
    child = subprocess.Popen(
        [sys.executable, "-m", "gato_gym", *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs with the signal ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    manifest = tmp_path / "c" / "manifest.jsonl"
    while child.poll() is None and not (manifest.exists() and manifest.stat().st_size):
        threading.Event().wait(0.05)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate()
    assert (child.returncode, out) == (130, ""), err
    assert "episodes are safe in" in err and err.count("\n") == 1
    report = Corpus.open(tmp_path / "c").verify()
    assert report.episodes >= 1 and report.orphans == ()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--ray", "nowhere"), "HOST:PORT"),
        (("--ray", "127.0.0.1:1"), "no Ray cluster answers at '127.0.0.1:1'"),
        (("--ray", "auto", "--dry-run"), "leave --ray out"),
        (("--ray", "auto", "--workers", 0), "--workers"),
    ],
)
def test_collect_refuses_before_it_writes(arguments, told, fails, tmp_path):
    assert told in fails("collect", "CartPole-v1", "--out", tmp_path / "c", *arguments)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--task", "CartPole-v1", "--ray", "nowhere"), "HOST:PORT"),
        (("--task", "CartPole-v1", "--ray", "auto", "--workers", 0), "--workers"),
        (("--task", "CartPole-v1", "--workers", 2), "it is for --all"),
        (("--task", "CartPole-v7", "--ray", "auto"), "'CartPole-v1'"),
        (("--task", "CartPole-v1", "--agent", "random", "--ray", "127.0.0.1:1"), "no Ray cluster"),
        (("--all", "--agent", "random", "--ray", "auto", "--no-prompt"), "--no-prompt"),
    ],
)
def test_wrong_use_of_eval(arguments, told, fails):
    assert told in fails("eval", *arguments)


@pytest.mark.parametrize("verb", [("collect", "CartPole-v1", "--out"), ("eval", "--task")])
def test_without_ray_the_extra_is_named(verb, fails, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    last = tmp_path / "c" if verb[0] == "collect" else "CartPole-v1"
    assert 'pip install "gato-gym[ray]"' in fails(*verb, last, "--ray", "auto")
    assert not os.listdir(tmp_path)
