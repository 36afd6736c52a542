"""Evaluation on a Ray cluster: the scores of one machine, whoever dies meanwhile."""

import os
import signal
import sys
from dataclasses import replace

import pytest

from gato_gym.agents import RandomAgent
from gato_gym.agents.experts import load_expert
from gato_gym.data.cluster import import_ray
from gato_gym.errors import UnknownTaskError
from gato_gym.evaluation.cluster import OwnExperts, RandomPlay, evaluate_on_cluster
from gato_gym.evaluation.scores import evaluate

TASKS = ["CartPole-v1", "Acrobot-v1"]
RUN = {"episodes": 4, "seed": 7}


@pytest.fixture(scope="module", autouse=True)
def classes_of_this_file_travel():
    """Workers cannot import a test."""
    cloudpickle = import_ray().cloudpickle
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


class Mortal(RandomPlay):
    """The third episode of CartPole kills its process, once."""

    grave = None

    def __call__(self, task, episode):
        if task == "CartPole-v1" and episode == 2 and not self.grave.exists():
            self.grave.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(task, episode)


def without_speed(scores):
    """How fast it went is all that may differ."""
    return [replace(one, steps_per_second=0.0) for one in scores]


def random_scores():
    return [evaluate(task, RandomAgent(7), checkpoint="random", **RUN) for task in TASKS]


def test_experts_score_as_on_one_machine(ray_cluster):
    names = ["sb3/CartPole-v1", "analytic/classic"]
    found = evaluate_on_cluster(ray_cluster.address, TASKS, OwnExperts(), names, **RUN)
    assert all(one.steps_per_second > 0 for one in found)
    local = [
        evaluate(task, load_expert(task), checkpoint=name, **RUN)
        for task, name in zip(TASKS, names, strict=True)
    ]
    assert without_speed(found) == without_speed(local)


def test_a_killed_worker_changes_no_score(ray_cluster, tmp_path, caplog):
    Mortal.grave = tmp_path / "grave"
    names = ["random"] * 2
    found = evaluate_on_cluster(ray_cluster.address, TASKS, Mortal(7), names, **RUN)
    assert without_speed(found) == without_speed(random_scores())
    assert "which played CartPole-v1 (seed 9)" in caplog.text


class Unwell(RandomPlay):
    """Has no agent for Acrobot."""

    def __call__(self, task, episode):
        if task == "Acrobot-v1":
            raise UnknownTaskError("no agent for Acrobot")
        return super().__call__(task, episode)


def test_what_an_agent_raises_is_passed_on(ray_cluster):
    with pytest.raises(UnknownTaskError, match=r"^no agent for Acrobot$"):
        evaluate_on_cluster(ray_cluster.address, TASKS, Unwell(7), ["random"] * 2, **RUN)


def test_random_play_is_that_of_one_agent_for_all_episodes():
    whole = random_scores()[0].returns
    for episode, expected in enumerate(whole):
        agent = RandomPlay(7)("CartPole-v1", episode)
        (found,) = evaluate("CartPole-v1", agent, episodes=1, seed=7 + episode).returns
        assert found == expected
    assert len(set(whole)) > 1


def test_wrong_use_needs_no_cluster():
    with pytest.raises(ValueError, match="at least 1"):
        evaluate_on_cluster("auto", TASKS, RandomPlay(0), ["random"] * 2, episodes=0, seed=0)
    with pytest.raises(UnknownTaskError, match="'CartPole-v1'"):
        evaluate_on_cluster("auto", ["CartPole-v7"], RandomPlay(0), ["random"], **RUN)
