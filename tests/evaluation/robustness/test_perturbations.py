"""Which perturbations suit which tasks, and that the environments are what is asked for."""

import numpy as np
import pytest

from gato_gym import envs
from gato_gym.agents import RandomAgent
from gato_gym.agents.gato import GatoAgent
from gato_gym.evaluation.robustness.perturbations import PERTURBATIONS, read_perturbations, told
from gato_gym.evaluation.robustness.spread import EPISODES, SEED, spread
from gato_gym.evaluation.scores import evaluate

POLE, BOXING = "CartPole-v1", "ALE/Boxing-v5"
BLOCKS, PICTURED = "gato_gym/BlockStacking-v0", "gato_gym/BlockStacking-pixels-v0"
TOLD = "gato_gym/BlockStacking-Instructed-pixels-v0"
SUITED = {
    POLE: {"sticky-actions", "observation-noise", "delayed-actions"},
    BOXING: {"sticky-actions", "game-variants", "pixel-noise", "occlusion", "delayed-actions"},
    BLOCKS: {"sticky-actions", "observation-noise", "delayed-actions"},
    PICTURED: set(PERTURBATIONS) - {"game-variants"},
    "text/vqa": {"pixel-noise", "occlusion"},
    "text/dialogue": set(),
}


@pytest.mark.parametrize("task", SUITED)
def test_what_suits_a_task(task):
    spec = envs.task_spec(task)
    reasons = {name: one.unsuited(spec) for name, one in PERTURBATIONS.items()}
    assert {name for name, why in reasons.items() if why is None} == SUITED[task]
    assert all(reasons[name] for name in reasons.keys() - SUITED[task])


@pytest.mark.parametrize("task", [POLE, BOXING])
def test_a_perturbed_task_is_the_same_task_to_an_agent(task):
    agent = GatoAgent.from_pretrained()
    usual = envs.task_spec(task)
    for name in SUITED[task]:
        one = PERTURBATIONS[name]
        strength = one.of_task(usual)[0][-1]
        env = one.make(task, strength)
        spec = envs.task_spec(env)
        assert (spec.id, spec.observations, spec.action) == (
            usual.id,
            usual.observations,
            usual.action,
        )
        agent.reset([env])
        action, _ = agent.predict([env.reset(seed=1)[0]])
        assert env.action_space.contains(action[0])
        env.close()


def test_other_variants_of_a_game():
    pytest.importorskip("ale_py")
    one, spec = PERTURBATIONS["game-variants"], envs.task_spec(BOXING)
    assert one.of_task(spec) == (("0/1", "0/2", "0/3"), None)
    assert one.refuses(spec, "0/0") == "it is the task's own"
    assert one.refuses(spec, "7/0") == "the game has 0/0 and 0/1, 0/2, 0/3"
    assert one.refuses(spec, "0/3") is None
    frames = []
    for env in (envs.make(BOXING), one.make(BOXING, "0/0"), one.make(BOXING, "0/3")):
        observation, _ = env.reset(seed=0)
        for _ in range(60):
            observation, *_ = env.step(2)
        frames.append(observation)
        env.close()
    # The cartridge's first variant is what it starts with; another one is another game.
    np.testing.assert_array_equal(frames[0], frames[1])
    assert (frames[0] != frames[2]).any()
    # Of many variants only the nearest are played unless more are named.
    invaders = envs.task_spec("ALE/SpaceInvaders-v5")
    taken, left = one.of_task(invaders)
    assert (
        taken[0] == "0/1"
        and len(taken) == 6
        and left == "25 of its 31 other variants, unless named"
    )


def test_sticky_actions_leave_out_what_the_task_does_itself():
    one = PERTURBATIONS["sticky-actions"]
    pole, boxing = envs.task_spec(POLE), envs.task_spec(BOXING)
    refused = {
        told(s): (one.refuses(pole, s), one.refuses(boxing, s)) for s in one.of_task(pole)[0]
    }
    assert refused == {
        "0": ("the task has 0 itself", None),
        "0.25": (None, "the task has 0.25 itself"),
        "0.5": (None, None),
    }
    # The emulator repeats frames itself.
    env = one.make(BOXING, 0.5)
    assert env.spec.kwargs["repeat_action_probability"] == 0.5
    env.close()


def test_words_stay_right_in_other_colours():
    one = PERTURBATIONS["block-colours"]
    told_so, silent = envs.task_spec(TOLD), envs.task_spec(PICTURED)
    assert one.of_task(silent)[0] == ("dark", "pale", "hue30", "hue60")
    assert [s for s in one.strengths if one.refuses(told_so, s) is None] == ["dark", "pale"]
    assert all(one.refuses(silent, s) is None for s in one.strengths)
    env = one.make(PICTURED, "hue60")
    assert env.unwrapped.palette == "hue60"
    env.close()


def test_the_spread_is_that_of_random_play():
    env, player = envs.make(POLE), RandomAgent(SEED)
    seen = []
    for seed in range(SEED, SEED + EPISODES):
        player.reset(env)
        observation, _ = env.reset(seed=seed)
        seen.append(observation)
        over = False
        while not over:
            observation, _, terminated, truncated, _ = env.step(player.act(observation))
            seen.append(observation)
            over = terminated or truncated
    env.close()
    found = spread(POLE)
    np.testing.assert_allclose(found["observation"], np.std(np.float64(seen), 0), rtol=1e-12)
    assert (found["observation"] > 0).all()


def test_episodes_do_not_depend_on_how_many_are_played_at_once():
    agent, one = GatoAgent.from_pretrained(), PERTURBATIONS["sticky-actions"]
    alone, together = (
        evaluate(POLE, agent, episodes=3, seed=7, num_envs=many, make=lambda: one.make(POLE, 0.7))
        for many in (1, 3)
    )
    assert alone.returns == together.returns and len(set(alone.returns)) > 1


@pytest.mark.parametrize(
    "wanted, complaint",
    [
        ("observation-noize", "did you mean 'observation-noise'"),
        ("gravity", "one of block-colours, sticky-actions"),
        ("sticky-actions=1.5", "expected a number from 0 to 0.99: the probability of a repeat"),
        ("sticky-actions=often", "expected a number from 0"),
        ("delayed-actions=0", "expected a whole number from 1 to 100: steps"),
        ("delayed-actions=1.5", "expected a whole number"),
        ("observation-noise=0.1,-1", "observation-noise=-1: expected a number from 0.001"),
        ("observation-noise=nan", "expected a number from 0.001"),
        ("pixel-noise=300", "from 0.1 to 255: standard deviation in grey levels"),
        ("occlusion=", "expected a number from 0.001 to 1"),
        ("block-colours=neon", "expected dark, pale, hue30, hue60"),
        ("game-variants=hard", "expected MODE/DIFFICULTY, e.g. 0/1"),
    ],
)
def test_what_cannot_be_read_names_what_can(wanted, complaint):
    with pytest.raises(ValueError) as raised:
        read_perturbations([wanted])
    assert complaint in str(raised.value)


def test_what_is_asked_for():
    found = read_perturbations(["occlusion=0.5,0.5,1", "game-variants=0/1"])
    assert {one.name: strengths for one, strengths in found.items()} == {
        "occlusion": (0.5, 1.0),
        "game-variants": ("0/1",),
    }
    everything = read_perturbations([])
    assert [one.name for one in everything] == list(PERTURBATIONS)
    assert set(everything.values()) == {None}
