"""Weights of tasks and draws of episodes."""

from types import SimpleNamespace

import numpy as np
import pytest

from gato_gym.data.mixture import Mixture, TaskEpisodes, paper_weights, task_weights
from gato_gym.envs.gato_domains import GATO_DOMAINS
from gato_gym.envs.registry import tasks
from gato_gym.errors import UnknownTaskError


def entries(*steps, expert="one", learner=""):
    return [SimpleNamespace(steps=n, expert=expert, learner=learner) for n in steps]


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
    # In one order, however they are given: the order of samples depends on it.
    assert [task.task for task in mixture.tasks] == list(mixture.shares) == ["a", "c"]
    assert mixture.shares == {"a": 0.25, "c": 0.75}
    np.testing.assert_allclose(counts(mixture, [True] * 2)[:2], [2000, 6000], atol=160)


DOMAINS = {"a": "x", "b": "x", "c": "y", "d": "y", "e": "z"}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"domain:x": 3}, {"a": 1.5, "b": 1.5}),
        ({"domain:y": 1, "domain:x": 4}, {"a": 2, "b": 2, "c": 0.5, "d": 0.5}),
        ({"domain:x": 3, "b": 7}, {"a": 3, "b": 7}),
        ({"e": 2, "domain:z": 1e-9, "f": 1}, None),
        ({"e": 2, "f": 1}, {"e": 2, "f": 1}),  # f is of no domain
        ({"[ac]": 4}, {"a": 2, "c": 2}),
        ({"domain:y": 1, "[abc]": 6, "b": 5}, {"a": 3, "b": 5, "c": 3, "d": 1}),
    ],
)
def test_weights_of_domains(weights, expected):
    if expected is None:
        with pytest.raises(ValueError, match="all tasks of domain:z"):
            task_weights(weights, "fedcba", DOMAINS)
    else:
        assert task_weights(weights, "fedcba", DOMAINS) == expected
        assert list(task_weights(weights, "fedcba", DOMAINS)) == sorted(expected)


def test_weights_of_patterns_that_cannot_be():
    with pytest.raises(ValueError, match=r"b matches both \[ab\] and \[bc\]"):
        task_weights({"[ab]": 1, "[bc]": 1}, "abc", {})
    assert task_weights({"[ab]": 1, "[bc]": 1, "b": 2}, "abc", {}) == {"a": 1, "b": 2, "c": 1}
    with pytest.raises(ValueError, match=r"all tasks of \[ab\] have weights"):
        task_weights({"a": 1, "b": 1, "[ab]": 1}, "abc", {})
    with pytest.raises(UnknownTaskError, match=r"matches 'x\*'"):
        task_weights({"x*": 1}, "abc", {})


def test_unknown_domain_names_the_nearest():
    with pytest.raises(UnknownTaskError, match=r"no episodes of domain 'atary'.*'atari'"):
        task_weights({"domain:atary": 1}, ["a", "b"], {"a": "atari", "b": "babyai"})


def test_the_papers_weights():
    """Table 1, of which 85.21 % are control; ours lack Sokoban, Procgen and Playroom."""
    whole = paper_weights(gato.ours for gato in GATO_DOMAINS.values() if gato.ours)
    assert sum(whole.values()) == pytest.approx(85.21 - 1.33 - 5.34 - 1.33)
    assert whole["domain:manipulation"] == 2 * 1.33
    two = paper_weights(["babyai", "classic", "meta_world", "babyai"])
    assert two == {"domain:babyai": 9.06, "domain:meta_world": 8.96}
    mixture = Mixture(CORPUS, two, {"a": "babyai", "b": "babyai", "c": "meta_world"})
    expected = {"a": 9.06 / 2, "b": 9.06 / 2, "c": 8.96}
    assert mixture.shares == {k: pytest.approx(v / 18.02) for k, v in expected.items()}


def test_every_domain_of_the_table_is_one_of_the_catalogue():
    ours = [gato.ours for gato in GATO_DOMAINS.values() if gato.ours]
    assert set(ours) < {spec.domain for spec in tasks(available=False)}
    assert len(set(ours)) == len(ours)


def test_the_paper_has_no_weight_for_these_domains():
    with pytest.raises(UnknownTaskError, match="no weight for the domains classic, toy_text"):
        paper_weights(["toy_text", "classic"])


def test_a_filter_chooses_the_episodes():
    def played(score, success=None):
        return SimpleNamespace(
            task="a",
            steps=5,
            expert="one",
            learner="",
            noise=0.0,
            seed=0,
            index=0,
            episode_return=score,
            success=success,
        )

    won = [played(9, True), played(8, True), played(10, False)]
    silent = [played(9), played(10), played(1)]
    for filter, kept in (("none", won), ("near-expert", won), ("success", won[:2])):
        (task,) = Mixture(ListedCorpus(a=won), filter=filter).tasks
        assert list(task.entries) == kept
    for filter, kept in (("none", silent), ("near-expert", silent[:2]), ("success", silent)):
        (task,) = Mixture(ListedCorpus(a=silent), filter=filter).tasks
        assert list(task.entries) == kept


def test_a_filter_that_leaves_nothing():
    lost = entries(5)[0]
    lost.success, lost.task = False, "a"
    with pytest.raises(UnknownTaskError, match="'success' keeps none of the 1 episodes of a"):
        Mixture(ListedCorpus(a=[lost]), filter="success")


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


def test_prompts_come_from_another_episode_of_the_same_expert():
    mixed = [*entries(3, 3), *entries(3, expert="two"), *entries(3), *entries(3, expert="three")]
    task = TaskEpisodes("a", mixed)
    rng = np.random.default_rng(0)
    for index, others in {0: {1, 3}, 1: {0, 3}, 3: {0, 1}, 2: {None}, 4: {None}}.items():
        assert {task.draw_other(index, rng) for _ in range(100)} == others


def test_no_prompt_comes_from_what_a_learner_played():
    led = {"learner": "1c4aaffc"}
    mixed = [*entries(3, 3), *entries(3, 3, **led), *entries(3, expert="two", **led)]
    task, rng = TaskEpisodes("a", mixed), np.random.default_rng(0)
    for index, others in {0: {1}, 1: {0}, 2: {0, 1}, 3: {0, 1}, 4: {None}}.items():
        assert {task.draw_other(index, rng) for _ in range(100)} == others


def test_other_episodes_are_equally_likely():
    task = TaskEpisodes("a", entries(3, 3, 3, 3))
    rng = np.random.default_rng(0)
    found = np.bincount([task.draw_other(1, rng) for _ in range(6000)], minlength=4)
    assert found[1] == 0
    np.testing.assert_allclose(found[[0, 2, 3]], 2000, atol=150)
