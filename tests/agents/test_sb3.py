"""Training, export and resume with Stable-Baselines3, at toy size."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from gato_gym import envs
from gato_gym.agents.experts import load_expert, sb3
from gato_gym.agents.experts.hyperparameters import HYPERPARAMETERS
from gato_gym.agents.experts.policy import CARD, TENSORS, MLPPolicy
from gato_gym.errors import UnknownTaskError

TINY = replace(
    HYPERPARAMETERS["CartPole-v1"],
    total_steps=64,
    num_envs=2,
    n_steps=16,
    batch_size=32,
    n_epochs=1,
)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(HYPERPARAMETERS, "CartPole-v1", TINY)
    return TINY


@pytest.mark.parametrize("task", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_numpy_policy_equals_torch(task, activation):
    env = envs.make(task)
    kwargs = {"net_arch": [32, 16], "activation_fn": sb3.ACTIVATIONS[activation]}
    model = PPO("MlpPolicy", env, policy_kwargs=kwargs, seed=0, device="cpu")
    # The actor's head is initialised near zero; give its outputs a spread that training would give.
    with torch.no_grad():
        model.policy.action_net.weight.mul_(100)
    tensors, name = sb3.actor_tensors(model.policy)
    assert name == activation
    policy = MLPPolicy(tensors, name, envs.task_spec(env).action.n)
    inputs = np.random.default_rng(0).normal(size=(1000, *env.observation_space.shape))
    inputs = inputs.astype(np.float32)
    expected, _ = model.predict(inputs, deterministic=True)
    actual = policy.action(inputs)
    assert len(np.unique(expected)) > 1
    if policy._n:
        assert np.array_equal(actual[:, 0], expected)
    else:
        np.testing.assert_allclose(actual, expected, atol=1e-5)
    env.close()


def test_train_export_resume(tiny, tmp_path):
    card = sb3.train_expert("CartPole-v1", tmp_path, episodes=2, checkpoint_every=32)
    assert card["steps_trained"] == 64
    assert json.loads((tmp_path / CARD).read_text()) == card
    before = (tmp_path / TENSORS).read_bytes()

    again = sb3.train_expert("CartPole-v1", tmp_path, episodes=2, checkpoint_every=32)
    assert again["steps_trained"] == 64
    assert (tmp_path / TENSORS).read_bytes() == before, "a finished run must not train on"

    longer = sb3.train_expert("CartPole-v1", tmp_path, 128, episodes=2, checkpoint_every=32)
    assert longer["steps_trained"] == 128
    assert (tmp_path / TENSORS).read_bytes() != before
    assert longer["curve"][: len(card["curve"])] == card["curve"]
    assert not list(tmp_path.glob("partial-*"))
    assert load_expert(tmp_path).card == longer


def test_zip_needs_trust(tiny, tmp_path, capsys):
    model = PPO("MlpPolicy", envs.make("CartPole-v1"), n_steps=16, batch_size=16, device="cpu")
    model.save(tmp_path / "model.zip")
    with pytest.raises(PermissionError, match="trust=True"):
        sb3.export_sb3(tmp_path / "model.zip", tmp_path / "out", task="CartPole-v1")
    arguments = ["export", "--task", "CartPole-v1", "--zip", str(tmp_path / "model.zip")]
    arguments += ["--out", str(tmp_path / "out"), "--episodes", "1"]
    assert sb3.main(arguments) == 2
    assert "pickles" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

    curve = tmp_path / "curve.jsonl"
    curve.write_text('{"steps": 10, "return": 1.5}\n\n{"steps": 20, "return": 2}\n')
    assert sb3.main([*arguments, "--trust", "--curve", str(curve)]) == 0
    assert json.loads((tmp_path / "out" / CARD).read_text())["curve"] == [[10, 1.5], [20, 2.0]]
    capsys.readouterr()

    assert sb3.main(["evaluate", "--expert", str(tmp_path / "out"), "--episodes", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["episodes"] == 2


def test_training_sees_the_features_that_acting_sees():
    task = "ALE/Boxing-v5"
    training = sb3.training_env(task, HYPERPARAMETERS[task])
    acting, agent = envs.make(task), load_expert(task)
    agent.reset(acting)
    observation, _ = acting.reset(seed=7)
    seen, _ = training.reset(seed=7)
    assert training.observation_space.contains(seen)
    for step in range(30):
        np.testing.assert_array_equal(seen, agent._features(observation))
        action = step % 18
        observation, *_ = acting.step(action)
        seen, *_ = training.step(action)
    training.close()
    acting.close()


def test_networks_that_are_no_perceptron_are_refused():
    env = envs.make("ALE/Boxing-v5")
    model = PPO("CnnPolicy", env, n_steps=8, batch_size=8, device="cpu")
    with pytest.raises(ValueError, match="only MlpPolicy"):
        sb3.actor_tensors(model.policy)
    env.close()


def test_other_activations_are_refused():
    env = envs.make("CartPole-v1")
    kwargs = {"activation_fn": torch.nn.ELU}
    model = PPO("MlpPolicy", env, policy_kwargs=kwargs, device="cpu")
    with pytest.raises(ValueError, match="ELU"):
        sb3.actor_tensors(model.policy)


def test_task_without_hyperparameters(tmp_path):
    with pytest.raises(UnknownTaskError, match="CartPole-v1"):
        sb3.train_expert("Pendulum-v1", tmp_path / "out")
    assert not (tmp_path / "out").exists()
