"""`make` holds its promises for every task of the catalogue, and for ids outside of it."""

import json
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from gato_gym import envs
from gato_gym.envs.registry import registered
from gato_gym.errors import (
    InvalidObservationError,
    MissingExtraError,
    UnknownTaskError,
    UnsupportedSpaceError,
)
from gato_gym.testing import sample_tasks
from gato_gym.types import TaskSpec, flatten_observation

TASKS = [spec.id for spec in sample_tasks()]
# Actions that are rescaled, a tuple, a large discrete observation, another game.
OTHERS = ["Pendulum-v1", "Blackjack-v1", "Taxi-v4", "ALE/Pong-v5"]


def trajectory(task, seed, steps):
    env = envs.make(task)
    env.action_space.seed(seed)
    observation, _ = env.reset(seed=seed)
    seen = [flatten_observation(observation)]
    rewards = []
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        seen.append(flatten_observation(observation))
        rewards.append(reward)
        if terminated or truncated:
            observation, _ = env.reset()
    env.close()
    return seen, rewards


@pytest.mark.parametrize("task", TASKS + OTHERS)
def test_every_task_steps_and_fits_its_spec(task):
    seen, rewards = trajectory(task, seed=3, steps=12)
    spec = envs.task_spec(task)
    assert [leaf.key for leaf in spec.observations] == list(seen[0])
    for leaf in spec.observations:
        assert np.shape(seen[-1][leaf.key]) == leaf.shape
    assert np.isfinite(rewards).all()


@pytest.mark.parametrize("task", TASKS)
def test_same_seed_same_episode(task):
    first, second = trajectory(task, seed=5, steps=15), trajectory(task, seed=5, steps=15)
    assert first[1] == second[1]
    for one, two in zip(first[0], second[0], strict=True):
        assert all(np.array_equal(one[key], two[key]) for key in one)


# One map for all episodes: only their course is left to chance.
FIXED = ("CliffWalking-v1",)


@pytest.mark.parametrize("task", [task for task in TASKS if task not in FIXED])
def test_another_seed_another_episode(task):
    first, second = trajectory(task, seed=5, steps=15), trajectory(task, seed=6, steps=15)
    pairs = zip(first[0], second[0], strict=True)
    assert any(not np.array_equal(one[key], two[key]) for one, two in pairs for key in one)


@pytest.mark.parametrize("task", TASKS)
def test_catalogue_says_what_the_environment_is(task):
    env = envs.make(task)
    assert envs.task_spec(env) == envs.task_spec(task) == registered(task)
    assert env.spec.id == task
    assert env.spec.max_episode_steps in (None, envs.task_spec(task).horizon)
    env.close()


@pytest.mark.parametrize("task", TASKS + OTHERS)
def test_spec_survives_json(task):
    spec = envs.task_spec(task)
    assert TaskSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.parametrize("task", TASKS)
def test_gymnasium_checker_accepts(task):
    env = envs.make(task)
    check_env(env, skip_render_check=True)
    env.close()


def test_images_of_a_plain_environment_have_the_size_the_tokenizer_wants():
    envs.make("ALE/Boxing-v5").close()  # registers ale-py
    env = gym.make("ALE/Boxing-v5")
    assert env.observation_space.shape == (210, 160, 3)
    assert envs.task_spec(env) == envs.task_spec("ALE/Boxing-v5")
    assert envs.task_spec(env).observations[0].shape == (64, 80, 3)
    env.close()


def test_image_size_is_settable_and_its_spec_follows():
    env = envs.make("ALE/Boxing-v5", image_size=(96, 112))
    observation, _ = env.reset(seed=0)
    assert observation.shape == envs.task_spec(env).observations[0].shape == (96, 112, 3)
    env.close()


@pytest.mark.parametrize("size", [(64, 64), (96, 112)])
def test_block_stacking_draws_at_the_size_asked_for(size):
    env = envs.make("gato_gym/BlockStacking-v0", observation="pixels", image_size=size)
    assert env.unwrapped.image_size == size
    sizes = {leaf.shape[:2] for leaf in envs.task_spec(env).observations if leaf.kind == "image"}
    assert sizes == {size}
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    env.close()


def test_image_size_off_the_patch_grid_is_refused():
    with pytest.raises(InvalidObservationError, match="multiples of 16"):
        envs.make("ALE/Boxing-v5", image_size=(84, 84))


def test_ale_keeps_its_defaults():
    env = envs.make("ALE/Boxing-v5")
    ale = env.unwrapped.ale
    assert ale.getFloat("repeat_action_probability") == 0.25
    assert env.spec.kwargs["frameskip"] == 4
    assert env.action_space == spaces.Discrete(18)
    env.close()


def test_ale_prints_no_banner(capfd):
    envs.make("ALE/Boxing-v5").close()
    assert capfd.readouterr() == ("", "")


