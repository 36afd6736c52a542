"""At home in Stable-Baselines3: vector environments, evaluate_policy, the zoo's loop."""

import functools

import gymnasium
import numpy as np
import pytest
import torch

import gato_gym
from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.envs.factory import standardise
from gato_gym.envs.registry import resolve
from gato_gym.errors import InvalidObservationError
from gato_gym.evaluation.scores import evaluate
from gato_gym.models.gato import Gato

env_util = pytest.importorskip("stable_baselines3.common.env_util")
evaluation = pytest.importorskip("stable_baselines3.common.evaluation")
vec_envs = pytest.importorskip("stable_baselines3.common.vec_env")
make_vec_env = env_util.make_vec_env

# Their own advice on VecMonitor around Monitor.
pytestmark = pytest.mark.filterwarnings("ignore:The environment is already wrapped")

BOXING, STACKING = "ALE/Boxing-v5", "gato_gym/BlockStacking-v0"


@pytest.fixture(scope="module")
def agent():
    """Of random weights, larger than at the start of training: what is seen changes the actions."""
    torch.manual_seed(0)
    model = Gato(model_config("tiny"))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= 3
    specs = {task: envs.task_spec(task) for task in ("CartPole-v1", BOXING, STACKING)}
    return GatoAgent(model, specs)


@pytest.fixture
def made():
    """Call something that makes a vector environment; it is closed afterwards."""
    kept = []

    def call(make, *arguments, **options):
        kept.append(make(*arguments, **options))
        return kept[-1]

    yield call
    for one in kept:
        one.close()


def short(task, steps):
    """A function that makes a plain environment whose episodes are cut."""
    resolve(task)  # registers what its package has
    return lambda: gymnasium.wrappers.TimeLimit(gymnasium.make(task), steps)


def play(agent, env, steps=6):
    """Actions (T, B) in a vector environment of theirs."""
    obs, state, start, actions = env.reset(), None, np.ones(env.num_envs, bool), []
    for _ in range(steps):
        action, state = agent.predict(obs, state, start)
        assert all(env.action_space.contains(one) for one in action)
        actions.append(action)
        obs, _, start, _ = env.step(action)
    return np.stack(actions)


@functools.cache
def subproc():
    # Forked processes share what this one has registered and loaded, and start at once.
    return functools.partial(vec_envs.SubprocVecEnv, start_method="fork")


@pytest.mark.parametrize("task", ["CartPole-v1", "Pendulum-v1", STACKING])
def test_all_their_vector_environments_are_played_alike(agent, made, task):
    make = functools.partial(make_vec_env, resolve(task), n_envs=2, seed=3)
    here, apart = made(make), made(make, vec_env_cls=subproc())
    agent.reset(here)
    reference = play(agent, here)
    agent.reset(task)
    by_id = agent.predict(made(make).reset())[0]
    if task != "Pendulum-v1":  # of an id the actions are the standardised ones
        np.testing.assert_array_equal(by_id, reference[0])
    watched = made(lambda: vec_envs.VecCheckNan(vec_envs.VecMonitor(make())))
    for other in (apart, watched):
        agent.reset(other)
        np.testing.assert_array_equal(play(agent, other), reference)


def test_actions_are_in_the_environments_own_bounds(agent, made):
    plain = made(make_vec_env, "Pendulum-v1", n_envs=2, seed=0)
    agent.reset(plain)
    far = agent.predict(plain.reset())[0]
    scaled = made(make_vec_env, lambda: envs.make("Pendulum-v1"), n_envs=2, seed=0)
    agent.reset(scaled)
    near = agent.predict(scaled.reset())[0]
    np.testing.assert_allclose(far, 2 * near, rtol=1e-6)


@pytest.mark.parametrize("task, steps", [("CartPole-v1", 500), (STACKING, 6), (BOXING, 5)])
def test_evaluate_policy_gives_the_returns_of_our_eval(agent, made, monkeypatch, task, steps):
    make = short(task, steps)
    monkeypatch.setattr("gato_gym.evaluation.scores.envs.make", lambda _: standardise(make()))
    ours = evaluate(task, agent, episodes=3, seed=20)
    vec_env = made(make_vec_env, make, n_envs=3, seed=20)
    agent.reset(vec_env)
    ended = {}

    def note(local, _):
        if local["done"]:
            ended.setdefault(local["i"], local["info"]["episode"]["r"])

    mean, _ = evaluation.evaluate_policy(agent, vec_env, n_eval_episodes=3, callback=note)
    assert [ended[copy] for copy in range(3)] == [round(value, 6) for value in ours.returns]
    assert mean == pytest.approx(ours.mean_return)


def test_evaluate_policy_plays_a_single_environment(agent):
    env = gymnasium.make("CartPole-v1")
    agent.reset(env)
    mean, _ = evaluation.evaluate_policy(agent, env, n_eval_episodes=2, warn=False)
    assert 1 <= mean <= 500


