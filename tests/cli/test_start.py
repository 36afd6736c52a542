"""Training that goes on with an agent's weights."""

import json
import shutil

import pytest
import torch

from gato_gym.agents.gato import GatoAgent
from gato_gym.cli.start import Start
from gato_gym.config import model_config
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.default_text import default_text
from gato_gym.tokenizers.text import TextTokenizer

TINY = model_config("tiny")
LETTERS = "abcdefghijklmno"
POINT = {"step": 7, "loss": 2.0}
TASKS = {"losses": {"CartPole-v1": 2.0}, "accuracy": {"CartPole-v1": 0.5}}
CARD = {
    **{"steps": 7, "tokens": 3_000_000, "seconds": 1800.0, "machine": "a laptop"},
    "curve": [POINT | TASKS],
    "prompts": {"CartPole-v1": {"seed": 1, "return": 500.0, "steps": 500, "expert": "sb3"}},
    "start": {"card": {"tokens": 2_000_000, "seconds": 3600.0, "curve": [POINT | TASKS]}},
}


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    """An agent's folder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("start") / "agent"
    documents = {"card.json": json.dumps(CARD) + "\n"}
    GatoAgent(Gato(TINY), {}, text=default_text(), documents=documents).save_pretrained(folder)
    return folder


@pytest.fixture
def train(corpus, tmp_path, agent):
    """A short run from the agent, without --steps."""
    at = ("train", "--corpus", corpus, "--out", tmp_path / "run", "--batch", 2, "--threads", 1)
    return (*at, "--log-every", 1, "--start", agent)


def test_a_run_starts_from_the_agent_and_says_so(train, run_json, tmp_path):
    quiet = ("--learning-rate", 1e-9, "--weight-decay", 0)
    result = run_json(*train, "--steps", 1, *quiet)
    told = json.loads((tmp_path / "run/agent/card.json").read_text())
    assert told["size"] == "tiny" and result["parameters"] == told["parameters"]
    assert told["start"]["agent"] == "agent"
    # What it went on from, each curve without its tasks, and without demonstrations.
    assert told["start"]["card"].keys() == CARD.keys() - {"prompts"}
    assert told["start"]["card"] | {"prompts": CARD["prompts"]} == CARD | {
        "curve": [POINT],
        "start": {"card": CARD["start"]["card"] | {"curve": [POINT]}},
    }
    assert told["curve"][-1].keys() >= {"losses", "accuracy"}
    text = (tmp_path / "run/agent/README.md").read_text()
    whole = f"{5_000_000 + told['tokens']:,} tokens, 1.5 hours of training."
    assert f"With the 2 runs that it goes on from: {whole}" in text
    assert str(tmp_path) not in told["command"] and "--start agent" in told["command"]
    torch.manual_seed(0)
    begun, ended = Gato(TINY), GatoAgent.from_pretrained(tmp_path / "run/agent").model
    for name, weight in begun.state_dict().items():
        torch.testing.assert_close(ended.state_dict()[name], weight, rtol=0, atol=1e-6)


def test_a_run_goes_on_from_the_same_start_only(train, run_json, fails):
    run_json(*train, "--steps", 1)
    assert run_json(*train, "--steps", 2)["steps"] == 2
    without = [part for part in train if part != "--start" and "agent" not in str(part)]
    assert "started from agent, not from random weights" in fails(
        *without, "--size", "tiny", "--steps", 3
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--layers", 1), "the agent has 2 blocks, it cannot have 1"),
        (("--layers", 0), "the agent has 2 blocks, it cannot have 0"),
        (("--start", "nowhere"), "nowhere does not exist"),
        (("--text-model", "missing.model"), "missing.model"),
    ],
)
def test_what_cannot_be_started_from(train, fails, options, problem):
    assert problem in fails(*train, "--steps", 1, *options)


def test_a_run_goes_on_with_the_same_text_model_only(corpus, tmp_path, run_json, fails):
    model = tmp_path / "text.model"
    sentences = [f"sentence number {number} of a small set" for number in range(50)]
    model.write_bytes(TextTokenizer.train(sentences, 512).model)
    at = ("train", "--corpus", corpus, "--out", tmp_path / "run", "--size", "tiny", "--batch", 2)
    run_json(*at, "--steps", 1, "--text-model", model)
    assert run_json(*at, "--steps", 2, "--text-model", model)["steps"] == 2
    assert "trained with another text model" in fails(*at, "--steps", 3)


def test_a_start_may_be_renamed(train, agent, run_json, tmp_path):
    run_json(*train, "--steps", 1)
    renamed = tmp_path / "renamed"
    shutil.copytree(agent, renamed)
    again = [renamed if part == agent else part for part in train]
    assert run_json(*again, "--steps", 2)["steps"] == 2


def test_layers_are_for_an_agent(corpus, tmp_path, fails):
    at = ("train", "--corpus", corpus, "--out", tmp_path / "run", "--steps", 1)
    assert "--layers deepens the agent of --start" in fails(*at, "--layers", 3)


def test_a_text_model_needs_room(tmp_path):
    model = tmp_path / "text.model"
    model.write_bytes(default_text().model)
    assert Start.find(TINY, text=model).asked
    larger = tmp_path / "larger.model"
    words = [f"{a}{b}{c} {c}{a}{b}" for a in LETTERS for b in LETTERS for c in LETTERS]
    larger.write_bytes(TextTokenizer.train(words, 1100).model)
    with pytest.raises(ValueError, match="the text model has 1100 pieces"):
        Start.find(TINY, text=larger)


def test_another_text_model_than_the_agents_is_refused(agent, tmp_path):
    model = tmp_path / "text.model"
    sentences = [f"sentence number {number} of a small set" for number in range(50)]
    model.write_bytes(TextTokenizer.train(sentences, 512).model)
    with pytest.raises(ValueError, match="has learned the pieces of another one"):
        Start.find(TINY, str(agent), model)


def test_bfloat16_on_a_processor(corpus, tmp_path, run_json):
    at = ("train", "--corpus", corpus, "--size", "tiny", "--batch", 2, "--threads", 1)
    weights = {}
    for kind in ("auto", "float32", "bfloat16"):
        run_json(*at, "--out", tmp_path / kind, "--steps", 3, "--arithmetic", kind)
        model = GatoAgent.from_pretrained(tmp_path / kind / "agent").model
        weights[kind] = model.blocks[0].up.weight
    assert torch.equal(weights["auto"], weights["float32"])
    assert not torch.equal(weights["bfloat16"], weights["float32"])
    torch.testing.assert_close(weights["bfloat16"], weights["float32"], rtol=0, atol=0.02)