def test_render_mode_passes_through():
    env = envs.make("ALE/Boxing-v5", render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (210, 160, 3)
    env.close()


def test_actions_are_rescaled():
    env = envs.make("Pendulum-v1")
    assert env.action_space == spaces.Box(-1, 1, (1,), np.float32)
    env.reset(seed=0)
    env.step(np.array([0.5], np.float32))
    assert env.unwrapped.last_u == pytest.approx(1.0)
    env.close()


def test_made_spec_makes_the_same_environment():
    for task in ("ALE/Boxing-v5", "Pendulum-v1", "Blackjack-v1"):
        env = envs.make(task)
        again = gym.make(env.spec)
        assert str(again) == str(env)
        assert again.observation_space == env.observation_space
        env.close()
        again.close()


def test_make_vec_steps_copies_together():
    vec_env = envs.make_vec("ALE/Boxing-v5", 2)
    observations, _ = vec_env.reset(seed=[4, 5])
    assert observations.shape == (2, 64, 80, 3)
    single = envs.make("ALE/Boxing-v5")
    assert np.array_equal(single.reset(seed=4)[0], observations[0])
    assert envs.task_spec(vec_env) == envs.task_spec("ALE/Boxing-v5")
    vec_env.close()
    single.close()


def test_vec_resets_within_the_step_that_ends_an_episode():
    vec_env = envs.make_vec("CartPole-v1", 1)
    vec_env.reset(seed=0)
    for _ in range(200):
        observation, _, terminated, _, info = vec_env.step(np.array([0]))
        if terminated[0]:
            break
    assert abs(observation[0]).max() <= 0.05
    assert "final_obs" in info
    vec_env.close()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Boxing-v5", "ALE/Boxing-v5"),
        ("ALE/Boxin-v5", "ALE/Boxing-v5"),
        ("cartpole-v1", "CartPole-v1"),
        ("CartPole-v7", "CartPole-v1"),
        ("gato_gym/BlockStaking-v0", "gato_gym/BlockStacking-v0"),
    ],
)
def test_unknown_id_lists_the_nearest(wrong, right):
    for function in (envs.make, envs.task_spec):
        with pytest.raises(UnknownTaskError, match=right):
            function(wrong)


def test_unknown_id_names_the_extra_of_the_nearest(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(UnknownTaskError, match=r'pip install "gato-gym\[atari\]"'):
        envs.make("Boxing-v5")


def test_unknown_id_without_any_near():
    with pytest.raises(UnknownTaskError, match="gato-gym tasks"):
        envs.make("qqqqqqqqqqqq")


def test_unknown_module_prefix():
    with pytest.raises(UnknownTaskError, match="no module 'no_such_package'"):
        envs.make("no_such_package:Thing-v0")


@pytest.mark.parametrize(
    ("task", "module", "extra"),
    [
        ("ALE/Boxing-v5", "ale_py", "atari"),
        ("ALE/Pong-v5", "ale_py", "atari"),
        ("gato_gym/BlockStacking-v0", "mujoco", "mujoco"),
    ],
)
def test_missing_package_names_its_extra(monkeypatch, task, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf'pip install "gato-gym\[{extra}\]"'):
        envs.make(task)
    assert task not in [spec.id for spec in envs.tasks()]


def test_missing_package_of_gymnasiums_own_environments(monkeypatch):
    def fail(*args, **kwargs):
        raise gym.error.DependencyNotInstalled("Box2D is not installed, run `pip install swig`")

    monkeypatch.setattr(gym, "make", fail)
    with pytest.raises(MissingExtraError, match="LunarLander-v3: Box2D is not installed"):
        envs.make("LunarLander-v3")


class WithAction(gym.Env):
    observation_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, action_space):
        self.action_space = action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}


@pytest.fixture
def with_action():
    def register(space):
        gym.register("test/WithAction-v0", entry_point=lambda: WithAction(space))
        return "test/WithAction-v0"

    yield register
    gym.registry.pop("test/WithAction-v0", None)


@pytest.mark.parametrize(
    "space",
    [spaces.Box(-np.inf, np.inf, (2,)), spaces.Discrete(1025), spaces.Sequence(spaces.Discrete(3))],
)
def test_unsupported_action_space(with_action, space):
    with pytest.raises(UnsupportedSpaceError, match="action space"):
        envs.make(with_action(space))


def test_env_without_an_id_is_refused():
    with pytest.raises(TypeError, match="no id"):
        envs.task_spec(WithAction(spaces.Discrete(2)))


def test_own_environment_through_gymnasium():
    env = gym.make("gato_gym:gato_gym/BlockStacking-v0")
    assert envs.task_spec(env).id == "gato_gym/BlockStacking-v0"
    env.close()


def test_a_wrapper_may_carry_the_spec_of_what_it_hides():
    class Tokens(gym.ObservationWrapper):
        def __init__(self, env):
            super().__init__(env)
            self.task_spec = envs.task_spec(env)
            self.observation_space = spaces.Discrete(2)

        def observation(self, observation):
            return 0

    env = gym.wrappers.TimeAwareObservation(Tokens(envs.make("CartPole-v1")), flatten=False)
    assert envs.task_spec(env) == envs.task_spec("CartPole-v1")
    env.close()


def test_tasks_by_domain():
    atari = [spec.id for spec in envs.tasks("atari")]
    assert "ALE/Boxing-v5" in atari and all(task.startswith("ALE/") for task in atari)
    assert envs.tasks("no such domain") == ()
