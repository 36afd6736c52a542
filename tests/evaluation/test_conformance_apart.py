"""Environments that would take the check down with them are checked in a process of their own."""

import multiprocessing
import re

import pytest

from gato_gym.cli import main
from gato_gym.evaluation.conformance import check_apart

APART = """
import os, signal
import gymnasium as gym
import numpy as np

class Apart(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    def __init__(self, then):
        self.then = then
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}
    def step(self, action):
        if self.then == "exit":
            os._exit(3)
        if self.then == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        while self.then == "hang":
            signal.pause()
        return np.zeros(2, np.float32), 0.0, False, False, {}

for then in ("exit", "crash", "hang", "go on"):
    name = then.title().replace(" ", "")
    gym.register(f"Apart/{name}-v0", Apart, max_episode_steps=9, kwargs={"then": then})
"""


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """The name of a module that only `sys.path` leads to."""
    (tmp_path / "apart_envs.py").write_text(APART)
    monkeypatch.syspath_prepend(tmp_path)
    return "apart_envs"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Exit", r"environment ended its process \(exit code 3\)"),
        ("Crash", r"environment ended its process \(crash by SIGSEGV\)"),
    ],
)
def test_an_environment_that_ends_its_process_is_told(apart, name, problem):
    report = check_apart(f"{apart}:Apart/{name}-v0")
    assert not report.passed
    assert report.task == f"{apart}:Apart/{name}-v0"
    assert re.search(problem, report.of("error")[0].what)


def test_an_environment_that_never_returns_is_ended(apart):
    # The time limit may pass before the step begins: told alike.
    report = check_apart(f"{apart}:Apart/Hang-v0", timeout=0.5)
    assert "not done after 0.5 seconds" in report.of("error")[0].what
    assert multiprocessing.active_children() == []


def test_a_check_apart_says_what_a_check_says(apart):
    report = check_apart(f"{apart}:Apart/GoOn-v0", steps=20, seed=3)
    assert report.passed, report.text()
    assert any("20 random steps" in finding.what for finding in report.of("ok"))
    assert report.figures["tokens_per_step"] == 2 + 1 + 1


def test_the_command_survives(apart, capsys):
    assert main(["tasks", "--check", f"{apart}:Apart/Exit-v0"]) == 1
    assert "Gato cannot play it yet: 1 to mend" in capsys.readouterr().out
