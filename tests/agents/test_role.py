"""What the agent reads of a task: any form its observations really have, and no other."""

import logging
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
from gato_gym.agents.role import Role, check_state, read_starts
from gato_gym.config import model_config
from gato_gym.errors import InvalidObservationError, PromptError
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import Episode, TaskSpec

VOCABULARY = Vocabulary(1024)
MIXED = "Mixed-v0"


class Mixed(gymnasium.Env):
    """Every kind of observation, with tuples in mappings and mappings in tuples."""

    observation_space = spaces.Dict(
        {
            "camera": spaces.Box(0, 255, (16, 16, 3), np.uint8),
            "mission": spaces.Text(20, charset=string.ascii_lowercase + " "),
            "pair": spaces.Tuple(
                (
                    spaces.MultiDiscrete([3, 4]),
                    spaces.Dict({"speed": spaces.Box(-1, 1, (2,), np.float32)}),
                )
            ),
            "room": spaces.Discrete(5),
            "switches": spaces.MultiBinary(3),
        }
    )
    action_space = spaces.Box(np.array([-2, 0], np.float32), np.array([2, 10], np.float32))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return self.observation_space.sample(), 0.0, False, False, {}


@pytest.fixture(autouse=True, scope="module")
def registered():
    gymnasium.register(MIXED, entry_point=Mixed, max_episode_steps=10)
    gymnasium.register("Pair-v0", entry_point=Pair, max_episode_steps=10)
    yield
    for name in (MIXED, "Pair-v0"):
        del gymnasium.registry[name]


class Pair(Mixed):
    """A tuple, and several discrete actions."""

    observation_space = Mixed.observation_space["pair"]
    action_space = spaces.MultiDiscrete([3, 2])


@pytest.fixture(scope="module")
def agent():
    torch.manual_seed(0)
    specs = {"CartPole-v1": envs.task_spec("CartPole-v1")}
    return GatoAgent(Gato(replace(model_config("tiny"), context=192)), specs)


def role(task, space=None):
    return Role(envs.task_spec(task), space, VOCABULARY, None, 512)


def sample(task=MIXED, seed=0):
    space = {MIXED: Mixed, "Pair-v0": Pair}[task].observation_space
    space.seed(seed)
    return space.sample()


def read(task, observation, step=0):
    return role(task).read(observation, step)


@pytest.mark.parametrize("task", [MIXED, "Pair-v0"])
def test_an_environment_never_seen_is_played_whatever_its_spaces(agent, task):
    plain = gymnasium.make(task, disable_env_checker=True)
    agent.reset(plain)
    obs, _ = plain.reset(seed=3)
    first = []
    for _ in range(4):
        first.append(agent.act(obs))
        obs = plain.step(first[-1])[0]
    assert all(plain.action_space.contains(action) for action in first)
    standard = gato_gym.make(task, vocabulary=agent.vocabulary)
    agent.reset(standard)
    obs, _ = standard.reset(seed=3)
    for action in first:
        ours = agent.act(obs)
        assert standard.action_space.contains(ours)
        if task == "Pair-v0":
            np.testing.assert_array_equal(ours, action)
        obs = standard.step(ours)[0]


@pytest.mark.parametrize("task", [MIXED, "Pair-v0"])
def test_copies_of_an_environment_never_seen_are_played_like_one(agent, task):
    def make():
        return gymnasium.make(task, disable_env_checker=True)

    vec = gymnasium.vector.SyncVectorEnv([make, make])
    agent.reset(vec)
    obs, _ = vec.reset(seed=3)
    actions, _ = agent.predict(obs)
    assert vec.action_space.contains(actions.astype(vec.action_space.dtype))
    for copy, seed in enumerate((3, 4)):
        env = make()
        agent.reset(env)
        np.testing.assert_array_equal(agent.act(env.reset(seed=seed)[0]), actions[copy])


def test_channels_that_stand_first_are_the_same_image():
    first = sample()
    turned = {**first, "camera": np.moveaxis(first["camera"], -1, 0)}
    for one, other in ((first, turned), (sample(seed=1), first)):
        same = np.array_equal(read(MIXED, one).patches, read(MIXED, other).patches)
        assert same == (one is first)


def test_numbers_beyond_their_bounds_are_legal_and_clipped():
    far = read("CartPole-v1", np.array([1e9, -1e9, 0, 0], np.float32))
    assert far.ids.max() < VOCABULARY.separator + 1
    assert far.ids[0] == VOCABULARY.continuous_start + 1023
    assert far.ids[1] == VOCABULARY.continuous_start


def changed(**parts):
    return sample() | parts


@pytest.mark.parametrize(
    "observation, problem",
    [
        (np.zeros(4, np.float32), "observation has no 'camera'"),
        ({**sample(), "extra": 1}, "observation has a foreign 'extra'"),
        ({k: v for k, v in sample().items() if k != "room"}, "observation has no 'room'"),
        (changed(room=2.0), "'room' at step 7 must be integers, got float64"),
        (changed(room=2000), "'room' at step 7 must lie in"),
        (changed(room="red"), "'room' at step 7 must be numbers, got str"),
        (changed(room=None), "'room' at step 7 must be numbers, got NoneType"),
        (changed(mission=3), "'mission' at step 7 must be a string, got int"),
        (changed(mission=np.array(["a", "b"])), "'mission' at step 7 must be a string"),
        (changed(switches=np.zeros(2, np.int8)), "'switches' at step 7 has shape"),
        (changed(camera=np.zeros((16, 16, 3))), "'camera' at step 7 must be uint8"),
        (changed(camera=np.zeros((8, 8, 3), np.uint8)), "'camera' at step 7 has size"),
        (
            changed(pair=(np.array([1, 1]), {"speed": np.array([0, np.inf])})),
            "'pair/1/speed' at step 7 is not finite",
        ),
        (changed(pair=(np.array([1, 1]),)), "observation has no 'pair/1/speed'"),
    ],
)
def test_an_observation_of_another_form_names_task_key_and_fix(observation, problem):
    with pytest.raises(InvalidObservationError, match=f"{MIXED}: {problem}.*reset the agent"):
        read(MIXED, observation, 7)


