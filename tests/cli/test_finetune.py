"""`gato-gym finetune`: from an agent that knows another task to one that knows both."""

import importlib.util
import json
import signal

import pytest
import torch

from gato_gym.config import model_config
from gato_gym.envs import task_spec
from gato_gym.evaluation import few_shot
from gato_gym.models.gato import Gato
from gato_gym.training.bundle import Bundle, load_bundle, save_bundle

KEYS = {
    *("task", "episodes", "draw", "score", "score_at_step", "curve", "base", "checkpoint", "best"),
    *("random", "expert", "normalized", "method", "before", "last", "steps", "data", "settings"),
}


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """The folder of an agent that knows MountainCar-v0 only."""
    torch.manual_seed(0)
    spec = task_spec("MountainCar-v0")
    folder = tmp_path_factory.mktemp("stranger") / "agent"
    documents = {"card.json": json.dumps({"size": "tiny"})}
    return save_bundle(
        Bundle(Gato(model_config("tiny")), {spec.id: spec}, documents=documents), folder
    )


@pytest.fixture
def command(corpus, stranger, tmp_path):
    """A run of four steps on the corpus' CartPole episodes."""
    data = ("--task", "CartPole-v1", "--corpus", corpus, "--episodes", 3)
    size = ("--steps", 4, "--batch", 2, "--evaluate-every", 2, "--evaluate-episodes", 1)
    where = ("--checkpoint", stranger, "--out", tmp_path / "run")
    return ("finetune", *data, *size, *where, "--learning-rate", 1e-2, "--threads", 1)


def test_json_agent_and_card(command, run_json, run, stranger, tmp_path):
    found = run_json(*command)
    assert set(found) >= KEYS
    assert (found["task"], found["episodes"], found["draw"]) == ("CartPole-v1", 3, 0)
    assert (found["base"], found["method"], found["steps"]) == (str(stranger), "full", 4)
    assert [point["step"] for point in found["curve"]] == [0, 2, 4]
    out = tmp_path / "run"
    assert found["checkpoint"] == str(out / "agent") and found["best"] == str(out / "best")
    assert json.loads((out / "result.json").read_text()) == found
    assert "--task CartPole-v1 --corpus corpus --out run --episodes 3" in found["command"]
    for name in ("agent", "best"):
        agent = load_bundle(out / name)
        assert set(agent.specs) == {"MountainCar-v0", "CartPole-v1"}
        assert agent.prompts["CartPole-v1"].seed in found["data"]["seeds"]
    card = json.loads((out / "agent/card.json").read_text())
    assert card["base"] == {"size": "tiny"}
    assert card["finetune"]["score"] == found["score"]
    assert found["command"] in (out / "agent/README.md").read_text()
    lines = (out / "train.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4]
    assert list((out / "tensorboard").iterdir())

    # The same command again trains nothing and gives the same, told for people this time.
    weights = (out / "agent/model.safetensors").read_bytes()
    code, told, err = run(*command)
    assert code == 0 and (out / "agent/model.safetensors").read_bytes() == weights
    assert f"Score {found['score']:.1f} at step {found['score_at_step']}" in told
    assert "has 6 episodes" in err and "2000 best" in err and "resuming at step 4" in err

    played = run_json(
        *("eval", "--task", "CartPole-v1", "--checkpoint", found["checkpoint"]),
        *("--episodes", 1, "--seed", found["curve"][-1]["seed"]),
    )
    assert played["returns"] == found["curve"][-1]["returns"]


def test_lora_is_merged_on_export(command, run_json, stranger, tmp_path):
    found = run_json(*command, "--lora", "--rank", 2, "--no-prompt")
    assert found["method"] == "lora" and found["prompt"] is False
    assert found["settings"]["rank"] == 2 and "--lora --rank 2" in found["command"]
    assert found["trained_parameters"] < found["parameters"] / 10
    base, tuned = (load_bundle(path).model for path in (stranger, found["checkpoint"]))
    assert torch.equal(tuned.embedding.ids.weight, base.embedding.ids.weight)
    assert not torch.equal(tuned.blocks[0].out.weight, base.blocks[0].out.weight)


def test_from_scratch(command, run_json):
    found = run_json(*command, "--scratch", "--draw", 1)
    assert found["start"] == "scratch" and found["base"].startswith("random weights")
    assert found["draw"] == 1
    assert set(load_bundle(found["checkpoint"]).specs) == {"CartPole-v1"}


def test_an_interrupt_while_it_plays_is_resumed(command, run, run_json, tmp_path, monkeypatch):
    play, asked = few_shot.batched_rollout, []

    def interrupted(*args, stop, **kwargs):
        def signalled():
            asked.append(None)
            if len(asked) == 5:
                signal.raise_signal(signal.SIGINT)
            return stop()

        return play(*args, stop=signalled, **kwargs)

    monkeypatch.setattr(few_shot, "batched_rollout", interrupted)
    code, out, err = run(*command, "--evaluate-episodes", 2)
    assert (code, out, len(asked)) == (130, "", 5)
    assert "run the same command again to resume" in err.splitlines()[-1]
    monkeypatch.undo()
    resumed = run_json(*command, "--evaluate-episodes", 2)
    straight = run_json(*command, "--evaluate-episodes", 2, "--out", tmp_path / "straight")
    assert resumed["curve"] == straight["curve"] and resumed["score"] == straight["score"]


def test_wrong_use(command, fails, corpus, tmp_path):
    told = fails(*command, "--episodes", 100)
    assert "has 6 episodes of CartPole-v1, 100 are asked for" in told
    assert f"gato-gym collect CartPole-v1 --episodes 100 --out {corpus}" in told
    assert "from 1 to 1000" in fails(*command, "--episodes", 1001)
    assert "did you mean" in fails(*command, "--task", "CartPol-v1").lower()
    assert "gato-gym collect Acrobot-v1" in fails(*command, "--task", "Acrobot-v1")
    assert "--scratch or --lora" in fails(*command, "--scratch", "--lora")
    assert "does not exist" in fails(*command, "--checkpoint", tmp_path / "none")
    assert "does not exist" in fails(*command, "--corpus", tmp_path / "none")
    assert "divisor" in fails(*command, "--accumulate", 3)
    assert "--threads" in fails(*command, "--threads", 0)
    assert not (tmp_path / "run").exists()


def test_another_run_in_the_folder(command, run, fails):
    assert run(*command)[0] == 0
    assert "draw 0, not 1" in fails(*command, "--draw", 1)


def test_lora_without_peft(command, fails, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "peft" else find(name)
    )
    assert 'pip install "gato-gym[lora]"' in fails(*command, "--lora")
