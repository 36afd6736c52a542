"""BabyAI's bot as an expert: it recovers, never hangs, and gives way to the planner."""

import pytest

from gato_gym import envs
from gato_gym.agents.experts import babyai
from gato_gym.agents.experts.babyai import ScriptedBabyAI
from gato_gym.agents.experts.grid.scene import (
    DONE,
    DROP,
    FORWARD,
    LEFT,
    PICKUP,
    RIGHT,
    TOGGLE,
)
from gato_gym.agents.experts.noise import NoisyExpert
from gato_gym.evaluation.rollout import rollout

# Of every kind of instruction, and those that the bot alone cannot play.
LEVELS = [
    "BabyAI-ActionObjDoor-v0",
    "BabyAI-BlockedUnlockPickup-v0",
    "BabyAI-GoToLocal-v0",
    "BabyAI-GoToSeqS5R2-v0",
    "BabyAI-KeyCorridorS3R2-v0",
    "BabyAI-KeyInBox-v0",
    "BabyAI-MoveTwoAcrossS5N2-v0",
    "BabyAI-OpenDoorsOrderN4-v0",
    "BabyAI-PutNextS7N4Carrying-v0",
    "BabyAI-UnlockToUnlock-v0",
    "gato_gym/BabyAI-PutNextLocal-pixels-v0",
]


@pytest.mark.parametrize("level", LEVELS)
def test_solves(level):
    env = envs.make(level)
    assert all(result.success for result in rollout(env, ScriptedBabyAI(), episodes=4, seed=20))
    env.close()


@pytest.mark.parametrize(
    "level",
    [
        "BabyAI-GoToSeqS5R2-v0",
        "BabyAI-UnlockLocal-v0",
        "gato_gym/BabyAI-PickupDist-pixels-v0",
    ],
)
def test_solves_among_random_actions(level):
    env = envs.make(level)
    expert = ScriptedBabyAI()
    results = rollout(env, NoisyExpert(expert, 0.3, seed=0), episodes=8, seed=0)
    assert all(result.success for result in results)
    env.close()


def test_tells_every_action_from_what_it_changes():
    told = []
    for level in ("BabyAI-UnlockLocal-v0", "BabyAI-PutNextS5N1-v0"):
        env = envs.make(level)
        agent, world = ScriptedBabyAI(), env.unwrapped
        for seed in range(4):
            agent.reset(env)
            env.reset(seed=seed)
            end = False
            while not end:
                before = babyai._Snapshot.of(world)
                action = int(agent.act(None))
                _, _, end, _, _ = env.step(action)
                told.append((action, babyai._taken(before, babyai._Snapshot.of(world), DONE)))
        env.close()
    assert {action for action, _ in told} >= {LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE}
    assert all(action == taken for action, taken in told)


def test_a_bot_without_end_is_stopped(monkeypatch):
    monkeypatch.setattr(babyai, "MAX_SUBGOALS", 0)  # as if every decision had no end
    env = envs.make("BabyAI-PickupAbove-v0")
    agent = ScriptedBabyAI()
    results = rollout(env, agent, episodes=2, seed=0)
    assert agent.gave_up
    assert all(result.success for result in results)
    env.close()


def test_the_bot_sees_only_what_the_agent_saw():
    env = envs.make("BabyAI-GoToObjMaze-v0")
    agent = ScriptedBabyAI()
    agent.reset(env)
    env.reset(seed=0)
    agent.act(None)
    assert not agent.gave_up
    assert 0 < agent._bot.vis_mask.mean() < 0.2
    env.close()
