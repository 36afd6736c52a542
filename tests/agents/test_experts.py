"""The shipped experts load without torch, act legally and play well."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from gato_gym import envs
from gato_gym.agents import Agent
from gato_gym.agents.experts import WEIGHTS, expert_ids, load_expert
from gato_gym.agents.experts.features import BOXING, FEATURES, RamFeatures
from gato_gym.agents.experts.policy import CARD, TENSORS, MLPPolicy, PolicyExpert
from gato_gym.errors import CorruptCheckpointError, UnknownTaskError
from gato_gym.evaluation.rollout import rollout
from gato_gym.testing import sample_tasks

TASKS = [spec for spec in sample_tasks() if spec.expert]
LEARNED = sorted(path.parent for path in WEIGHTS.glob(f"*/{CARD}"))


@pytest.mark.parametrize("spec", TASKS, ids=lambda spec: spec.id)
@pytest.mark.parametrize("deterministic", [True, False])
def test_expert_acts_legally(spec, deterministic):
    agent = load_expert(spec.id)
    assert isinstance(agent, Agent)
    env = envs.make(spec.id)
    agent.reset(env)
    observation, _ = env.reset(seed=0)
    for _ in range(10):
        action = agent.act(observation, deterministic)
        assert env.action_space.contains(action)
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    env.close()


@pytest.mark.parametrize("spec", TASKS, ids=lambda spec: spec.id)
def test_expert_repeats_itself(spec):
    def play():
        env, agent = envs.make(spec.id), load_expert(spec.expert)
        agent.reset(env)
        observation, _ = env.reset(seed=1)
        actions = []
        for _ in range(20):
            actions.append(agent.act(observation))
            observation, _, terminated, truncated, _ = env.step(actions[-1])
            if terminated or truncated:
                break
        env.close()
        return np.array(actions)

    assert np.array_equal(play(), play())


def test_cartpole_expert_is_perfect():
    env = envs.make("CartPole-v1")
    results = rollout(env, load_expert("CartPole-v1"), episodes=5, seed=9000)
    assert [result.episode_return for result in results] == [500.0] * 5


def test_boxing_expert_wins_from_the_first_minute():
    env, agent = envs.make("ALE/Boxing-v5"), load_expert("ALE/Boxing-v5")
    agent.reset(env)
    observation, _ = env.reset(seed=9000)
    score = 0.0
    for _ in range(400):
        observation, reward, *_ = env.step(agent.act(observation))
        score += reward
    assert score >= 20
    env.close()


@pytest.mark.parametrize("folder", LEARNED, ids=lambda folder: folder.name)
def test_card_tells_how_it_was_made(folder):
    card = json.loads((folder / CARD).read_text())
    assert folder.name == card["task"].replace("/", "__")
    assert card["steps_trained"] > 0
    assert card["evaluation"]["episodes"] >= 10
    # Training samples its actions: an export whose best ones are far worse is broken.
    end, final = card["curve"][-1][1], card["evaluation"]
    assert final["mean"] >= end - 0.35 * abs(end)
    assert final["mean"] == pytest.approx(np.mean(final["returns"]), abs=1e-3)
    assert {"gymnasium", "torch", "stable-baselines3"} <= card["versions"].keys()
    steps = [point[0] for point in card["curve"]]
    assert len(steps) >= 5
    assert steps == sorted(set(steps))
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1_000_000


def test_shipped_experts_need_no_torch():
    code = (
        "import sys\n"
        "from gato_gym import envs\n"
        "from gato_gym.agents.experts import load_expert\n"
        "env, agent = envs.make('CartPole-v1'), load_expert('CartPole-v1')\n"
        "agent.reset(env)\n"
        "agent.act(env.reset(seed=0)[0])\n"
        "print('torch' in sys.modules, 'pickle' in type(agent).__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_unknown_expert_lists_the_nearest():
    with pytest.raises(UnknownTaskError, match="'sb3/CartPole-v1'"):
        load_expert("sb3/CartPol-v1")


def test_unknown_expert_without_any_near_lists_all():
    with pytest.raises(UnknownTaskError) as caught:
        load_expert("????")
    assert all(name in str(caught.value) for name in expert_ids())


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "json", "key"])
def test_damaged_folder(tmp_path, damage):
    shutil.copytree(LEARNED[0], tmp_path, dirs_exist_ok=True)
    tensors, card = tmp_path / TENSORS, tmp_path / CARD
    data = bytearray(tensors.read_bytes())
    if damage == "flip":
        data[-5] ^= 1
        tensors.write_bytes(data)
    elif damage == "cut":
        tensors.write_bytes(data[:100])
    elif damage == "gone":
        tensors.unlink()
    elif damage == "json":
        card.write_text(card.read_text()[:-20])
    else:
        card.write_text(card.read_text().replace('"network"', '"netwrok"'))
    with pytest.raises(CorruptCheckpointError):
        load_expert(tmp_path)


def test_act_before_reset_is_an_error():
    with pytest.raises(RuntimeError, match=r"agent\.reset"):
        load_expert("CartPole-v1").act(np.zeros(4))


def test_samples_follow_the_softmax():
    logits = np.log(np.array([0.5, 0.3, 0.2, 0.9, 0.1]))
    tensors = {"head.weight": np.zeros((5, 2)), "head.bias": logits}
    policy = MLPPolicy(tensors, "tanh", (3, 2))
    draws = policy.action(np.zeros((20_000, 2)), np.random.default_rng(0))
    assert draws.shape == (20_000, 2)
    assert np.bincount(draws[:, 0]) / 20_000 == pytest.approx([0.5, 0.3, 0.2], abs=0.02)
    assert np.bincount(draws[:, 1]) / 20_000 == pytest.approx([0.9, 0.1], abs=0.02)


def test_continuous_policy_without_spread_is_refused():
    with pytest.raises(ValueError, match="log_std"):
        MLPPolicy({"head.weight": np.zeros((1, 2)), "head.bias": np.zeros(1)}, "tanh", ())


def test_ram_features_against_a_plain_loop():
    rng = np.random.default_rng(0)
    features = RamFeatures(BOXING)
    previous = None
    for _ in range(5):
        ram = rng.integers(0, 256, 128, dtype=np.uint8)
        seen = features.compute(ram)
        bytes_ = [int(ram[a]) for a in BOXING.addresses]
        before = bytes_ if previous is None else previous
        change = [max(-16, min(16, b - a)) / 16 for a, b in zip(before, bytes_, strict=True)]
        dx, dy = int(ram[33]) - int(ram[32]), int(ram[35]) - int(ram[34])
        near = [dx / 32, dy / 32, abs(dx) / 32, abs(dy) / 32, np.sign(dx), np.sign(dy)]
        assert seen == pytest.approx([*(b / 128 - 0.5 for b in bytes_), *change, *near])
        assert seen.dtype == np.float32
        previous = bytes_


def test_ram_features_forget_at_reset():
    env = envs.make("ALE/Boxing-v5")
    agent = load_expert("ALE/Boxing-v5")
    assert isinstance(agent, PolicyExpert)
    features = agent._features
    for _ in range(2):
        agent.reset(env)
        observation, _ = env.reset(seed=3)
        change = features(observation)[len(BOXING.addresses) :][: len(BOXING.addresses)]
        assert not change.any()
        env.step(1)
        features(observation)
    env.close()


@pytest.mark.parametrize("name", ["reacher-easy", "finger-spin", "cheetah-run", "walker-walk"])
def test_the_state_behind_pixels_is_the_state_that_is_shown(name):
    seen = []
    for variant in ("", "-pixels"):
        env, features = envs.make(f"dm_control/{name}{variant}-v0"), FEATURES["dm_control_state"]()
        observation, _ = env.reset(seed=4)
        features.reset(env)
        vectors = [features(observation)]
        for _ in range(3):
            action = np.full(env.action_space.shape, 0.3, np.float32)
            vectors.append(features(env.step(action)[0]))
        seen.append(np.array(vectors))
        env.close()
    np.testing.assert_array_equal(*seen)
