"""Training, export and resume with Stable-Baselines3, at toy size."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sb3_contrib import TQC
from stable_baselines3 import DQN, PPO, SAC

from gato_gym import envs
from gato_gym.agents.experts import load_expert, sb3
from gato_gym.agents.experts.features import FEATURES
from gato_gym.agents.experts.hyperparameters import (
    HYPERPARAMETERS,
    Hyperparameters,
    hyperparameters_for,
)
from gato_gym.agents.experts.policy import CARD, TENSORS, MLPPolicy
from gato_gym.agents.experts.sb3.__main__ import main
from gato_gym.agents.experts.sb3.actor import fold_normalisation
from gato_gym.agents.experts.sb3.algorithms import ACTIVATIONS, ALGORITHMS
from gato_gym.agents.experts.sb3.train import PROGRESS
from gato_gym.errors import TrainingError, UnknownTaskError

TINY = replace(
    HYPERPARAMETERS["CartPole-v1"],
    total_steps=64,
    num_envs=2,
    settings={"n_steps": 16, "batch_size": 32, "n_epochs": 1},
)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(HYPERPARAMETERS, "CartPole-v1", TINY)
    return TINY


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize(
    ("algorithm", "task"),
    [
        (PPO, "CartPole-v1"),
        (PPO, "Pendulum-v1"),
        (SAC, "Pendulum-v1"),
        (TQC, "Pendulum-v1"),
        (DQN, "CartPole-v1"),
    ],
)
def test_numpy_policy_equals_torch(algorithm, task, activation):
    env = envs.make(task)
    kwargs = {"net_arch": [32, 16], "activation_fn": ACTIVATIONS[activation]}
    buffer = {} if algorithm is PPO else {"buffer_size": 10}
    model = algorithm("MlpPolicy", env, policy_kwargs=kwargs, seed=0, device="cpu", **buffer)
    # Untrained heads hardly look at their input; give them a spread that training would give.
    heads = {PPO: lambda p: p.action_net, DQN: lambda p: p.q_net.q_net[-1]}
    if algorithm in heads:
        with torch.no_grad():
            heads[algorithm](model.policy).weight.mul_(100)
    tensors, network = sb3.actor_tensors(model.policy)
    assert network["activation"] == activation
    assert network["sizes"] == [*env.observation_space.shape, 32, 16, *tensors["head.bias"].shape]
    n = envs.task_spec(env).action.n
    policy = MLPPolicy(tensors, activation, n, network["squash"])
    inputs = np.random.default_rng(0).normal(size=(1000, *env.observation_space.shape))
    inputs = inputs.astype(np.float32)
    expected, _ = model.predict(inputs, deterministic=True)
    actual = policy.action(inputs)
    assert len(np.unique(expected)) > 1
    if n:
        assert np.array_equal(actual[:, 0], expected)
    else:
        np.testing.assert_allclose(actual, expected, atol=1e-5)
        sampled = policy.action(inputs, np.random.default_rng(0))
        assert (np.abs(sampled) <= 1).all() and not np.allclose(sampled, actual, atol=0.1)
    env.close()


def test_the_spread_of_samples_is_the_networks():
    env = envs.make("Pendulum-v1")
    model = SAC("MlpPolicy", env, seed=0, device="cpu", buffer_size=10)
    tensors, network = sb3.actor_tensors(model.policy)
    policy = MLPPolicy(tensors, "relu", (), network["squash"])
    one = np.array([0.5, -0.5, 1.0], np.float32)
    drawn = policy.action(np.tile(one, (20_000, 1)), np.random.default_rng(0))
    torch.manual_seed(0)
    theirs = model.actor(torch.from_numpy(np.tile(one, (20_000, 1)))).detach().numpy()
    np.testing.assert_allclose(drawn.mean(), theirs.mean(), atol=0.02)
    np.testing.assert_allclose(drawn.std(), theirs.std(), atol=0.02)
    env.close()


@pytest.mark.parametrize("hidden", [[32], []])
def test_folded_normalisation_is_the_same_function(hidden):
    env = envs.make("Pendulum-v1")
    model = PPO("MlpPolicy", env, policy_kwargs={"net_arch": hidden}, seed=0, device="cpu")
    tensors, _ = sb3.actor_tensors(model.policy)
    mean, deviation = np.array([1.0, -2.0, 3.0]), np.array([0.1, 2.0, 5.0])
    folded = MLPPolicy(fold_normalisation(tensors, mean, deviation), "tanh", ())
    raw = np.random.default_rng(0).normal(size=(100, 3)) * deviation + mean
    expected = MLPPolicy(tensors, "tanh", ()).output((raw - mean) / deviation)
    np.testing.assert_allclose(folded.output(raw), expected, atol=1e-5)
    env.close()


@pytest.mark.parametrize("algorithm", ["SAC", "TQC", "DQN", "PPO"])
def test_every_algorithm_trains_resumes_and_plays(algorithm, monkeypatch, tmp_path):
    task = "CartPole-v1" if algorithm == "DQN" else "Pendulum-v1"
    settings = {"batch_size": 16, "n_steps": 16, "n_epochs": 1}
    if algorithm != "PPO":
        settings = {"batch_size": 16, "learning_starts": 16, "buffer_size": 1000}
    tiny = Hyperparameters(
        64, algorithm, num_envs=2, normalize="all", hidden=(16,), settings=settings
    )
    monkeypatch.setitem(HYPERPARAMETERS, task, tiny)
    first = sb3.train_expert(task, tmp_path, episodes=1, checkpoint_every=32)
    before = json.loads((tmp_path / PROGRESS).read_text())
    assert first["algorithm"] == algorithm and first["wall_seconds"] > 0
    assert (
        np.shape(before["statistics"]["obs_rms"]["mean"])
        == envs.task_spec(task).observations[0].shape
    )
    longer = sb3.train_expert(task, tmp_path, 128, episodes=1, checkpoint_every=32)
    after = json.loads((tmp_path / PROGRESS).read_text())
    assert longer["steps_trained"] == 128
    counts = [p["statistics"]["obs_rms"]["count"] for p in (before, after)]
    assert counts[1] - counts[0] >= 64, "the statistics go on, too"
    assert longer["wall_seconds"] >= first["wall_seconds"]
    assert load_expert(tmp_path).card == longer


def test_a_killed_run_goes_on_from_its_last_checkpoint(tiny, monkeypatch, tmp_path):
    kept = sb3.train.replace_file

    def killed(path, data):
        if path.name == PROGRESS and json.loads(data)["steps"] >= 64:
            raise KeyboardInterrupt
        kept(path, data)

    monkeypatch.setattr(sb3.train, "replace_file", killed)
    with pytest.raises(KeyboardInterrupt):
        sb3.train_expert("CartPole-v1", tmp_path, 96, episodes=1, checkpoint_every=32)
    assert json.loads((tmp_path / PROGRESS).read_text())["steps"] == 32
    assert not (tmp_path / CARD).exists()
    monkeypatch.undo()
    monkeypatch.setitem(HYPERPARAMETERS, "CartPole-v1", tiny)
    card = sb3.train_expert("CartPole-v1", tmp_path, 96, episodes=1, checkpoint_every=32)
    assert card["steps_trained"] == 96 and [p[0] for p in card["curve"]][:1] != [64]


def test_a_run_of_another_task_or_recipe_is_not_resumed(tiny, monkeypatch, tmp_path):
    sb3.train_expert("CartPole-v1", tmp_path, episodes=1)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setitem(HYPERPARAMETERS, "Acrobot-v1", tiny)
    with pytest.raises(TrainingError, match="a run of CartPole-v1"):
        sb3.train_expert("Acrobot-v1", tmp_path, 128, episodes=1)
    monkeypatch.setitem(HYPERPARAMETERS, "CartPole-v1", replace(tiny, gamma=0.5))
    with pytest.raises(TrainingError, match="other settings"):
        sb3.train_expert("CartPole-v1", tmp_path, 128, episodes=1)
    assert kept == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sum(name.endswith(".zip") for name in kept) == 1


def test_every_recipe_builds_a_model():
    for task in ("HalfCheetah-v5", "ALE/Pong-v5", "dm_control/reacher-easy-v0", "FetchReach-v4"):
        recipe = hyperparameters_for(task)
        assert recipe is not None, task
        assert recipe.algorithm in ALGORITHMS and recipe.features in FEATURES


def test_variants_are_played_by_the_expert_of_the_state_task(tmp_path):
    with pytest.raises(UnknownTaskError, match="'dm_control/cartpole-swingup-v0': train it"):
        sb3.train_expert("dm_control/cartpole-swingup-pixels-v0", tmp_path / "out")


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
    assert main(arguments) == 2
    assert "pickles" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

    curve = tmp_path / "curve.jsonl"
    curve.write_text('{"steps": 10, "return": 1.5}\n\n{"steps": 20, "return": 2}\n')
    assert main([*arguments, "--trust", "--curve", str(curve)]) == 0
    assert json.loads((tmp_path / "out" / CARD).read_text())["curve"] == [[10, 1.5], [20, 2.0]]
    capsys.readouterr()

    assert main(["evaluate", "--expert", str(tmp_path / "out"), "--episodes", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["episodes"] == 2
    again = ["evaluate", "--expert", str(tmp_path / "out"), "--episodes", "3", "--record"]
    assert main(again) == 0
    card = json.loads((tmp_path / "out" / CARD).read_text())
    assert card["evaluation"] == json.loads(capsys.readouterr().out)
    assert len(card["evaluation"]["returns"]) == 3 and card["curve"] == [[10, 1.5], [20, 2.0]]
    assert main([*again, "--task", "Acrobot-v1"]) == 2


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


def test_training_may_hold_each_action():
    task = "dm_control/pendulum-swingup-v0"
    recipe = replace(HYPERPARAMETERS[task], action_repeat=4)
    held, plain = sb3.training_env(task, recipe), envs.make(task)
    seen, _ = held.reset(seed=3)
    plain.reset(seed=3)
    action = np.array([0.7], np.float32)
    for _ in range(250):
        seen, reward, terminated, truncated, _ = held.step(action)
        rewards = [plain.step(action)[1] for _ in range(recipe.action_repeat)]
        assert reward == pytest.approx(sum(rewards))
    assert truncated and not terminated, "1,000 steps are 250 decisions"
    state = plain.unwrapped.state_observation()
    np.testing.assert_allclose(seen, [*state["orientation"], *state["velocity"]], atol=1e-6)
    held.close()
    plain.close()


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
        sb3.train_expert("FrozenLake-v1", tmp_path / "out")
    assert not (tmp_path / "out").exists()