def test_a_stack_for_act_is_refused():
    with pytest.raises(InvalidObservationError, match=r"has shape \(1, 4\), expected \(4,\)"):
        read("CartPole-v1", np.zeros((1, 4), np.float32))


def stacked(**parts):
    two = [sample(seed=seed) for seed in (0, 1)]
    return {
        "camera": np.stack([one["camera"] for one in two]),
        "mission": tuple(one["mission"] for one in two),
        "pair": (
            np.stack([one["pair"][0] for one in two]),
            {"speed": np.stack([one["pair"][1]["speed"] for one in two])},
        ),
        "room": np.array([one["room"] for one in two]),
        "switches": np.stack([one["switches"] for one in two]),
    } | parts


def test_a_stack_is_split_into_what_it_was_made_of():
    rows, batched = role(MIXED).split(stacked())
    assert batched and len(rows) == 2
    for seed, row in enumerate(rows):
        np.testing.assert_array_equal(read(MIXED, row).ids, read(MIXED, sample(seed=seed)).ids)


@pytest.mark.parametrize(
    "parts",
    [{"room": np.zeros(3, int)}, {"room": 1}, {"mission": ("a", "b", "c")}],
    ids=["longer", "single", "texts"],
)
def test_parts_that_disagree_about_the_number_of_environments_are_refused(parts):
    with pytest.raises(InvalidObservationError, match=f"{MIXED}: the parts .* the same number"):
        role(MIXED).split(stacked(**parts))


@pytest.mark.parametrize("observation", [np.zeros((0, 4), np.float32), [np.zeros(4), np.zeros(3)]])
def test_no_environments_or_ragged_ones_are_refused(observation):
    with pytest.raises(InvalidObservationError, match=r"CartPole-v1: .*observation"):
        role("CartPole-v1").split(observation)


def tokens(task, vocabulary=VOCABULARY):
    env = gato_gym.make(task, vocabulary=vocabulary)
    obs, _ = env.reset(seed=0)
    env.close()
    return obs


def test_tokens_of_another_vocabulary_or_task_are_refused():
    cartpole = role("CartPole-v1")
    assert len(cartpole.read(tokens("CartPole-v1"), 0)) == 5
    with pytest.raises(InvalidObservationError, match=r"another vocabulary .*vocabulary=agent\."):
        cartpole.read(tokens("CartPole-v1", Vocabulary(32_000)), 0)
    # As many tokens, but other kinds: a pole's numbers are no discrete values.
    with pytest.raises(InvalidObservationError, match="CartPole-v1: token 0 at step 3"):
        cartpole.read({"ids": np.array([1, 2, 3, 4, VOCABULARY.separator])}, 3)
    with pytest.raises(InvalidObservationError, match=r"have \(7,\) ids .*reset the agent"):
        cartpole.read(tokens("Acrobot-v1"), 0)
    boxing = tokens("ALE/Boxing-v5")
    for patches in (boxing["patches"][:3], boxing["patches"].astype(np.float32)):
        with pytest.raises(InvalidObservationError, match="ALE/Boxing-v5: token"):
            role("ALE/Boxing-v5").read(boxing | {"patches": patches}, 0)


def test_a_prompt_is_cut_once_told_and_refused_where_nothing_fits(caplog):
    task, steps = "CartPole-v1", 9
    prompt = Episode(
        task,
        {"observation": np.zeros((steps + 1, 4), np.float32)},
        *(np.zeros(steps, np.int64), np.zeros(steps), False, 0, "test"),
    )
    cartpole = role(task)
    with caplog.at_level(logging.WARNING, logger="gato_gym.agents.role"):
        assert cartpole.prompt_steps(prompt, 6 * steps) == steps
        assert cartpole.prompt_steps(prompt, 6 * 4 + 5, tell=False) == 4
        assert not caplog.records
        assert [cartpole.prompt_steps(prompt, 6 * 4 + 5) for _ in range(2)] == [4, 4]
    assert [record.getMessage() for record in caplog.records] == [
        "CartPole-v1: the first 4 of the prompt's 9 steps fit the context, the others are left out"
    ]
    with pytest.raises(PromptError, match=r"CartPole-v1 takes 6 tokens, .* 5: pass prompt=None"):
        cartpole.prompt_steps(prompt, 5)


def test_flags_of_another_number_of_environments_are_refused():
    np.testing.assert_array_equal(read_starts(None, 3), [False] * 3)
    np.testing.assert_array_equal(read_starts(True, 2), [True, True])
    np.testing.assert_array_equal(read_starts([1, 0], 2), [True, False])
    for flags in ([True] * 3, [[True, False]]):
        with pytest.raises(ValueError, match=r"observations are of 2 environments: pass \(2,\)"):
            read_starts(flags, 2)


def test_a_state_of_other_environments_is_refused():
    cartpole, acrobot = role("CartPole-v1"), role("Acrobot-v1")
    same = TaskSpec.from_json(cartpole.spec.to_json())
    check_state([cartpole, cartpole], [cartpole.spec, same])
    with pytest.raises(ValueError, match=r"state is of 1 environments, .* of 2: .*state=None"):
        check_state([cartpole, cartpole], [cartpole.spec])
    with pytest.raises(ValueError, match="row 1 of the state plays CartPole-v1"):
        check_state([cartpole, acrobot], [cartpole.spec, cartpole.spec])
