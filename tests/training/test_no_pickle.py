"""Nothing that training or acting loads is unpickled, whatever the file says."""

import builtins
import pickle

import cloudpickle
import numpy as np
import pytest
import torch

from gato_gym.config import MODELS, TrainConfig
from gato_gym.envs import task_spec
from gato_gym.models.gato import Gato
from gato_gym.testing import TOY_TASK, make_toy
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.training.bundle import Bundle, load_bundle, save_bundle
from gato_gym.training.checkpoint import Checkpoints
from gato_gym.training.optim import make_optimizer

WAYS = (
    (pickle, "load"),
    (pickle, "loads"),
    (pickle, "Unpickler"),
    (pickle, "_Unpickler"),
    (cloudpickle, "load"),
    (cloudpickle, "loads"),
    (torch, "load"),
    (np, "load"),
    (builtins, "eval"),
)


@pytest.fixture
def refuse(monkeypatch):
    """From now on no way of unpickling works."""

    def refused(*args, **kwargs):
        raise AssertionError("unpickled")

    def start():
        for module, name in WAYS:
            monkeypatch.setattr(module, name, refused)
        with pytest.raises(AssertionError, match="unpickled"):
            torch.load("x")

    return start


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Gato(MODELS["tiny"])


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_checkpoint(tmp_path, refuse, model, optimizer):
    made = make_optimizer(model, TrainConfig(optimizer=optimizer))
    model.logits(torch.ones(1, 32)).sum().backward()
    made.step()
    folder = Checkpoints(tmp_path).save(1, model, made, {"tokens": 1}, wait=True)
    refuse()
    kept = Checkpoints(tmp_path)
    assert kept.newest() == folder
    assert kept.load(folder, model, made) == {"step": 1, "tokens": 1}


def test_an_agent(tmp_path, refuse, model):
    text = TextTokenizer.train(["go left", "go right"] * 20, 512)
    spec = task_spec(make_toy(TOY_TASK))
    folder = save_bundle(Bundle(model, {TOY_TASK: spec}, text=text), tmp_path / "agent")
    refuse()
    found = load_bundle(folder)
    assert found.specs == {TOY_TASK: spec} and found.text is not None
