"""`gato-gym probe embeddings`: from experts and from a corpus, and what is refused."""

import json

import pytest
import torch
import tyro

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli.probe_embeddings import Embeddings, run_embeddings
from gato_gym.config import model_config
from gato_gym.data.corpus import Corpus
from gato_gym.data.player import _Stage
from gato_gym.errors import CorpusPathError, MissingExtraError, UnknownTaskError
from gato_gym.evaluation import separation
from gato_gym.models.gato import Gato

WITHOUT = "ALE/Adventure-v5"
"""Has no expert."""
TASKS = ("Acrobot-v1", "MountainCar-v0", "Pendulum-v1")
FEW = ("--episodes", "4", "--perplexity", "3", "--neighbours", "2")


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    """The folder of an agent of random weights that knows three tasks and one without an expert."""
    torch.manual_seed(0)
    specs = {task: envs.task_spec(task) for task in (*TASKS, WITHOUT)}
    folder = tmp_path_factory.mktemp("probe") / "agent"
    GatoAgent(Gato(model_config("tiny")), specs).save_pretrained(folder)
    return folder


@pytest.fixture
def probe(agent, tmp_path, capsys):
    """Run the action -> (exit code, stdout, stderr)."""

    def call(*arguments):
        given = ["--checkpoint", agent, "--out", tmp_path / "out", *arguments]
        options = tyro.cli(
            Embeddings, args=[str(one) for one in given], config=(tyro.conf.FlagCreatePairsOff,)
        )
        capsys.readouterr()
        code = run_embeddings(options)
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where the first test keeps the episodes of the experts."""
    return tmp_path_factory.mktemp("probe") / "kept"


def points(folder):
    return json.loads((folder / "embeddings.json").read_text())["points"]


def test_experts_play_and_the_episodes_can_be_read_again(probe, kept, tmp_path):
    code, out, _ = probe(*FEW, "--keep", kept, "--json")
    assert code == 0 and out.count("\n") == 1
    found = json.loads(out)
    whole = json.loads((tmp_path / "out/embeddings.json").read_text())
    assert found.pop("figures") == [
        str(tmp_path / "out" / f"embeddings-{theme}.{kind}")
        for theme in ("light", "dark")
        for kind in ("svg", "png")
    ]
    assert whole == found | {"points": whole["points"]} and len(whole["points"]) == 12
    assert [row["task"] for row in whole["tasks"]] == list(TASKS)
    # The middle one of two blocks; the tiny agent's context is shorter than the paper's window.
    assert (whole["layer"], whole["settings"]["length"]) == (1, 96)
    assert whole["skipped"] == {
        WITHOUT: f"{WITHOUT} has no expert: pass --corpus, a folder with its episodes"
    }
    assert {point["seed"] for point in whole["points"]} == {7000, 7001, 7002, 7003}
    assert whole["versions"]["scikit-learn"] and whole["machine"] and len(whole["weights"]) == 8
    entries = Corpus.open(kept).episodes()
    assert sorted({entry.task for entry in entries}) == list(TASKS) and len(entries) == 12

    # Nothing is played again, and the picture is the same; so it is of the corpus.
    picture = (tmp_path / "out/embeddings-dark.png").read_bytes()
    code, out, _ = probe(*FEW, "--keep", kept, "--out", tmp_path / "again")
    assert code == 0 and len(Corpus.open(kept)) == 12
    assert points(tmp_path / "again") == whole["points"]
    assert (tmp_path / "again/embeddings-dark.png").read_bytes() == picture
    assert f"left out: {WITHOUT}" in out and "    1*" in out and "chance 33.3%" in out
    code, out, _ = probe(*FEW, "--corpus", kept, "--out", tmp_path / "third")
    assert code == 0 and points(tmp_path / "third") == whole["points"]
    assert f"left out: {WITHOUT}: 0 episodes in {kept}" in out


def test_more_episodes_than_there_are_is_told(probe, kept, tmp_path):
    options = ("--corpus", kept, "--episodes", "6", "--perplexity", "2", "--neighbours", "2")
    code, _, err = probe("Pendulum*", "Acrobot-v1", *options, "--layer", "0")
    assert code == 0
    assert "Acrobot-v1: 4 episodes, 6 were asked for" in err
    assert {point["task"] for point in points(tmp_path / "out")} == {"Acrobot-v1", "Pendulum-v1"}
    with pytest.raises(ValueError, match="8 episodes are too few for a perplexity of 3"):
        probe("Pendulum*", "Acrobot-v1", *options, "--perplexity", "3")


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        (("--layer", "3"), ValueError, r"no layer 3: .* layers 0 .* to 2"),
        (("--length", "97"), ValueError, "--length 97 is longer than this agent's context of 96"),
        (("--length", "0"), ValueError, "--length must be at least 1, got 0"),
        (("--episodes", "1"), ValueError, "--episodes must be at least 2, got 1"),
        (("--episodes", "5"), ValueError, "20 episodes are too few for a perplexity of 30"),
        (("--perplexity", "0"), ValueError, "--perplexity must be at least 1, got 0"),
        (("--neighbours", "0"), ValueError, "--neighbours must be at least 1, got 0"),
        (("--corpus", "a", "--keep", "b"), ValueError, "with --corpus nobody plays"),
        (("CartPole-v1",), UnknownTaskError, "does not know 'CartPole-v1': "),
        ((WITHOUT, *FEW), ValueError, f"name another beside {WITHOUT}"),
        ((WITHOUT, "Acrobot-v1", *FEW, "--perplexity", "2"), UnknownTaskError, "has no expert: "),
        (("--corpus", "nowhere", *FEW), CorpusPathError, "nowhere"),
    ],
)
def test_wrong_use_is_told_before_anything_is_played(
    probe, tmp_path, monkeypatch, arguments, error, told
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gato_gym.data.collect.collect_jobs", lambda *_, **__: pytest.fail("plays"))
    with pytest.raises(error, match=told):
        probe(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_named_task_that_the_corpus_lacks_is_refused(probe, kept):
    with pytest.raises(UnknownTaskError, match=f"{WITHOUT}: 0 episodes in .*at least 2"):
        probe(WITHOUT, "Acrobot-v1", "--corpus", kept, *FEW, "--perplexity", "2")


def test_without_scikit_learn_nothing_is_played(probe, monkeypatch):
    def missing():
        raise MissingExtraError("embeddings need scikit-learn")

    monkeypatch.setattr(separation, "check_packages", missing)
    with pytest.raises(MissingExtraError):
        probe(*FEW)


def test_a_task_that_cannot_be_played_is_named(probe, monkeypatch, tmp_path):
    whole = _Stage.attempt

    def attempt(self, seed):
        if self.job.task == "Acrobot-v1":
            raise RuntimeError("no policy")
        return whole(self, seed)

    monkeypatch.setattr(_Stage, "attempt", attempt)
    code, out, err = probe(*FEW, "--perplexity", "2")
    assert code == 1
    assert "left out: Acrobot-v1: failed: RuntimeError: no policy" in out
    assert "Acrobot-v1: failed: RuntimeError" in err
    assert {p["task"] for p in points(tmp_path / "out")} == {"MountainCar-v0", "Pendulum-v1"}
