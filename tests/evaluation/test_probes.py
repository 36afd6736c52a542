"""Rollouts that are compared, and values that do not fit their space."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from gato_gym import testing
from gato_gym.evaluation.probes import (
    EnvironmentFailed,
    compare_rollouts,
    first_difference,
    misfits,
    trace,
)


def test_same_seeds_give_the_same_rollouts():
    assert compare_rollouts(testing.make_toy, seed=3, steps=150) is None


def test_the_first_difference_is_named():
    starts = iter([None, 7])
    found = compare_rollouts(lambda: gym.make(testing.TOY_TASK, nan_step=next(starts)), steps=30)
    assert found == "observation 'position' at step 7"


def test_a_rollout_goes_on_after_the_end_of_an_episode():
    made = testing.make_toy()
    played = trace(made, [1] * 150, seed=5)
    assert played.steps == 150
    assert played.ended
    resets = [where for where, _ in played.events if where.startswith("reset")]
    assert resets[0] == "reset(seed=5)"
    assert resets[1].startswith("reset(seed=6) after step ")


def test_episodes_of_other_lengths_differ():
    made = testing.make_toy()
    expert = testing.ToyExpert()
    expert.reset(made)
    short = trace(gym.make(testing.TOY_TASK, max_episode_steps=10), [1] * 12, seed=5)
    long = trace(gym.make(testing.TOY_TASK, max_episode_steps=11), [1] * 12, seed=5)
    assert first_difference(short, long) == "truncated at step 10"


def test_failures_say_where():
    class Broken(testing.ToyEnv):
        def reset(self, *, seed=None, options=None):
            raise KeyError("door")

    with pytest.raises(EnvironmentFailed, match=r"reset\(seed=2\) raises KeyError: 'door'"):
        trace(Broken(), [], seed=2)


@pytest.mark.parametrize(
    ("space", "value", "problem"),
    [
        (spaces.Discrete(3), np.int64(3), "outside of Discrete"),
        (spaces.MultiBinary(2), np.array([0, 2], np.int8), "outside of MultiBinary"),
        (spaces.Box(0, 1, (2,)), np.array([-0.5, 0], np.float32), "below the lowest value 0.0"),
        (spaces.Box(-np.inf, np.inf, (1,)), np.array([np.inf], np.float32), "not finite: inf"),
        (spaces.Dict(a=spaces.Discrete(2)), np.zeros(2), "is a ndarray, its space a Dict"),
        (spaces.Text(5), 3, "its space has text"),
    ],
)
def test_misfits(space, value, problem):
    (misfit,) = misfits(space, value)
    assert problem in misfit.problem
    assert misfit.fix


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3),
        spaces.Box(-1, 1, (2, 2), np.float64),
        spaces.Box(0, 255, (16, 16, 3), np.uint8),
        spaces.Dict(a=spaces.Text(5), b=spaces.Dict(c=spaces.MultiDiscrete([2, 3]))),
    ],
)
def test_samples_fit(space):
    assert not list(misfits(space, space.sample()))
