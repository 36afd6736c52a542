"""Tasks whose actions are text, acted in like any other."""

import string
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import gato_gym
from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.agents.role import Role, spoken
from gato_gym.config import model_config
from gato_gym.errors import UnsupportedSpaceError
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import Episode

TASK, CONTROL = "Echo-v0", "CartPole-v1"


class Echo(gymnasium.Env):
    """Says something, and takes any answer for four turns."""

    observation_space = spaces.Text(40, charset=string.printable)
    action_space = spaces.Text(24, charset=string.ascii_lowercase + " ")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.turn = 0
        return self._say(), {}

    def _say(self):
        words = ["red", "block", "on", "a", "ball", "what is", "where"]
        return " ".join(self.np_random.choice(words, int(self.np_random.integers(1, 5))))

    def step(self, action):
        assert self.action_space.contains(action), action
        self.turn += 1
        return self._say(), float(len(action)), self.turn == 4, False, {}


@pytest.fixture(autouse=True, scope="module")
def registered():
    gymnasium.register(TASK, entry_point=Echo)
    yield
    del gymnasium.registry[TASK]


def episode(replies, said=("hi", "and", "so", "well", "end")):
    said = np.array(said[: len(replies) + 1])
    return Episode(
        TASK,
        {"observation": said},
        np.array(replies),
        np.zeros(len(replies)),
        True,
        0,
        "test",
    )


@pytest.fixture(scope="module")
def agent():
    torch.manual_seed(1)
    model = Gato(replace(model_config("tiny"), context=256))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= 3
    return GatoAgent(model, {task: envs.task_spec(task) for task in (TASK, CONTROL)})


def play(agent, env, seed=0, **how):
    obs, _ = env.reset(seed=seed)
    actions, done = [], False
    while not done:
        actions.append(agent.act(obs, **how))
        obs, _, done, _, _ = env.step(actions[-1])
    return actions


@pytest.mark.parametrize("deterministic", [True, False])
def test_act_says_elements_of_the_space(agent, deterministic):
    plain, ours = gymnasium.make(TASK), gato_gym.make(TASK, vocabulary=agent.vocabulary)
    for env in (plain, ours):
        agent.reset(env)
        actions = play(agent, env, deterministic=deterministic)
        assert len(actions) == 4 and all(type(action) is str for action in actions)
        assert all(env.action_space.contains(action) for action in actions)
    if deterministic:
        agent.reset(plain)
        assert play(agent, plain) == actions


def test_what_is_said_depends_on_what_was_said_before(agent):
    """The reply is fed back to the stream: another prompt gives other replies."""
    env, found = gymnasium.make(TASK), []
    for prompt in (None, episode(["red ball", "yes"]), episode(["no no no no", ""])):
        agent.reset(env, prompt=prompt)
        found.append(tuple(play(agent, env)))
    assert len(set(found)) == 3


def test_batches_of_texts_equal_acting_alone(agent):
    rows = 3
    alone = []
    for seed in range(rows):
        env = gymnasium.make(TASK)
        agent.reset(env)
        alone.append(play(agent, env, seed))
    for make in (lambda: gymnasium.make(TASK), lambda: gato_gym.make(TASK, tokenize=False)):
        vec = gymnasium.vector.SyncVectorEnv([make] * rows)
        agent.reset(vec)
        obs, _ = vec.reset(seed=0)
        state = None
        for turn in range(4):
            actions, state = agent.predict(obs, state)
            assert actions == [said[turn] for said in alone]
            obs = vec.step(actions)[0]
        vec.close()


def test_texts_and_numbers_in_one_batch_are_each_acted_as_if_alone(agent):
    tasks, turns = [TASK, CONTROL, TASK], 4
    alone = []
    for seed, task in enumerate(tasks):
        env = envs.make(task)
        agent.reset(env)
        obs, _ = env.reset(seed=seed)
        actions = []
        for _ in range(turns):
            actions.append(agent.act(obs))
            obs = env.step(actions[-1])[0]
        alone.append(actions)
    made = [envs.make(task) for task in tasks]
    agent.reset(made)
    observations = [env.reset(seed=seed)[0] for seed, env in enumerate(made)]
    state = None
    for turn in range(turns):
        actions, state = agent.predict(observations, state)
        assert actions == [acted[turn] for acted in alone]
        observations = [env.step(a)[0] for env, a in zip(made, actions, strict=True)]


def test_the_text_of_a_task_without_its_environment_is_as_the_model_says(agent):
    agent.reset(TASK)
    said = agent.act("red block")
    assert isinstance(said, str)
    agent.reset(gymnasium.make(TASK))
    assert agent.act("red block") == spoken(Echo.action_space, said)


@pytest.mark.parametrize(
    "space, text, expected",
    [
        (spaces.Text(8, charset=string.printable), "a red\nblock", "a red\nbl"),
        (spaces.Text(8, charset=string.printable), "caf\u00e9 \u2581", "caf? ?"),
        (spaces.Text(8, charset="ab"), "cab!", "aaba"),
        (spaces.Text(8, charset="b ", min_length=3), "", "   "),
        (spaces.Text(8, charset="xy", min_length=3), "y", "yxx"),
        (spaces.Text(8, charset="xy", min_length=0), "", ""),
    ],
)
def test_any_text_becomes_an_element_of_the_space(space, text, expected):
    assert spoken(space, text) == expected
    assert space.contains(expected)


def test_as_many_steps_of_a_prompt_are_read_as_really_fit(agent):
    role = Role(agent.specs[TASK], None, Vocabulary(1024), None, 256)
    prompt = episode(["red ball", "", "yes", "no"])
    words = role.tokenizer.words
    expected = [
        words.observed_tokens(said) + 1 + len(words.text.encode(reply)) + 1
        for said, reply in zip(prompt.observations["observation"], prompt.actions, strict=False)
    ]
    assert role.step_tokens(prompt).tolist() == expected
    assert max(expected) < role.tokenizer.tokens_per_step
    for steps in range(1, 4):
        room = sum(expected[:steps])
        assert role.prompt_steps(prompt, room + 1, tell=False) == steps
        assert role.prompt_steps(prompt, room, tell=False) == steps


def test_texts_are_not_explained_and_the_episode_goes_on(agent):
    env = gymnasium.make(TASK)
    agent.reset(env)
    expected = play(agent, env)
    agent.reset(env)
    obs, _ = env.reset(seed=0)
    with pytest.raises(UnsupportedSpaceError, match="Echo-v0 acts in text"):
        agent.explain(obs)
    assert agent.act(obs) == expected[0]
