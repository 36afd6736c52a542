"""The front door: verbs, help, exit codes."""

import os
import subprocess
import sys

import pytest

import gato_gym
from gato_gym import cli
from gato_gym.cli import VERBS, main
from gato_gym.errors import GatoGymError, TrainingError


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb, run):
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert "example" in out and f"gato-gym {verb} " in out and "--json" in out


def test_help_lists_the_verbs(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(f"  {verb}" in out for verb in VERBS)


def test_no_verb_is_wrong_use(run):
    code, out, err = run()
    assert (code, out) == (2, "")
    assert "usage" in err


def test_the_version(run):
    assert run("--version") == (0, f"{gato_gym.__version__}\n", "")


def test_an_unknown_verb_names_the_nearest(run):
    code, _, err = run("evil")
    assert code == 2
    assert "did you mean 'eval'" in err


def test_an_unknown_option_is_wrong_use(run):
    code, out, err = run("eval", "--tsk", "CartPole-v1")
    assert (code, out) == (2, "")
    assert "--tsk" in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GatoGymError("told"), 2),
        (ValueError("told"), 2),
        (TrainingError("told"), 1),
        (PermissionError("told"), 2),
        (FileNotFoundError("told"), 2),
        (OSError("told"), 1),
        (KeyboardInterrupt("told"), 130),
    ],
)
def test_errors_become_one_line_and_a_code(error, code, run, monkeypatch):
    from gato_gym.cli import tasks

    def fail(options):
        raise error

    monkeypatch.setattr(tasks, "run", fail)
    assert run("tasks") == (code, "", "gato-gym tasks: told\n")


def test_an_interrupt_without_words_says_so(run, monkeypatch):
    from gato_gym.cli import tasks

    def fail(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(tasks, "run", fail)
    assert run("tasks") == (130, "", "gato-gym tasks: interrupted\n")


def test_a_bug_keeps_its_traceback(monkeypatch):
    from gato_gym.cli import tasks

    def fail(options):
        raise ZeroDivisionError

    monkeypatch.setattr(tasks, "run", fail)
    with pytest.raises(ZeroDivisionError):
        main(["tasks"])


def test_the_module_runs_like_the_script(tmp_path):
    command = [sys.executable, "-m", "gato_gym", "tasks", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "CartPole-v1" in done.stdout


def test_a_reader_that_goes_away_is_no_traceback(tmp_path):
    code = "import sys; from gato_gym.cli import main; sys.exit(main(['tasks', '--json']))"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=gone, stderr=subprocess.PIPE, cwd=tmp_path
        )
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in VERBS)])
def test_help_does_not_wait_for_torch(arguments, tmp_path):
    code = f"""
import sys
from gato_gym.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
print("torch" in sys.modules, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stderr.strip() == "False"


def test_one_module_per_verb():
    folder = os.path.dirname(cli.__file__)
    assert {f"{verb}.py" for verb in VERBS} <= set(os.listdir(folder))
