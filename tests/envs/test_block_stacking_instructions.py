"""Stacking what a sentence names: every pair alike, told in words, and only that pair counts."""

from collections import Counter

import gymnasium
import numpy as np
import pytest

pytest.importorskip("mujoco")

from gato_gym.envs.block_stacking import TASKS, register_block_stacking
from gato_gym.envs.block_stacking.env import STEPS_TO_HOLD, BlockStackingEnv
from gato_gym.envs.block_stacking.instructions import PAIRS, PHRASINGS, draw, space

register_block_stacking()
IDLE = np.array([0, 0, 0, 0, -1.0], np.float32)
COLOURS = {"red", "blue", "green"}


def stack(env, upper, lower):
    """`upper` on `lower`, the third block apart, the open hand away from all."""
    (third,) = COLOURS - {upper, lower}
    env.controller.place(np.array((0.62, 0.1, 0.22)), 0.0)
    centres = {lower: (0.5, 0.0, 0.025), upper: (0.5, 0.0, 0.0751), third: (0.6, -0.1, 0.025)}
    for colour, centre in centres.items():
        env.data.joint(colour).qpos[:] = [*centre, 1.0, 0.0, 0.0, 0.0]
        env.data.joint(colour).qvel[:] = 0.0


def seed_of(pair, env):
    return next(seed for seed in range(200) if env.reset(seed=seed) and env.pair == pair)


@pytest.fixture(scope="module")
def env():
    made = BlockStackingEnv(task="Instructed")
    yield made
    made.close()


def test_all_pairs_and_phrasings_are_drawn_alike():
    rng = np.random.default_rng(0)
    drawn = [draw(rng) for _ in range(3600)]
    assert len(PAIRS) == 6 and all(set(pair) < COLOURS for pair in PAIRS)
    pairs = Counter(instruction.pair for instruction in drawn)
    assert set(pairs) == set(PAIRS)
    assert max(pairs.values()) < 1.25 * min(pairs.values())
    texts = Counter(instruction.text for instruction in drawn)
    assert len(texts) == len(PAIRS) * len(PHRASINGS)  # no two pairs share a sentence
    assert max(texts.values()) < 2 * min(texts.values())


@pytest.mark.parametrize("phrasing", PHRASINGS)
def test_a_sentence_names_the_upper_block_first(phrasing):
    for upper, lower in PAIRS:
        words = phrasing.format(upper=upper, lower=lower).split()
        assert [word for word in words if word in COLOURS] == [upper, lower]
        assert len(words) <= 10
        assert space().contains(" ".join(words))


def test_the_sentence_is_shown_at_every_step_and_comes_from_the_seed(env):
    observation, info = env.reset(seed=3)
    text = observation["instruction"]
    assert info["upper"] in text and info["lower"] in text
    for _ in range(5):
        observation, *_, info = env.step(IDLE)
        assert observation["instruction"] == text
        assert (info["upper"], info["lower"]) == env.pair
    said = [env.reset(seed=seed)[0]["instruction"] for seed in range(12)]
    assert said[3] == text
    assert len(set(said)) > 6
    assert [env.reset(seed=seed)[0]["instruction"] for seed in range(12)] == said


def test_pixels_come_with_the_same_sentence_and_scene(env):
    pixels = gymnasium.make("gato_gym/BlockStacking-Instructed-pixels-v0", renderer="raycast")
    seen, _ = pixels.reset(seed=5)
    assert set(seen) == {"proprioception", "instruction", "front_left", "front_right"}
    state, _ = env.reset(seed=5)
    assert set(state) == {"proprioception", "instruction", *COLOURS}
    assert seen["instruction"] == state["instruction"]
    assert pixels.observation_space.contains(seen)
    hidden = pixels.unwrapped.state_observation()
    for key in state:
        np.testing.assert_array_equal(hidden[key], state[key])
    pixels.close()


@pytest.mark.parametrize("pair", PAIRS)
def test_only_the_named_pair_is_a_success(env, pair):
    for built in PAIRS:
        env.reset(seed=seed_of(pair, env))
        stack(env, *built)
        results = [env.step(IDLE) for _ in range(5)]
        assert results[-1][1] == float(built == pair)
        assert results[-1][4]["success"] == (built == pair)
        assert any(reward for _, reward, *_ in results) == (built == pair)


def test_a_second_of_success_ends_the_episode(env):
    env.reset(seed=1)
    stack(env, *env.pair)
    rewards = []
    terminated = False
    while not terminated:
        _, reward, terminated, _, _ = env.step(IDLE)
        rewards.append(reward)
    assert rewards[-STEPS_TO_HOLD:] == [1.0] * STEPS_TO_HOLD
    assert sum(rewards) == STEPS_TO_HOLD


def test_the_shaped_reward_is_that_of_the_named_pair():
    env = BlockStackingEnv(task="Instructed", reward="shaped")
    for pair in PAIRS:
        seed = seed_of(pair, env)
        paid = {}
        for built in PAIRS:
            env.reset(seed=seed)
            stack(env, *built)
            paid[built] = env.step(IDLE)[1]
        assert max(paid, key=paid.get) == pair
        assert paid[pair] > 0.6  # four of five stages
        assert all(value < 0.3 for built, value in paid.items() if built != pair)


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if not task.instructed])
def test_other_tasks_have_no_instruction(name):
    env = BlockStackingEnv(task=name)
    observation, info = env.reset(seed=0)
    assert env.instruction is None and env.pair == ()
    assert set(info) == {"success"} and "instruction" not in observation
