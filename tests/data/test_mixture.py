"""Weights of tasks and draws of episodes."""

from types import SimpleNamespace

import numpy as np
import pytest

from gato_gym.data.mixture import Mixture, TaskEpisodes
from gato_gym.errors import UnknownTaskError


def entries(*steps, expert="one"):
    return [SimpleNamespace(steps=n, expert=expert) for n in steps]


class ListedCorpus:
    """Episodes without files."""

    def __init__(self, **tasks):
        self._tasks = tasks

    def tasks(self):
        return tuple(sorted(self._tasks))

    def episodes(self, task):
        return tuple(self._tasks[task])


CORPUS = ListedCorpus(a=entries(5), b=entries(5), c=entries(1000))


def counts(mixture, allowed, draws=8000):
    rng = np.random.default_rng(0)
    return np.bincount([mixture.draw(rng, np.array(allowed)) for _ in range(draws)], minlength=3)


def test_all_tasks_alike_by_default():
    mixture = Mixture(CORPUS)
    assert mixture.shares == {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    # Standard error 42; long episodes get no more than short ones.
    np.testing.assert_allclose(counts(mixture, [True] * 3), 8000 / 3, atol=170)


def test_weights_are_shares():
    mixture = Mixture(CORPUS, {"c": 6, "a": 2})
    assert [task.task for task in mixture.tasks] == ["c", "a"]
    assert mixture.shares == {"c": 0.75, "a": 0.25}
    np.testing.assert_allclose(counts(mixture, [True] * 2)[:2], [6000, 2000], atol=160)


@pytest.mark.parametrize("allowed", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 0, 1]])
def test_only_allowed_tasks_are_drawn(allowed):
    mixture = Mixture(CORPUS, {"a": 1, "b": 2, "c": 3})
    found = counts(mixture, np.array(allowed, bool), draws=500)
    assert (found[:3] > 0).tolist() == [bool(x) for x in allowed]


def test_draw_is_a_function_of_the_generator():
    mixture = Mixture(CORPUS)
    draws = [
        [mixture.draw(rng, np.ones(3, bool)) for _ in range(20)]
        for rng in (np.random.default_rng(7), np.random.default_rng(7), np.random.default_rng(8))
    ]
    assert draws[0] == draws[1] != draws[2]


def test_unknown_task_names_the_nearest():
    with pytest.raises(UnknownTaskError, match=r"no episodes of 'aa'.*'a'"):
        Mixture(CORPUS, {"aa": 1})


def test_empty_corpus():
    with pytest.raises(UnknownTaskError, match="gato-gym collect"):
        Mixture(ListedCorpus())


@pytest.mark.parametrize("weight", [0, -1, float("nan")])
def test_weights_must_be_positive(weight):
    with pytest.raises(ValueError, match="weight of a must be positive"):
        Mixture(CORPUS, {"a": weight})


def test_each_step_is_equally_likely():
    task = TaskEpisodes("a", entries(1, 2, 7))
    rng = np.random.default_rng(0)
    found = np.bincount([task.draw(rng) for _ in range(10_000)])
    np.testing.assert_allclose(found, [1000, 2000, 7000], atol=150)


def test_prompts_come_from_another_episode_of_the_same_expert():
    mixed = [*entries(3, 3), *entries(3, expert="two"), *entries(3), *entries(3, expert="three")]
    task = TaskEpisodes("a", mixed)
    rng = np.random.default_rng(0)
    for index, others in {0: {1, 3}, 1: {0, 3}, 3: {0, 1}, 2: {None}, 4: {None}}.items():
        assert {task.draw_other(index, rng) for _ in range(100)} == others


def test_other_episodes_are_equally_likely():
    task = TaskEpisodes("a", entries(3, 3, 3, 3))
    rng = np.random.default_rng(0)
    found = np.bincount([task.draw_other(1, rng) for _ in range(6000)], minlength=4)
    assert found[1] == 0
    np.testing.assert_allclose(found[[0, 2, 3]], 2000, atol=150)