def test_the_loop_of_rl_baselines3_zoo_starts_episodes_afresh(agent, made):
    """As its enjoy.py: a recurrent policy's states and flags, one environment, many episodes."""
    env = made(make_vec_env, short("CartPole-v1", 4), n_envs=1, seed=1)
    agent.reset(env)
    obs, lstm_states, episode_start = env.reset(), None, np.ones((env.num_envs,), dtype=bool)
    played, firsts = [], []
    for _ in range(12):
        if episode_start[0]:
            firsts.append(obs)
            played.append([])
        action, lstm_states = agent.predict(
            obs, state=lstm_states, episode_start=episode_start, deterministic=True
        )
        played[-1].append(action)
        obs, _, done, _ = env.step(action)
        episode_start = done
    assert len(played) >= 3
    for obs, actions in zip(firsts, played, strict=True):
        np.testing.assert_array_equal(agent.predict(obs)[0], actions[0])


def test_images_that_their_wrapper_turns_are_turned_back(agent, made):
    plain = made(make_vec_env, resolve(BOXING), n_envs=2, seed=4)
    agent.reset(plain)
    reference = play(agent, plain)
    make = functools.partial(make_vec_env, BOXING, n_envs=2, seed=4)
    for wrap in (
        vec_envs.VecTransposeImage,
        lambda env: vec_envs.VecMonitor(vec_envs.VecTransposeImage(env)),
    ):
        turned = made(lambda wrap=wrap: wrap(make()))
        assert turned.observation_space.shape == (3, 210, 160)
        agent.reset(turned)
        np.testing.assert_array_equal(play(agent, turned), reference)


@pytest.mark.parametrize(
    "task, name, wrap",
    [
        ("CartPole-v1", "VecNormalize", lambda env: vec_envs.VecNormalize(env)),
        ("CartPole-v1", "VecFrameStack", lambda env: vec_envs.VecFrameStack(env, 4)),
        (
            *("CartPole-v1", "VecNormalize"),
            lambda env: vec_envs.VecMonitor(vec_envs.VecNormalize(env)),
        ),
        (
            *(BOXING, "VecFrameStack"),
            lambda env: vec_envs.VecTransposeImage(vec_envs.VecFrameStack(env, 2)),
        ),
    ],
)
def test_observations_that_were_changed_are_refused(agent, made, task, name, wrap):
    env = made(lambda: wrap(make_vec_env(resolve(task), n_envs=1)))
    with pytest.raises(InvalidObservationError, match=f"{task}: {name} changed what is observed"):
        agent.reset(env)


def test_a_wrapper_in_another_process_is_noticed(agent, made):
    def make():
        return gymnasium.wrappers.NormalizeObservation(gymnasium.make("CartPole-v1"))

    env = made(make_vec_env, make, n_envs=1, vec_env_cls=subproc())
    with pytest.raises(InvalidObservationError, match="NormalizeObservation changed"):
        agent.reset(env)


def test_normalised_rewards_are_no_concern(agent, made):
    env = made(lambda: vec_envs.VecNormalize(make_vec_env("CartPole-v1"), norm_obs=False))
    agent.reset(env)
    assert play(agent, env).shape == (6, 1)


def test_the_wrappers_they_train_on_atari_with_are_named(agent, made):
    resolve(BOXING)
    env = made(env_util.make_atari_env, BOXING, n_envs=1)
    with pytest.raises(InvalidObservationError, match="AtariWrapper and WarpFrame"):
        agent.reset(env)


@pytest.mark.parametrize("kind", ["dummy", "subproc"])
def test_tokenized_copies_are_played(agent, made, kind):
    options = {"vec_env_cls": subproc()} if kind == "subproc" else {}
    make = functools.partial(gato_gym.make, "CartPole-v1", vocabulary=agent.vocabulary)
    tokens = made(make_vec_env, make, n_envs=2, seed=3, **options)
    raw = made(make_vec_env, "CartPole-v1", n_envs=2, seed=3)
    played = []
    for env in (tokens, raw):
        agent.reset(env)
        played.append(play(agent, env))
    np.testing.assert_array_equal(*played)


def test_an_id_that_cannot_be_sent_from_another_process_says_what_to_do(agent, made):
    spec = gymnasium.envs.registration.EnvSpec(
        "Local-v0", entry_point=lambda **_: gymnasium.make("CartPole-v1").unwrapped
    )
    env = made(make_vec_env, lambda: gymnasium.make(spec), n_envs=1, vec_env_cls=subproc())
    with pytest.raises(TypeError, match=r"'spec' .* cannot be pickled"):
        agent.reset(env)
    env.closed = True  # its process is gone
