"""Scores: worked values of the normalisation, and what a bootstrap interval must do."""

import json
import warnings
from dataclasses import replace
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest

from gato_gym import envs
from gato_gym.agents import RandomAgent
from gato_gym.agents.experts import load_expert
from gato_gym.errors import UnknownTaskError
from gato_gym.evaluation import scores
from gato_gym.evaluation.rollout import EpisodeResult
from gato_gym.evaluation.scores import (
    agent_name,
    bootstrap_interval,
    evaluate,
    normalize,
    score,
)

KEYS = {
    *("task", "episodes", "seed", "mean_return", "ci95", "random", "expert", "normalized"),
    *("success_rate", "checkpoint", "steps_per_second", "mean_length", "returns", "num_envs"),
}


def results(returns, success=None, seed=7000):
    return [EpisodeResult(seed + i, r, 10, success, True, 0.5) for i, r in enumerate(returns)]


@pytest.mark.parametrize(
    ("value", "random", "expert", "expected"),
    [
        (500.0, 20.0, 500.0, 1.0),
        (20.0, 20.0, 500.0, 0.0),
        (260.0, 20.0, 500.0, 0.5),
        (-21.0, -20.0, 20.0, -0.025),
        (110.0, 0.0, 100.0, 1.1),
        (5.0, None, 10.0, None),
        (5.0, 1.0, None, None),
        (5.0, 10.0, 10.0, None),
        (5.0, 10.0, 2.0, None),
    ],
)
def test_normalisation(value, random, expert, expected):
    assert normalize(value, random, expert) == (expected and pytest.approx(expected))


@pytest.mark.parametrize("values", [[500.0] * 50, [3.0]])
def test_a_constant_sample_has_an_interval_of_no_width(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bootstrap_interval(values) == (values[0], values[0])


def test_the_interval_is_repeatable_and_holds_the_mean():
    values = list(np.random.default_rng(1).normal(100, 15, 50))
    low, high = bootstrap_interval(values)
    assert low < np.mean(values) < high
    assert (low, high) == bootstrap_interval(values)


def test_the_interval_is_as_wide_as_theory_says():
    # Normal approximation: 2 * 1.96 * s / sqrt(n).
    values = np.random.default_rng(2).normal(0, 1, 400)
    low, high = bootstrap_interval(list(values))
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)


def test_the_interval_narrows_with_more_episodes():
    few = bootstrap_interval([0.0, 1.0] * 5)
    many = bootstrap_interval([0.0, 1.0] * 50)
    assert few[1] - few[0] > 2 * (many[1] - many[0])


def test_a_score_of_played_episodes():
    spec = envs.task_spec("CartPole-v1")
    found = score(spec, results([1.0, 2.0, 6.0]), "x")
    assert (found.mean_return, found.seed, found.episodes) == (3.0, 7000, 3)
    assert found.steps_per_second == pytest.approx(20)
    assert found.mean_length == 10
    assert found.success_rate is None


@pytest.mark.parametrize(("success", "rate"), [(True, 1.0), (False, 0.0), (None, None)])
def test_success_is_counted_where_the_task_has_one(success, rate):
    spec = envs.task_spec("gato_gym/BlockStacking-v0")
    assert score(spec, results([0.0, 1.0], success), "x").success_rate == rate


def test_the_json_has_exactly_the_documented_keys():
    found = evaluate("CartPole-v1", RandomAgent(0), episodes=2, seed=7000)
    again = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert set(again) == KEYS
    assert again["ci95"] == list(found.ci95)


def test_the_expert_balances_the_pole():
    found = evaluate("CartPole-v1", load_expert("CartPole-v1"), episodes=2, seed=7000)
    assert found.returns == (500.0, 500.0)
    assert found.ci95 == (500.0, 500.0)


def test_the_same_seed_gives_the_same_returns_and_seeds_count_up():
    def play(seed, episodes):
        expert = load_expert("CartPole-v1")
        return evaluate("CartPole-v1", expert, episodes=episodes, seed=seed).mean_length

    assert play(3, 1) == play(3, 1)


