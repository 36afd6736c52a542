"""`gato_gym.make`: Gymnasium's own checks, and the same tokens as from a plain environment."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import gato_gym
from gato_gym.envs import task_spec
from gato_gym.errors import InvalidObservationError, UnsupportedSpaceError
from gato_gym.testing import TOY_TASK
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.wrapper import DEFAULT_VOCABULARY, TokenizeObservation

TASKS = ["CartPole-v1", "ALE/Boxing-v5", "gato_gym/BlockStacking-v0"]


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
def test_gymnasiums_checker_accepts_it():
    env = gato_gym.make("CartPole-v1")
    assert isinstance(env, TokenizeObservation)
    check_env(env, skip_render_check=True)


@pytest.mark.parametrize("task", TASKS)
def test_observations_are_in_the_space(task):
    env = gato_gym.make(task)
    env.action_space.seed(0)
    obs, _ = env.reset(seed=0)
    assert task_spec(env).id == task
    assert isinstance(env.observation_space, gym.spaces.Dict)
    assert obs["ids"][-1] == DEFAULT_VOCABULARY.separator
    for _ in range(5):
        assert env.observation_space.contains(obs)
        obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
        assert not terminated and not truncated
    env.close()


@pytest.mark.parametrize(
    ("task", "tokens", "patches"), list(zip(TASKS, [5, 21, 23], [0, 20, 0], strict=True))
)
def test_sizes(task, tokens, patches):
    env = gato_gym.make(task)
    space = env.observation_space
    assert space["ids"].shape == (tokens,)
    assert ("patches" in space.spaces) == bool(patches)
    if patches:
        assert space["patches"].shape == (patches, 16, 16, 3)
        assert space["patches"].dtype == np.uint8
        assert space["positions"].shape == (patches, 4)
    env.close()


@pytest.mark.parametrize("task", TASKS)
def test_plain_gymnasium_observations_give_the_same_tokens(task):
    env, plain = gato_gym.make(task), gym.make(task)
    obs, _ = env.reset(seed=3)
    raw, _ = plain.reset(seed=3)
    plain.action_space.seed(0)
    for _ in range(4):
        seen = env.tokenizer.observe(raw)
        assert seen.ids.tolist() == obs["ids"].tolist()
        if "patches" in obs:
            np.testing.assert_array_equal(seen.patches, obs["patches"])
            np.testing.assert_array_equal(seen.intervals, obs["positions"])
        again = env.tokenizer.from_ids(obs["ids"], obs.get("patches", seen.patches))
        assert again.local.tolist() == seen.local.tolist()
        action = plain.action_space.sample()
        obs, raw = env.step(action)[0], plain.step(action)[0]
    env.close()
    plain.close()


def test_raw_on_request():
    env = gato_gym.make("ALE/Boxing-v5", tokenize=False)
    obs, _ = env.reset(seed=0)
    assert obs.shape == (64, 80, 3) and obs.dtype == np.uint8
    env.close()


def test_make_vec():
    vec = gato_gym.make_vec("CartPole-v1", 3)
    single = gato_gym.make("CartPole-v1")
    obs, _ = vec.reset(seed=[5, 6, 7])
    assert obs["ids"].shape == (3, 5)
    for row, seed in enumerate((5, 6, 7)):
        assert obs["ids"][row].tolist() == single.reset(seed=seed)[0]["ids"].tolist()
    ended = 0
    for _ in range(40):
        obs, _, terminated, _, _ = vec.step(np.ones(3, np.int64))
        assert vec.observation_space.contains(obs)
        ended += int(terminated.sum())
    assert ended >= 3  # always pushing right falls within 15 steps; the copies went on
    vec.close()


def test_make_vec_raw():
    vec = gato_gym.make_vec("CartPole-v1", 2, tokenize=False)
    assert vec.reset(seed=0)[0].shape == (2, 4)
    vec.close()


def test_nan_observation_names_the_step():
    text = TextTokenizer.train(["go left", "go right"] * 20, 512)
    env = gato_gym.make(TOY_TASK, text=text, nan_step=3)
    env.reset(seed=0)
    with pytest.raises(InvalidObservationError, match=r"'position' at step 3 is not finite"):
        for _ in range(5):
            env.step(1)
    env.reset(seed=0)
    with pytest.raises(InvalidObservationError, match=r"step 3"):
        for _ in range(5):
            env.step(1)


def test_text_observations_fill_their_slot():
    text = TextTokenizer.train(["go left", "go right"] * 20, 512)
    env = gato_gym.make(TOY_TASK, text=text)
    obs, _ = env.reset(seed=0)
    assert env.observation_space.contains(obs)
    assert (obs["ids"] == -2).sum() > 0
    assert -2 not in env.tokenizer.from_ids(obs["ids"], obs["patches"]).ids
    with pytest.raises(UnsupportedSpaceError, match="observes text"):
        gato_gym.make(TOY_TASK)
