import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from gato_gym.envs import make
from gato_gym.envs.families.farama import CLIFF_HORIZON, FAMILIES

FAMILY = {family.name: family for family in FAMILIES}
IDS = [task for family in FAMILIES for task in family.ids()]


def build(task: str) -> gym.Env:
    """The adapted environment; skips where its package is not installed."""
    missing = next(family for family in FAMILIES if family.owns(task)).missing
    if missing:
        pytest.skip(f"{task} needs {', '.join(missing)}")
    return make(task)


def play(env: gym.Env, seed: int, steps: int = 60) -> list[Any]:
    """Observations and rewards of one episode of fixed random actions."""
    env.action_space.seed(0)
    seen = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        seen += [observation, reward]
        if terminated or truncated:
            break
    return seen


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_newest_version_of_every_task_is_listed(family):
    newest: dict[str, gym.envs.registration.EnvSpec] = {}
    for spec in gym.registry.values():
        if str(spec.entry_point).startswith(f"gymnasium.envs.{family.name}."):
            known = newest.get(spec.name)
            if known is None or (known.version or 0) < (spec.version or 0):
                newest[spec.name] = spec
    assert set(family.ids()) == {spec.id for spec in newest.values()}


def test_each_id_is_owned_by_one_family():
    for task in IDS:
        assert [family.name for family in FAMILIES if family.owns(task)] == [
            family.name for family in FAMILIES if task in family.ids()
        ]
    foreign = ("ALE/Boxing-v5", "phys2d/CartPole-v1", "CartPoleSwingup-v0", "FetchReach-v4")
    assert not any(family.owns(task) for task in foreign for family in FAMILIES)


# The walker's world is used again by the package; the others are plain.
@pytest.mark.parametrize(
    "task",
    ["Blackjack-v1", "Taxi-v4", "BipedalWalker-v3", "LunarLander-v3", "Hopper-v5"],
)
def test_a_seed_gives_one_episode_whatever_was_played_before(task):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = build(task), build(task)
        episode = play(first, seed=3)
        play(first, seed=5)
        assert same(episode, play(first, seed=3))
        play(second, seed=7)
        assert same(episode, play(second, seed=3))
    first.close()
    second.close()


def test_the_cliff_walk_ends():
    env = make("CliffWalkingSlippery-v1")
    env.reset(seed=0)
    left = 3
    for step in range(1, CLIFF_HORIZON + 1):
        _, _, terminated, truncated, _ = env.step(left)
        assert not terminated
        assert truncated == (step == CLIFF_HORIZON)


@pytest.mark.parametrize(
    ("task", "hz"),
    [
        ("CartPole-v1", 50.0),
        ("Pendulum-v1", 20.0),
        ("MountainCar-v0", None),
        ("LunarLander-v3", 50.0),
        ("HalfCheetah-v5", 20.0),
    ],
)
def test_control_rates(task, hz):
    family = next(family for family in FAMILIES if family.owns(task))
    env = build(task)
    assert family.facts(env) == {"control_hz": hz}
    env.close()


def test_the_cars_view_is_64_by_64():
    assert FAMILY["box2d"].image_size == (64, 64)
    env = build("CarRacing-v3")
    assert env.observation_space.shape == (64, 64, 3)
    env.close()