def test_environment_options_reach_the_environment():
    seen = []

    class Spy(RandomAgent):
        def reset(self, env):
            seen.append(env.render_mode)
            super().reset(env)

    evaluate("CartPole-v1", Spy(0), episodes=1, seed=0, render_mode="rgb_array")
    assert seen == ["rgb_array"]


@pytest.mark.parametrize("episodes", [0, -1])
def test_no_episodes_is_an_error(episodes):
    with pytest.raises(ValueError, match="at least 1"):
        evaluate("CartPole-v1", RandomAgent(0), episodes=episodes, seed=0)


def test_an_unknown_task_is_an_error():
    with pytest.raises(UnknownTaskError, match="CartPole-v1"):
        evaluate("CartPol-v1", RandomAgent(0), episodes=1, seed=0)


def test_names_of_agents():
    class Named:
        checkpoint = "bundled"

    assert agent_name(Named()) == "bundled"
    assert agent_name(RandomAgent(0)) == "RandomAgent"


# Many episodes at once


class Copycat:
    """Pushes the pole's cart after the pole, for one environment or a batch."""

    def reset(self, env_or_task):
        pass

    def act(self, obs, deterministic=True):
        return int(obs[2] > 0)

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return [None if obs is None else self.act(obs) for obs in observation], state


class Fragile(gymnasium.Wrapper):
    """Counts copies that are open, and raises in the third step of an episode if asked to."""

    open = made = 0
    error = None

    def __init__(self, env):
        super().__init__(env)
        Fragile.open += 1
        Fragile.made += 1

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.steps += 1
        if self.error is not None and self.steps == 3:
            raise self.error
        return super().step(action)

    def close(self):
        Fragile.open -= 1
        super().close()


@pytest.fixture
def fragile(monkeypatch):
    make = envs.make
    monkeypatch.setattr(envs, "make", lambda *args, **kwargs: Fragile(make(*args, **kwargs)))
    monkeypatch.setattr(Fragile, "open", 0)
    monkeypatch.setattr(Fragile, "made", 0)
    return monkeypatch


def test_the_score_is_the_same_however_many_play(fragile):
    alone = evaluate("CartPole-v1", Copycat(), episodes=5, seed=3)
    assert (alone.num_envs, Fragile.made) == (1, 1)
    assert len(set(alone.returns)) > 2
    for many, used in ((2, 2), (5, 5), (9, 5)):
        Fragile.made = 0
        found = evaluate("CartPole-v1", Copycat(), episodes=5, seed=3, num_envs=many)
        assert (found.num_envs, Fragile.made, Fragile.open) == (used, used, 0)
        assert replace(found, steps_per_second=alone.steps_per_second, num_envs=1) == alone


def test_steps_per_second_is_of_the_wall_clock(monkeypatch):
    clock = iter([100.0, 102.0])
    monkeypatch.setattr(scores, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    found = evaluate("CartPole-v1", Copycat(), episodes=4, seed=3, num_envs=4)
    assert found.steps_per_second == pytest.approx(sum(found.returns) / 2)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("unstable")])
@pytest.mark.parametrize("many", [1, 3])
def test_all_copies_are_closed_whatever_happens(fragile, error, many):
    fragile.setattr(Fragile, "error", error)
    with pytest.raises(type(error)):
        evaluate("CartPole-v1", Copycat(), episodes=5, seed=3, num_envs=many)
    assert (Fragile.made, Fragile.open) == (many, 0)


def test_who_cannot_play_in_a_batch_is_told_before_copies_are_made(fragile):
    with pytest.raises(TypeError, match="num_envs=1"):
        evaluate("CartPole-v1", RandomAgent(0), episodes=4, seed=0, num_envs=4)
    assert (Fragile.made, Fragile.open) == (1, 0)
    with pytest.raises(ValueError, match="num_envs must be at least 1, got 0"):
        evaluate("CartPole-v1", Copycat(), episodes=4, seed=0, num_envs=0)
