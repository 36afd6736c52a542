"""What the agent does for the page: pictures of its attention, and replies."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.errors import UnknownTaskError
from gato_gym.evaluation.report.attention import attention
from gato_gym.evaluation.report.speech import examples
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.default_text import default_text

PLAYED, SPOKEN = "CartPole-v1", "text/dialogue"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("playing") / "agent"
    specs = {task: envs.task_spec(task) for task in (PLAYED, SPOKEN)}
    GatoAgent(
        Gato(replace(model_config("tiny"), context=308)), specs, text=default_text()
    ).save_pretrained(path)
    return path


def test_attention_is_drawn_at_the_steps_asked_for(folder):
    pictures = attention(folder, PLAYED, steps=(0, 2))
    assert [one.name for one in pictures] == ["attention-0", "attention-2"]
    assert pictures[1].caption == "CartPole-v1, seed 7000, step 2"
    for one in pictures:
        assert one.image.shape == (540, 960, 3) and one.image.dtype == np.uint8
        assert one.png().startswith(b"\x89PNG") and one.uri.startswith("data:image/jpeg;base64,")
    assert (pictures[0].image != pictures[1].image).any()


def test_a_task_that_the_agent_does_not_know(folder):
    with pytest.raises(UnknownTaskError, match="did you mean CartPole-v1"):
        attention(folder, "CartPole-v0")
    with pytest.raises(UnknownTaskError, match="it knows CartPole-v1, text/dialogue"):
        attention(folder, "zzz")


def test_replies_are_the_first_ones_of_each_task_that_speaks(folder):
    found = examples(folder, 2)
    assert [one.task for one in found] == [SPOKEN] * 2
    env = envs.make(SPOKEN)
    obs, _ = env.reset(seed=7000)
    env.close()
    assert found[0].asked == obs["text"] and found[0].truth and found[0].picture is None
    assert all(0 <= one.reward <= 1 for one in found)
