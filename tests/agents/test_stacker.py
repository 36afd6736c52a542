"""The scripted expert solves every task of the family, recovers, and keeps episodes apart."""

import gymnasium
import numpy as np
import pytest

pytest.importorskip("mujoco")

from gato_gym.agents.experts.noise import NoisyExpert
from gato_gym.agents.experts.stacker import ScriptedStacker, StackerAnywhere
from gato_gym.envs.block_stacking import TASKS
from gato_gym.envs.block_stacking.env import BlockStackingEnv
from gato_gym.envs.block_stacking.instructions import PAIRS, Instruction
from gato_gym.errors import UnknownTaskError

OPEN_HAND = np.array([0, 0, 0, 0, -1], np.float32)


@pytest.fixture(scope="module")
def envs():
    made = {}

    def get(task):
        if task not in made:
            made[task] = BlockStackingEnv(task=task)
        return made[task]

    yield get
    for env in made.values():
        env.close()


def play(env, expert, seed, disturb=None):
    """Whether it ended in success within 400 steps, and the expert's actions.

    `disturb(step)` may return what is executed instead.
    """
    expert.reset(env)
    observation, _ = env.reset(seed=seed)
    actions = []
    for step in range(400):
        action = expert.act(observation)
        actions.append(action)
        replaced = disturb(step) if disturb else None
        observation, _, terminated, _, _ = env.step(action if replaced is None else replaced)
        if terminated:
            break
    return terminated, np.array(actions)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("task", TASKS)
def test_solves_every_task_with_few_levels_of_action(envs, task, seed):
    success, actions = play(envs(task), ScriptedStacker(), seed)
    assert success
    tenths = actions.astype(np.float64) * 10
    np.testing.assert_allclose(tenths, np.round(tenths), atol=1e-5)
    assert np.abs(actions).max() <= 1.0
    assert set(np.unique(actions[:, 4])) <= {-1.0, 1.0}
    assert actions.dtype == np.float32


@pytest.mark.parametrize("task", ["", "Triplet2", "Pyramid", "Instructed"])
def test_recovers_from_bursts_of_random_actions(envs, task):
    noisy = NoisyExpert(ScriptedStacker(), rate=0.15, seed=4)
    successes = [play(envs(task), noisy, seed)[0] for seed in range(3)]
    assert sum(successes) >= 2


def test_which_way_it_turns_follows_from_what_is_seen(envs):
    """However the hand came to be where it is: a side that was nearer before is not aimed at."""
    env, turns = envs(""), 0
    for seed in range(12):
        old, new = ScriptedStacker(), ScriptedStacker()
        old.reset(env)
        observation, _ = env.reset(seed=seed)
        for _ in range(26):
            aside = np.array([0, 0, 0, -1 if seed % 2 else 1, -1], np.float32)
            old.act(observation)
            observation, *_ = env.step(aside)
        for _ in range(8):  # as many steps as a plan may be kept
            remembered = old.act(observation)
            observation, *_ = env.step(OPEN_HAND)
        new.reset(env)
        fresh = new.act(observation)
        turns += abs(fresh[3]) == 1.0
        assert np.sign(remembered[3]) == np.sign(fresh[3])
    assert turns > 0


def test_picks_a_dropped_cube_up_again(envs):
    """The gripper is forced open while it carries red."""
    env = envs("")
    dropped = []

    def disturb(step):
        situation = env.situation()
        if situation.grasped == "red" and situation.bottoms["red"] > 0.045 and not dropped:
            dropped.append(step)
        return OPEN_HAND if dropped and step < dropped[0] + 10 else None

    success, actions = play(env, ScriptedStacker(), 7, disturb)
    assert dropped
    assert success
    assert len(actions) > dropped[0] + 10


def test_puts_aside_what_lies_on_the_support_first(envs):
    env = envs("StackThree")
    expert = ScriptedStacker()
    expert.reset(env)
    env.reset(seed=3)
    poses = env.sensors.poses
    poses["red"][:3] = np.add(poses["green"][:3], (0.0, 0.0, 0.0501))
    observation, *_ = env.step(OPEN_HAND)
    moved = False
    for _ in range(400):
        observation, _, terminated, _, _ = env.step(expert.act(observation))
        moved = moved or env.situation().touches("red", "table")
        if terminated:
            break
    assert moved
    assert terminated


def test_forgets_the_last_episode_and_repeats_itself(envs):
    env = envs("Triplet5")
    expert = ScriptedStacker()
    _, first = play(env, expert, 1)
    play(env, expert, 2)
    _, again = play(env, expert, 1)
    _, other = play(env, ScriptedStacker(), 1)
    assert np.array_equal(first, again)
    assert np.array_equal(first, other)


@pytest.mark.parametrize("pair", PAIRS)
def test_builds_the_pair_that_is_named_and_no_other_one_pays(envs, pair):
    env = envs("Instructed")
    seed = next(seed for seed in range(200) if env.reset(seed=seed) and env.pair == pair)
    success, actions = play(env, ScriptedStacker(), seed)
    assert success
    env.reset(seed=seed)
    other = PAIRS[PAIRS.index(pair) - 1]
    env.instruction = Instruction(*other, "as if another sentence had been said")
    rewards = [env.step(action)[1] for action in actions]
    assert env.situation().touches(*pair)
    assert not any(rewards)


def test_plays_from_pixels_as_from_the_state(envs):
    pixels = BlockStackingEnv(observation="pixels", image_size=(16, 16), renderer="raycast")
    seen, _ = pixels.reset(seed=3)
    state, _ = envs("").reset(seed=3)
    one, two = ScriptedStacker(), ScriptedStacker()
    one.reset(pixels)
    two.reset(envs(""))
    for _ in range(30):
        action = one.act(seen)
        assert np.array_equal(action, two.act(state))
        seen, *_ = pixels.step(action)
        state, *_ = envs("").step(action)
    pixels.close()


def test_refuses_other_environments_and_to_act_unprepared(envs):
    with pytest.raises(UnknownTaskError, match="BlockStacking"):
        ScriptedStacker().reset(gymnasium.make("CartPole-v1"))
    observation, _ = envs("").reset(seed=0)
    with pytest.raises(ValueError, match=r"reset\(env\)"):
        ScriptedStacker().act(observation)


def test_anywhere_says_what_the_stacker_would_do_at_each_moment(envs):
    env, anywhere, fresh = envs(""), StackerAnywhere(), ScriptedStacker()
    anywhere.reset(env)
    observation, _ = env.reset(seed=0)
    phases = set()
    for _ in range(100):
        action = anywhere.act(observation)
        phases.add(anywhere.phase)
        fresh.reset(env)
        if anywhere.phase == "fetch":  # a stacker without a past agrees but for its trust in a grip
            np.testing.assert_array_equal(action, fresh.act(observation))
        observation, reward, terminated, _, _ = env.step(action)
        assert not reward
        assert not terminated
    assert {"fetch", "carry on", "leave"} <= phases
    # The next episode is the stacker's own again.
    assert play(env, fresh, seed=0)[0]
