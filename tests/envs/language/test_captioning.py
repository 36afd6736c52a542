"""Both environments of pictures and words: seeds, pairs, rewards, controls, errors, frames."""

import re
from itertools import pairwise

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gato_gym.envs.language import pictures_env, register_language
from gato_gym.envs.language import sources as scene_sources
from gato_gym.envs.language.captioning import CaptioningEnv
from gato_gym.envs.language.pictures_env import PAIRS
from gato_gym.envs.language.questions import QuestionEnv
from gato_gym.envs.language.seeds import FIRST_TRAINING_SEED as TRAINING_SEEDS
from gato_gym.errors import MissingExtraError

BOTH = pytest.mark.parametrize("make", [CaptioningEnv, QuestionEnv])
GRID = ("grid",)


def played(env, seed, say=lambda env: env.reference):
    """[(observation, reference, words, reward, info)] of an episode."""
    observation, _ = env.reset(seed=seed)
    steps, terminated = [], False
    while not terminated:
        assert observation in env.observation_space
        reference, words = env.reference, say(env)
        after, reward, terminated, truncated, info = env.step(words)
        assert not truncated
        steps.append((observation, reference, words, reward, info))
        observation = after
    assert observation is not steps[-1][0]
    np.testing.assert_equal(observation, steps[-1][0])
    return steps


@BOTH
def test_the_experts_words_are_right_about_every_source(make):
    env = make()
    seen = set()
    for seed in (7000, TRAINING_SEEDS):
        steps = played(env, seed)
        assert len(steps) == PAIRS == 5
        for _, reference, words, reward, info in steps:
            assert words in env.action_space
            assert reward == 1.0
            assert info["success"] is True
            assert info["reference"] == reference
            seen.add(info["source"])
    env.close()
    assert seen == set(scene_sources.SOURCES)


@BOTH
def test_an_episode_is_a_function_of_its_seed(make):
    env = make(sources=GRID)
    first = played(env, 12_345)
    other = played(env, 12_346)
    for again in (played(env, 12_345, lambda env: "red"), played(make(sources=GRID), 12_345)):
        for one, two in zip(first, again, strict=True):
            np.testing.assert_equal(one[0], two[0])
            assert one[1] == two[1]
    assert [step[1] for step in first] != [step[1] for step in other]


@BOTH
def test_every_reset_without_a_seed_is_another_episode(make):
    env = make(sources=GRID)
    env.reset(seed=10_000)
    pictures = {env.reset()[0]["image"].tobytes() for _ in range(5)}
    assert len(pictures) == 5


@BOTH
def test_gymnasium_makes_and_checks_it(make):
    register_language()
    task = {CaptioningEnv: "text/captioning", QuestionEnv: "text/vqa"}[make]
    env = gymnasium.make(task, render_mode="rgb_array", sources=GRID)
    assert isinstance(env.unwrapped, make)
    check_env(env.unwrapped)


def test_a_caption_of_another_picture_is_near_chance():
    env, control = CaptioningEnv(sources=GRID), CaptioningEnv(sources=GRID, shuffled=True)
    scores = []
    for seed in range(7000, 7020):
        for right, wrong in zip(played(env, seed), played(control, seed), strict=True):
            assert right[1] == wrong[1]
            assert right[4] == wrong[4]
            assert wrong[3] == 1.0
            assert not np.array_equal(right[0]["image"], wrong[0]["image"])
        said = iter([step[1] for step in played(env, seed + 1000)])
        scores += [step[3] for step in played(env, seed, lambda env, said=said: next(said))]
    assert np.mean(scores) < 0.08


def test_the_control_of_questions_shows_nothing():
    steps = played(QuestionEnv(sources=GRID, shuffled=True), 7000)
    assert all((step[0]["image"] == 127).all() for step in steps)
    shown = played(QuestionEnv(sources=GRID), 7000)
    assert [s[0]["question"] for s in steps] == [s[0]["question"] for s in shown]


