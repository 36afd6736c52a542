"""The skier passes the gates, faster than a player does."""

import pytest

from gato_gym import envs
from gato_gym.agents.experts import expert_for, load_expert
from gato_gym.errors import UnknownTaskError
from gato_gym.evaluation import published
from gato_gym.evaluation.rollout import rollout

TASK = "ALE/Skiing-v5"
HUMAN = published.of_task(TASK)["human"]["mean"]


def test_it_is_faster_than_a_human_and_misses_no_gate():
    assert expert_for(TASK) == "scripted/skier"
    env = envs.make(TASK)
    results = rollout(env, load_expert(TASK), episodes=2, seed=20)
    # Each gate missed costs 500 at the end: one would be too many.
    assert min(result.episode_return for result in results) > HUMAN + 500
    env.close()


def test_another_game_is_refused():
    env = envs.make("ALE/Boxing-v5")
    with pytest.raises(UnknownTaskError, match="scripted/skier plays"):
        load_expert("scripted/skier").reset(env)
    env.close()
