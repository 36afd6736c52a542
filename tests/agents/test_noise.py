"""Noise injection: rate, bursts, determinism, and the expert's own action kept aside."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from gato_gym.agents import Agent
from gato_gym.agents.experts.noise import NoisyExpert
from gato_gym.errors import UnsupportedSpaceError


class Constant:
    """Always the same action."""

    def __init__(self, action):
        self.action = action

    def reset(self, env):
        pass

    def act(self, obs, deterministic=True):
        return self.action


class Still(gymnasium.Env):
    """Nothing happens; only the action space matters."""

    def __init__(self, action_space):
        self.action_space = action_space


SPACES = [
    (spaces.Discrete(6, start=2), np.int64(2)),
    (spaces.MultiDiscrete([3, 9]), np.array([0, 0])),
    (spaces.Box(-1, 1, (5,), np.float32), np.zeros(5, np.float32)),
    (spaces.MultiBinary(5), np.zeros(5, np.int8)),
]


def play(space, clean, rate, steps=4000, seed=0, burst=(2, 6)):
    agent = NoisyExpert(Constant(clean), rate, seed, burst)
    agent.reset(Still(space))
    actions = []
    for _ in range(steps):
        action = agent.act(None)
        assert space.contains(action)
        assert agent.last_expert_action is clean
        actions.append(np.array(action))
    return np.stack(actions)


@pytest.mark.parametrize(("space", "clean"), SPACES)
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_share_of_noisy_steps(space, clean, rate):
    actions = play(space, clean, rate).reshape(4000, -1)
    noisy = (actions != np.reshape(clean, -1)).any(axis=1).mean()
    # A random discrete action may by chance be the expert's, here in at most 1 of 6 draws.
    assert 0.75 * rate < noisy < 1.1 * rate


@pytest.mark.parametrize(("space", "clean"), SPACES)
def test_rate_zero_and_one(space, clean):
    assert (play(space, clean, 0.0, 100) == clean).all()
    assert (play(space, clean, 1.0, 200).reshape(200, -1) != clean).any(axis=1).mean() > 0.7


def test_bursts_hold_or_vary_within_their_length():
    space, clean = SPACES[2]
    actions = play(space, clean, 0.05, burst=(4, 4))
    noisy = (actions != 0).any(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], noisy, [0]])))
    lengths = edges[1::2] - edges[::2]
    # Two bursts may meet, so lengths are multiples of 4; the last one may be cut.
    assert set((lengths[:-1] % 4).tolist()) == {0}
    assert np.median(lengths) == 4


@pytest.mark.parametrize(("space", "clean"), SPACES)
def test_deterministic_by_seed_and_different_by_episode(space, clean):
    first, again = play(space, clean, 0.5, 50), play(space, clean, 0.5, 50)
    np.testing.assert_array_equal(first, again)
    assert (play(space, clean, 0.5, 50, seed=1) != first).any()
    agent = NoisyExpert(Constant(clean), 0.5, seed=0, burst=(2, 6))
    for _ in range(2):
        agent.reset(Still(space))
        episode = np.stack([np.array(agent.act(None)) for _ in range(50)])
    assert (episode != first).any()


def test_is_an_agent():
    assert isinstance(NoisyExpert(Constant(0), 0.1, 0), Agent)


@pytest.mark.parametrize(
    ("rate", "burst"), [(-0.1, (1, 2)), (1.1, (1, 2)), (0.5, (0, 2)), (0.5, (3, 2))]
)
def test_wrong_settings_are_refused(rate, burst):
    with pytest.raises(ValueError, match=r"rate|burst"):
        NoisyExpert(Constant(0), rate, 0, burst)


def test_a_space_without_random_actions_is_refused():
    agent = NoisyExpert(Constant(np.zeros(1)), 1.0, 0)
    agent.reset(Still(spaces.Box(-np.inf, np.inf, (1,))))
    with pytest.raises(UnsupportedSpaceError, match="bounded Box"):
        agent.act(None)


def starts(seed, limit, rate=0.0, steps=40):
    """The first actions, and which of them were random."""
    agent = NoisyExpert(Constant(np.zeros(3, np.float32)), rate, seed, random_start=limit)
    agent.reset(Still(spaces.Box(-1, 1, (3,), np.float32)))
    actions = np.stack([agent.act(None) for _ in range(steps)])
    assert (agent.last_expert_action == 0).all()
    return actions, actions.any(axis=1)


def test_a_random_start_is_as_long_as_its_seed_says():
    counts = []
    for seed in range(300):
        actions, random = starts(seed, 6)
        length = int(random.sum())
        assert random[:length].all() and not random[length:].any()
        np.testing.assert_array_equal(actions, starts(seed, 6)[0])
        counts.append(length)
    # Each of 0 ... 6 is expected 43 times.
    assert set(counts) == set(range(7)) and min(np.bincount(counts)) > 20


def test_a_random_start_leaves_the_bursts_as_they_were():
    plain, _ = starts(5, 0, rate=0.4, steps=200)
    late, random = starts(5, 9, rate=0.4, steps=200)
    assert (plain != late).any()
    # The bursts come out as without it, as late as the start was long.
    agent = NoisyExpert(Constant(np.zeros(3, np.float32)), 0.4, 5, random_start=9)
    agent.reset(Still(spaces.Box(-1, 1, (3,), np.float32)))
    length = agent._start_left
    np.testing.assert_array_equal(late[length:], plain[: 200 - length])
    assert random[:length].all()


def test_a_negative_random_start_is_refused():
    with pytest.raises(ValueError, match="random_start -1"):
        NoisyExpert(Constant(0), 0.0, 0, random_start=-1)
