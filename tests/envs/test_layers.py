"""What is found of an environment in wrappers, copies, and vector environments of any library."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces, wrappers
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

import gato_gym
from gato_gym import envs
from gato_gym.envs import layers
from gato_gym.envs.registry import resolve
from gato_gym.errors import UnsupportedSpaceError

BOXING = "ALE/Boxing-v5"


class Foreign:
    """Copies with the interface of Stable-Baselines3's vector environments, out of reach."""

    def __init__(self, env, sendable=True):
        self._env, self._sendable, self.num_envs = env, sendable, 1
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def has_attr(self, name):
        try:
            self._env.get_wrapper_attr(name)
        except AttributeError:
            return False
        return True

    def get_attr(self, name, indices=None):
        if not self._sendable:
            raise EOFError
        return [self._env.get_wrapper_attr(name)]

    def step_async(self, actions):
        raise AssertionError("nobody plays")


class Wrapper(Foreign):
    def __init__(self, venv, space=None, norm_obs=False):
        self.venv, self.num_envs, self.norm_obs = venv, 1, norm_obs
        self.observation_space = venv.observation_space if space is None else space
        self.action_space = venv.action_space


class VecTransposeImage(Wrapper):
    def __init__(self, venv):
        height, width, channels = venv.observation_space.shape
        super().__init__(venv, spaces.Box(0, 255, (channels, height, width), np.uint8))


def plain(task):
    return gymnasium.make(resolve(task))


@pytest.mark.parametrize("task", ["CartPole-v1", BOXING, "Blackjack-v1", "Pendulum-v1"])
def test_the_spec_is_found_through_every_kind_of_vector_environment(task):
    expected = envs.task_spec(plain(task))
    assert (expected.observations, expected.action) == (
        *(envs.task_spec(task).observations, envs.task_spec(task).action),
    )
    for vec in (
        SyncVectorEnv([lambda: plain(task)]),
        AsyncVectorEnv([lambda: plain(task)]),
        gymnasium.wrappers.vector.RecordEpisodeStatistics(SyncVectorEnv([lambda: plain(task)])),
    ):
        assert envs.task_spec(vec) == expected
        assert layers.spec_of(vec).id == task
        vec.close()
    for foreign in (Foreign(plain(task)), Wrapper(Foreign(plain(task)))):
        assert layers.is_foreign_vector(foreign)
        assert envs.task_spec(foreign) == expected
    for tokenized in (gato_gym.make(task), SyncVectorEnv([lambda: gato_gym.make(task)])):
        known = envs.task_spec(tokenized)
        assert (known.observations, known.action) == (expected.observations, expected.action)
    assert envs.task_spec(Foreign(gato_gym.make(task))).observations == expected.observations


def test_a_vector_entry_point_is_known_by_its_spec():
    vec = gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point")
    assert envs.task_spec(vec) == envs.task_spec("CartPole-v1")
    vec.close()


def test_copies_that_nobody_can_reach_say_what_to_do():
    class Hidden(gymnasium.vector.VectorEnv):
        num_envs = 1

    with pytest.raises(TypeError, match="pass the task id"):
        envs.task_spec(Hidden())
    with pytest.raises(TypeError, match="entry_point='module:Class'"):
        envs.task_spec(Foreign(plain("CartPole-v1"), sendable=False))
    for other in (3, object(), Foreign):
        with pytest.raises(TypeError, match="no Gymnasium environment"):
            envs.task_spec(other)


def test_images_with_their_channels_first_are_the_same_task():
    turned = VecTransposeImage(Foreign(plain(BOXING)))
    for env in (turned, Wrapper(turned)):
        assert envs.task_spec(env) == envs.task_spec(plain(BOXING))
        assert layers.changers(env) == []


def test_a_space_that_a_vector_wrapper_changed_is_what_is_seen():
    inner = Foreign(plain("CartPole-v1"))
    stacked = Wrapper(inner, spaces.Box(-1, 1, (8,), np.float32))
    (seen,) = envs.task_spec(stacked).observations
    assert seen.shape == (8,)
    assert layers.changers(stacked) == ["Wrapper"]
    assert layers.changers(Wrapper(inner, norm_obs=True)) == ["Wrapper"]
    assert layers.changers(Wrapper(inner)) == layers.changers(inner) == []
    grey = Wrapper(inner, spaces.Box(0, 255, (84, 84, 1), np.uint8))
    with pytest.raises(UnsupportedSpaceError):
        envs.task_spec(grey)


def test_wrappers_that_change_observations_are_told_from_the_outermost_inwards():
    env = wrappers.RecordEpisodeStatistics(
        wrappers.DelayObservation(wrappers.NormalizeObservation(plain("CartPole-v1")), 1)
    )
    expected = ["DelayObservation", "NormalizeObservation"]
    assert layers.changers(env) == expected
    assert layers.changers(SyncVectorEnv([lambda: env])) == expected
    # Only the spec is known of these.
    assert layers.changers(Foreign(env)) == expected
    assert layers.changers(gato_gym.make(BOXING)) == []
    assert layers.changers(Foreign(gato_gym.make(BOXING))) == []


def test_a_twin_of_copies_elsewhere_is_built_once():
    built = []

    def make():
        built.append(plain("CartPole-v1"))
        return built[-1]

    vec = AsyncVectorEnv([make])
    before = len(built)
    assert layers.first_copy(vec) is layers.first_copy(vec)
    assert len(built) == before + 1
    vec.close()
