"""One toy corpus and one toy agent, made through the command line, for all tests of the verbs."""

import json

import pytest

from gato_gym.cli import main


@pytest.fixture
def run(capsys):
    """Run a verb in this process -> (exit code, stdout, stderr)."""

    def call(*arguments):
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = leaving.code
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def run_json(run):
    """The JSON that a verb prints: all of stdout, on one line."""

    def call(*arguments):
        code, out, err = run(*arguments, "--json")
        assert code == 0, err
        assert out.count("\n") == 1
        return json.loads(out)

    return call


@pytest.fixture
def fails(run):
    """The one line that a verb tells on stderr before it exits with 2."""

    def call(*arguments):
        code, out, err = run(*arguments)
        assert (code, out) == (2, ""), err
        assert err.count("\n") == 1 and "Traceback" not in err
        assert err.startswith(f"gato-gym {arguments[0]}: ")
        return err

    return call


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Six CartPole episodes by the shipped expert, two of them noisy."""
    path = tmp_path_factory.mktemp("cli") / "corpus"
    collect = ["collect", "CartPole-v1", "--out", str(path)]
    assert main([*collect, "--episodes", "4", "--seed", "10"]) == 0
    assert main([*collect, "--episodes", "2", "--seed", "20", "--noise", "0.2"]) == 0
    return path


@pytest.fixture(scope="session")
def agent(corpus, tmp_path_factory):
    """The folder of a tiny agent, trained for one step."""
    run_folder = tmp_path_factory.mktemp("cli") / "run"
    command = ["train", "--corpus", str(corpus), "--out", str(run_folder), "--size", "tiny"]
    assert main([*command, "--steps", "1", "--batch", "2", "--threads", "1"]) == 0
    return run_folder / "agent"
