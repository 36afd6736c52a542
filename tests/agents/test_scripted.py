"""The tables of experts that need no training: complete, loadable, and played in every family."""

import importlib

import numpy as np
import pytest

from gato_gym import envs
from gato_gym.agents import Agent
from gato_gym.agents.experts import WEIGHTS, expert_for, expert_ids, load_expert
from gato_gym.agents.experts.noise import NoisyExpert
from gato_gym.agents.experts.scripted import (
    FAMILY_EXPERTS,
    SCRIPTED,
    SCRIPTED_FIRST,
    TASK_EXPERTS,
    scripted_for,
)
from gato_gym.envs.registry import load_tasks
from gato_gym.errors import UnknownTaskError
from gato_gym.evaluation.rollout import rollout

# Each a task of the expert, one that is short.
PLAYED = {
    "analytic/car_racing": "CarRacing-v3",
    "analytic/classic": "MountainCar-v0",
    "analytic/pendulum": "dm_control/pendulum-swingup-v0",
    "bot/babyai": "BabyAI-UnlockLocal-v0",
    "planner/minigrid": "MiniGrid-DoorKey-5x5-v0",
    "planner/toy_text": "Taxi-v4",
    "scripted/apples": "gato_gym/OrderOfApples-v0",
    "scripted/fetch": "FetchPush-v4",
    "scripted/language": "text/dialogue",
    "scripted/locator": "gato_gym/BlockStacking-Locate-pixels-v0",
    "scripted/meta_world": "Meta-World/reach-v3",
    "scripted/point_maze": "PointMaze_UMaze-v3",
    "scripted/popgym": "popgym-CountRecallEasy-v0",
    "scripted/pong": "ALE/Pong-v5",
    "scripted/skier": "ALE/Skiing-v5",
    "scripted/stacker": "gato_gym/BlockStacking-v0",
    "scripted/stacker_anywhere": "gato_gym/BlockStacking-v0",
}
# Of no task: they make data that shows more than a demonstration does.
OF_NO_TASK = {"scripted/stacker_anywhere"}


def test_every_task_of_the_catalogue_names_the_expert_of_the_tables():
    named = {task: spec.expert for task, spec in load_tasks().items()}
    assert named == {task: expert_for(task) for task in named}
    assert set(named.values()) <= {None, *expert_ids()}


def test_every_named_expert_can_be_loaded():
    for expert in sorted({spec.expert for spec in load_tasks().values() if spec.expert}):
        assert isinstance(load_expert(expert), Agent)


def test_tables_name_what_exists():
    families = {family.name for family in envs.families.families()}
    assert FAMILY_EXPERTS.keys() <= families
    assert {*TASK_EXPERTS, *SCRIPTED_FIRST} <= load_tasks().keys()
    assert {*TASK_EXPERTS.values(), *FAMILY_EXPERTS.values()} == SCRIPTED.keys() - OF_NO_TASK
    assert all(scripted_for(task) for task in SCRIPTED_FIRST)


def test_a_learned_expert_comes_first_unless_the_table_says_otherwise(monkeypatch):
    assert (WEIGHTS / "CartPole-v1").is_dir()
    assert expert_for("CartPole-v1") == "sb3/CartPole-v1"
    monkeypatch.setattr(
        importlib.import_module(expert_for.__module__), "SCRIPTED_FIRST", {"CartPole-v1"}
    )
    assert expert_for("CartPole-v1") == "analytic/classic"
    assert expert_for("ALE/Boxing-v5") == "sb3/ALE/Boxing-v5"
    assert expert_for("somebody/Elses-v0") is None


def test_every_scripted_expert_is_played_below():
    assert PLAYED.keys() == SCRIPTED.keys()
    for expert in PLAYED.keys() - OF_NO_TASK:
        assert scripted_for(PLAYED[expert]) == expert


# There is no random action among words: a language task goes on whatever is said.
@pytest.mark.parametrize("expert", sorted(PLAYED.keys() - {"scripted/language"}))
def test_goes_on_from_where_noise_leads(expert):
    env = envs.make(PLAYED[expert])
    agent = NoisyExpert(load_expert(expert), 0.3, seed=0)
    for seed in range(2):
        agent.reset(env)
        observation, _ = env.reset(seed=seed)
        for _ in range(60):
            action = agent.act(observation)
            assert env.action_space.contains(agent.last_expert_action)
            observation, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                break
    env.close()


@pytest.mark.parametrize("expert", sorted(PLAYED))
def test_a_seed_repeats_an_episode(expert):
    def play():
        env, agent = envs.make(PLAYED[expert]), load_expert(expert)
        agent.reset(env)
        observation, _ = env.reset(seed=5)
        actions = []
        for _ in range(30):
            actions.append(agent.act(observation))
            observation, _, terminated, truncated, _ = env.step(actions[-1])
            if terminated or truncated:
                break
        env.close()
        return np.array(actions)

    np.testing.assert_array_equal(play(), play())


@pytest.mark.parametrize("expert", sorted(PLAYED))
def test_other_tasks_are_refused(expert):
    other = "CliffWalking-v1" if expert != "planner/toy_text" else "CartPole-v1"
    env = envs.make(other)
    with pytest.raises(UnknownTaskError, match=other):
        load_expert(expert).reset(env)
    env.close()


@pytest.mark.parametrize("expert", sorted(PLAYED))
def test_act_before_reset_is_refused(expert):
    with pytest.raises((RuntimeError, ValueError), match="reset"):
        load_expert(expert).act(None)


def test_an_agent_plays_one_episode_after_the_other():
    env = envs.make("MiniGrid-MultiRoom-N2-S4-v0")
    results = rollout(env, load_expert("planner/minigrid"), episodes=5, seed=0)
    assert all(result.success for result in results)
    env.close()
