"""`gato_gym.make`: Gymnasium's own checks, and the same tokens as from a plain environment."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import gato_gym
from gato_gym.envs import task_spec
from gato_gym.errors import InvalidObservationError
from gato_gym.testing import TOY_TASK
from gato_gym.tokenizers.default_text import default_text
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.tokenizers.wrapper import (
    DEFAULT_VOCABULARY,
    TokenizeObservation,
    TokenizeVectorObservation,
)

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


def test_text_has_a_model_by_default():
    env = gato_gym.make(TOY_TASK)
    obs, _ = env.reset(seed=0)
    assert env.observation_space.contains(obs)
    assert env.tokenizer.text is default_text()
    assert gato_gym.make("CartPole-v1").tokenizer.text is None


def by_copies(env, row, obs):
    """Tokens of one copy out of the tokens of all."""
    assert set(obs) == set(env.single_observation_space)
    return {key: value[row] for key, value in obs.items()}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for key in expected:
        np.testing.assert_array_equal(found[key], expected[key])


@pytest.mark.parametrize(
    ("task", "settings", "seeds"),
    [
        ("CartPole-v1", {}, (5, 6, 7)),
        (TOY_TASK, {}, (1, 2)),
        # Seeds that ale-py's engine takes; short episodes.
        ("ALE/Boxing-v5", {"max_num_frames_per_episode": 40}, (1, 4)),
        ("ALE/Boxing-v5", {"max_num_frames_per_episode": 40, "vectorization": "sync"}, (2, 3)),
    ],
)
def test_vector_tokens_are_those_of_single_environments(task, settings, seeds):
    vec = gato_gym.make_vec(task, len(seeds), **settings)
    assert isinstance(vec, TokenizeVectorObservation)
    native = not hasattr(vec.unwrapped, "envs")
    settings = {key: value for key, value in settings.items() if key != "vectorization"}
    singles = [gato_gym.make(task, **settings) for _ in seeds]
    assert task_spec(vec) == task_spec(singles[0]) and vec.task_spec.id == task
    obs, _ = vec.reset(seed=list(seeds))
    for row, (single, seed) in enumerate(zip(singles, seeds, strict=True)):
        assert_equal(by_copies(vec, row, obs), single.reset(seed=seed)[0])
    vec.action_space.seed(0)
    ended = 0
    for _ in range(25 if "ALE" in task else 120):
        actions, before = vec.action_space.sample(), obs
        obs, _, terminated, truncated, infos = vec.step(actions)
        assert vec.observation_space.contains(obs)
        for row, single in enumerate(singles):
            seen, _, *ends, _ = single.step(actions[row])
            assert ends == [terminated[row], truncated[row]]
            if any(ends):
                last = by_copies(vec, row, before) if native else seen
                assert_equal(infos["final_obs"][row], last)
                seen, _ = single.reset()
                ended += 1
            assert_equal(by_copies(vec, row, obs), seen)
    assert ended >= len(seeds)
    vec.close()


def test_processes_tokenize_their_own_observations():
    vec = gato_gym.make_vec("CartPole-v1", 2, vectorization="async")
    single = gato_gym.make("CartPole-v1")
    obs, _ = vec.reset(seed=3)
    assert_equal(by_copies(vec, 0, obs), single.reset(seed=3)[0])
    assert task_spec(vec) == task_spec(single)
    vec.close()


def test_nan_in_a_vector_names_the_copy_and_its_step():
    vec = gato_gym.make_vec(TOY_TASK, 2, nan_step=3)
    for seed in (0, 1):
        vec.reset(seed=seed)
        with pytest.raises(
            InvalidObservationError, match=r"copy [01] of .*'position' at step 3 is"
        ):
            for _ in range(5):
                vec.step(np.array([1, 1]))
    vec.close()


def test_environments_of_a_vector_that_cannot_be_tokenised_are_closed():
    with pytest.raises(ValueError, match="vocabulary of 1024"):
        text = TextTokenizer.train([f"word{i} other{i}" for i in range(900)], 1100)
        assert text.size > 1024
        gato_gym.make_vec(TOY_TASK, 1, vocabulary=Vocabulary(1024), text=text)
