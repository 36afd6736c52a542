"""All games repeat from their seed, end in time and keep their infos."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gato_gym.envs.families.popgym import FAMILY
from gato_gym.envs.spaces import action_spec, observation_specs

pytest.importorskip("popgym")
FAMILY.register()
IDS = FAMILY.ids()


def make(task):
    return FAMILY.adapt(gym.make(task, disable_env_checker=True))


def rollout(env, seed, steps=120):
    env.action_space.seed(seed)
    observation, info = env.reset(seed=seed)
    told = [(observation, info)]
    for _ in range(steps):
        assert env.observation_space.contains(observation)
        step = env.step(env.action_space.sample())
        observation, reward, terminated, truncated, _ = step
        assert type(terminated) is bool and type(truncated) is bool and np.isfinite(reward)
        told.append(step)
        if terminated or truncated:
            observation, info = env.reset()
            told.append((observation, info))
    return told


def test_there_are_fourteen_games_in_three_difficulties():
    assert len(IDS) == 42
    for difficulty in ("Easy", "Medium", "Hard"):
        assert sum(task.endswith(f"{difficulty}-v0") for task in IDS) == 14
    assert all(FAMILY.owns(task) for task in IDS)
    assert {FAMILY.domain(task) for task in IDS} == {"popgym"}


@pytest.mark.parametrize("task", [task for task in IDS if "Easy" in task])
def test_a_game_keeps_the_promises(task, capfd):
    env = make(task)
    assert sum(int(np.prod(s.shape)) for s in observation_specs(env.observation_space)) <= 104
    assert action_spec(env.action_space).size in (1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it also complains of what is only unusual
        check_env(env, skip_render_check=True)
    first = rollout(env, seed=3)
    rollout(env, seed=4, steps=30)
    np.testing.assert_equal(rollout(env, seed=3), first)
    np.testing.assert_equal(rollout(make(task), seed=3), first)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("task", ["popgym-CountRecallEasy-v0", "popgym-MultiarmedBanditEasy-v0"])
def test_infos_do_not_change_afterwards(task):
    env = make(task)
    _, first = env.reset(seed=0)
    infos = [first] + [env.step(0)[4] for _ in range(5)]
    key = next(iter(first))
    kept = [info[key].copy() for info in infos]
    infos[-1][key] += 7
    env.step(0)
    np.testing.assert_array_equal([info[key] for info in infos[:-1]], kept[:-1])
    if task == "popgym-CountRecallEasy-v0":
        assert [counts.sum() for counts in kept] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("task", IDS)
def test_no_episode_is_longer_than_the_horizon(task):
    env = make(task)
    horizon = FAMILY.facts(env)["horizon"]
    env.action_space.seed(0)
    env.reset(seed=0)
    steps, ended = 0, False
    while not ended:
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        steps, ended = steps + 1, terminated or truncated
        assert steps <= horizon
    # Bad play ends these early; all others last as long for anyone.
    if not any(name in task for name in ("CartPole", "Cartpole", "MineSweeper")):
        assert steps == horizon