@pytest.fixture
def rule(monkeypatch):
    """Holds out about half of the scenes: those where the agent looks up or down."""
    monkeypatch.setattr(
        pictures_env, "is_held_out", lambda scene: scene.facts["facing"] in ("up", "down")
    )


def held(env, seeds):
    return [step[4]["held_out"] for seed in seeds for step in played(env, seed)]


@BOTH
def test_training_seeds_skip_what_is_held_out(make, rule):
    env = make(sources=GRID)
    assert not any(held(env, range(TRAINING_SEEDS, TRAINING_SEEDS + 20)))
    assert not any(held(env, (0, 1, 6998, 6999)))
    assert set(held(env, (*range(7000, 7004), *range(9996, 10_000)))) == {True, False}
    env.reset(seed=7000)
    for _ in range(12):
        assert not env.reset()[1]["held_out"], "without a seed it is training"
    assert all(held(make(sources=GRID, held_out=True), (7000, TRAINING_SEEDS)))
    assert not any(held(make(sources=GRID, held_out=False), range(7000, 7010)))


@BOTH
def test_scenes_that_are_not_held_out_stay_the_same_without_the_rule(make, monkeypatch):
    seeds = range(TRAINING_SEEDS, TRAINING_SEEDS + 4)
    monkeypatch.setattr(pictures_env, "is_held_out", lambda scene: False)
    free = [step[1] for seed in seeds for step in played(make(sources=GRID), seed)]
    monkeypatch.setattr(pictures_env, "is_held_out", lambda scene: scene.facts["facing"] == "up")
    skipped = [step[1] for seed in seeds for step in played(make(sources=GRID), seed)]
    same = np.mean([a == b for a, b in zip(free, skipped, strict=True)])
    assert 0.4 < same < 1


@BOTH
def test_words_that_say_nothing_earn_nothing_and_long_ones_are_cut(make):
    env = make(sources=GRID)
    for words in ("", " ", "\0\x7f\n", "é" * 10_000, "yes no " * 300_000):
        assert all(step[3] == 0.0 for step in played(env, 7000, lambda env, words=words: words))
    longest = env.action_space.max_length
    env.reset(seed=7000)
    *_, info = env.step(env.reference.ljust(longest) + " a red cube" * 1000)
    assert info["success"]


@BOTH
def test_bad_use(make, monkeypatch):
    with pytest.raises(ValueError, match=re.escape("render_mode='human' is unknown")):
        make(render_mode="human")
    for sources in (("grids",), (), "grid"):
        with pytest.raises(ValueError, match="expected some of blocks, atari, grid"):
            make(sources=sources)
    env = make(sources=GRID)
    for call in (lambda: env.step("red"), lambda: env.reference):
        with pytest.raises(RuntimeError, match=r"call reset\(\)"):
            call()
    played(env, 7000)
    with pytest.raises(RuntimeError, match="all 5 pictures were shown"):
        env.step("red")
    env.reset(seed=7000)
    with pytest.raises(TypeError, match="must be a str, got 3"):
        env.step(3)
    with pytest.warns(UserWarning, match="rgb_array"):
        assert env.render() is None
    monkeypatch.setattr(scene_sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=re.escape("gato-gym[minigrid]")):
        make(sources=GRID).reset(seed=0)


@BOTH
def test_the_page_shows_the_picture_and_all_that_was_said(make):
    env = make(render_mode="rgb_array", sources=GRID)
    observation, _ = env.reset(seed=7000)
    pages = [env.render()]
    for words in ("yes " * 30, "", "a red ball", "no", None):
        env.step(words or env.reference)
        pages.append(env.render())
    assert all(page.shape == (400, 640, 3) and page.dtype == np.uint8 for page in pages)
    large = pages[0][16 : 16 + 256 : 4, 16 : 16 + 320 : 4]
    np.testing.assert_array_equal(large, observation["image"])
    for before, after in pairwise(pages):
        assert (before != after).any()
    small = pages[-1][16 : 16 + 64, 352 : 352 + 80]
    np.testing.assert_array_equal(small, observation["image"])
