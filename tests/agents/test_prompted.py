"""Episodes that begin with another prompt than the agent's own."""

import numpy as np
import pytest
import torch

from gato_gym.agents.demonstrations import OtherTask
from gato_gym.agents.gato import GatoAgent
from gato_gym.agents.prompted import WithoutPrompt, WithPrompt
from gato_gym.errors import PromptError
from gato_gym.models.choice import deterministic
from gato_gym.models.stream import TokenStreams

POLE, BOXING, BLOCKS = "CartPole-v1", "ALE/Boxing-v5", "gato_gym/BlockStacking-v0"
SEEN = np.array([0.1, -0.2, 0.05, 0.3], np.float32)


@pytest.fixture(scope="module")
def agent():
    return GatoAgent.from_pretrained()


def shown(agent, task):
    return OtherTask(agent.prompts[task], agent.specs[task])


def first_logits(agent, prompt):
    agent.reset(POLE, prompt=prompt)
    seen = []

    def choose(logits, rows, ordered):
        seen.append(logits)
        return deterministic(logits, rows, ordered)

    role = agent._roles[0]
    streams = TokenStreams(agent.decoder, [role.tokenizer])
    streams.restart(0, agent._demonstrations.of(role))
    streams.decide([role.read(SEEN, 0)], choose)
    return seen[0][0]


def test_a_prompt_may_show_another_task_on_purpose(agent):
    own, none = first_logits(agent, "expert"), first_logits(agent, None)
    torch.testing.assert_close(own, first_logits(agent, shown(agent, POLE)), atol=0, rtol=0)
    # Their steps have other forms: pictures, five numbers as an action, words.
    for task in (BOXING, BLOCKS, "text/vqa"):
        found = first_logits(agent, shown(agent, task))
        read = agent._demonstrations.of(agent._roles[0])
        assert read.tokenizers[0].spec.id == task
        assert 0 < read.rows[0].window.length <= agent.config.context // 2
        assert not torch.allclose(found, own, atol=1e-4)
        assert not torch.allclose(found, none, atol=1e-4)
    # Afterwards the agent has its own prompt again.
    torch.testing.assert_close(own, first_logits(agent, "expert"), atol=0, rtol=0)
    torch.testing.assert_close(none, first_logits(agent, None), atol=0, rtol=0)


def test_every_row_of_a_batch_starts_from_the_prompt(agent):
    player = WithPrompt(agent, shown(agent, BLOCKS), "blocks")
    assert player.checkpoint == "bundled (blocks)" and player.specs is agent.specs
    player.reset([POLE, POLE])
    actions, _ = player.predict([SEEN, SEEN])
    assert len({len(agent._demonstrations.of(role).cache) for role in agent._roles}) == 1
    player.reset(POLE)
    assert actions == [player.act(SEEN)] * 2
    WithoutPrompt(agent).reset(POLE)
    assert agent._demonstrations.of(agent._roles[0]) is None


def test_the_spec_is_of_the_task_that_is_shown(agent):
    with pytest.raises(PromptError, match=r"shows CartPole-v1, its spec is of ALE/Boxing-v5"):
        OtherTask(agent.prompts[POLE], agent.specs[BOXING])
    # Not on purpose it is a mistake.
    with pytest.raises(PromptError, match=r"shows CartPole-v1, the task is ALE/Boxing-v5"):
        agent.reset(BOXING, prompt=agent.prompts[POLE])
