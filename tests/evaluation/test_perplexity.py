"""Perplexity of an expert's replies, against a prefix-by-prefix computation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.evaluation import perplexity as module
from gato_gym.evaluation.perplexity import perplexity
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.default_text import default_text
from gato_gym.tokenizers.timestep import ACTION_ROW, StepTokenizer
from gato_gym.tokenizers.vocabulary import PATCH
from gato_gym.types import ActionSpec, Episode, ObservationSpec, TaskSpec

TASK = "test/Asked-v0"
SPEC = TaskSpec(
    TASK,
    "text",
    "test",
    (ObservationSpec("image", "image", (16, 32, 3)), ObservationSpec("question", "text", ())),
    ActionSpec("text", 12),
)
REPLIES = (["a red key", "no", "the ball is left of the door"], ["yes"], ["two balls", "a door"])


def episode(number, replies):
    rng = np.random.default_rng(number)
    count = len(replies) + 1
    questions = np.array([f"what is number {i}" for i in range(count)])
    return Episode(
        task=TASK,
        observations={
            "image": rng.integers(0, 256, (count, 16, 32, 3)).astype(np.uint8),
            "question": questions,
        },
        actions=np.array(replies),
        rewards=np.ones(len(replies)),
        terminated=True,
        seed=number,
        expert="test",
    )


@pytest.fixture(scope="module")
def episodes():
    return [episode(number, replies) for number, replies in enumerate(REPLIES)]


@pytest.fixture(scope="module")
def agent():
    torch.manual_seed(3)
    model = Gato(replace(model_config("tiny"), context=320))
    with torch.no_grad():  # so that predictions differ from token to token
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return GatoAgent(model, {TASK: SPEC})


def naive(agent, episodes, context, before=()):
    """Loss and number of the tokens of replies, one pass per reply over the steps that fit."""
    tokenizer = StepTokenizer(SPEC, agent.vocabulary, default_text())
    losses, correct = [], []
    for one in episodes:
        steps = [*before]
        for index in range(len(one)):
            part = {key: values[index : index + 1] for key, values in one.observations.items()}
            actions = one.actions[index : index + 1]
            steps.append(tokenizer.sequence(part, actions, actions))
            shown = list(steps)
            while sum(map(len, shown)) > context:
                shown.pop(0)
            ids = torch.from_numpy(np.concatenate([step.ids for step in shown]))[None].long()
            local = torch.from_numpy(np.concatenate([step.local for step in shown]))[None].long()
            intervals = np.concatenate([step.intervals for step in shown])
            middle = (intervals.reshape(-1, 2, 2).sum(-1) + 1) // 2
            patches = torch.from_numpy(np.concatenate([step.patches for step in shown]))
            with torch.no_grad():
                logits = agent.model(
                    ids,
                    local,
                    patches,
                    torch.arange(len(patches)),
                    torch.from_numpy(np.minimum(middle, 127)).long(),
                    torch.zeros_like(ids),
                )[0].log_softmax(-1)
            assert int((ids == PATCH).sum()) == len(patches)
            said = [i for i in range(ids.shape[1]) if local[0, i] == ACTION_ROW]
            said = said[-int((steps[-1].local == ACTION_ROW).sum()) :]
            losses += [-float(logits[i - 1, ids[0, i]]) for i in said]
            correct += [int(logits[i - 1].argmax()) == int(ids[0, i]) for i in said]
    return losses, correct


def check(found, losses, correct):
    assert found.tokens == len(losses)
    assert found.perplexity == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)
    assert found.token_accuracy == pytest.approx(np.mean(correct))


@pytest.mark.parametrize("batch", [1, 8])
def test_it_is_that_of_the_tokens_of_replies_with_their_ends(agent, episodes, batch):
    losses, correct = naive(agent, episodes, agent.config.context)
    found = perplexity(agent, episodes, batch=batch)
    check(found, losses, correct)
    assert found.replies == 6
    letters = sum(len(reply) for replies in REPLIES for reply in replies)
    assert found.bits_per_letter == pytest.approx(sum(losses) / math.log(2) / letters, rel=1e-4)
    # The end of each reply counts as a token.
    words = sum(len(default_text().encode(reply)) for replies in REPLIES for reply in replies)
    assert found.tokens == words + found.replies


def test_a_reply_sees_as_many_whole_steps_as_fit(agent, episodes, monkeypatch):
    tokenizer = StepTokenizer(SPEC, agent.vocabulary, default_text())
    one = episodes[0]
    part = {key: values[:3] for key, values in one.observations.items()}
    lengths = [len(s) for s in tokenizer.sequences(part, one.actions, one.actions, [1, 1, 1])]
    context = lengths[1] + lengths[2]
    every = module._documents
    monkeypatch.setattr(
        module, "_documents", lambda before, steps, _: every(before, steps, context)
    )
    losses, correct = naive(agent, episodes, context)
    assert losses != naive(agent, episodes, agent.config.context)[0]
    check(perplexity(agent, episodes), losses, correct)


def test_the_agents_demonstration_stands_before_the_replies(agent, episodes):
    prompt = episodes[2]
    told = GatoAgent(agent.model, {TASK: SPEC}, {TASK: prompt})
    tokenizer = StepTokenizer(SPEC, agent.vocabulary, default_text())
    room = agent.config.context // 2
    part = {key: values[:2] for key, values in prompt.observations.items()}
    steps = tokenizer.sequences(part, prompt.actions, prompt.actions, [1, 1])
    assert sum(map(len, steps)) <= room
    check(perplexity(told, episodes), *naive(agent, episodes, agent.config.context, steps))
    assert perplexity(told, episodes, prompt=None) == perplexity(agent, episodes)


def test_what_is_no_text_is_an_error(agent):
    with pytest.raises(ValueError, match="actions that are text"):
        perplexity(agent, [])
    numbers = Episode(
        "a", {"o": np.zeros((2, 1))}, np.zeros(1, np.int64), np.zeros(1), True, 0, "e"
    )
    with pytest.raises(ValueError, match="actions that are text"):
        perplexity(agent, [numbers])
