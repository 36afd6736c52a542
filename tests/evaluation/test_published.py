"""Published scores: whole, on our tasks, and with the figures that their sources print."""

import pytest

from gato_gym.envs.registry import load_tasks, registered
from gato_gym.evaluation import published


def everything():
    return {task: published.of_task(task) for task in load_tasks()}


def test_they_are_of_tasks_of_the_catalogue():
    assert set(published._data()["tasks"]) <= set(load_tasks())
    found = everything()
    assert sum("jat" in one for one in found.values()) == 156
    humans = [task for task, one in found.items() if "human" in one]
    assert len(humans) == 57 and all(registered(task).domain == "atari" for task in humans)
    assert set(published.sources()) == {who for one in found.values() for who in one}


@pytest.mark.parametrize(
    ("task", "normalized"),
    # As the model card prints them, with two digits.
    [("ALE/Boxing-v5", 0.94), ("ALE/Alien-v5", 0.08), ("ALE/BankHeist-v5", 0.74)],
)
def test_jat_is_normalised_by_its_own_references(task, normalized):
    found = published.of_task(task)["jat"]
    assert found["normalized"] == pytest.approx(normalized, abs=0.005)
    assert found["task"] == task


def test_where_their_expert_is_not_above_random_play_nothing_is_normalised():
    found = published.of_task("ALE/Bowling-v5")
    assert found["jat"]["normalized"] is None and found["human"]["normalized"] is None
    assert found["gato"] == {"at_least_human": True}
    assert published.of_task("CartPole-v1") == {}


def test_headlines_fit_the_tasks():
    found, told = everything(), published.headlines()
    jat = [one["jat"]["normalized"] for one in found.values() if "jat" in one]
    # The card counts its two tasks without a scale as 1; our catalogue lacks one of its tasks.
    assert sum(score is None or score >= 0.5 for score in jat) + 1 == told["jat"]["above"]["50"]
    assert len(jat) + 1 == told["jat"]["tasks"]
    assert sum("at_least_human" in one.get("gato", {}) for one in found.values()) == 23
    assert (told["gato"]["above"]["50"], told["gato"]["tasks"]) == (450, 604)
    assert all("source" in one for one in told.values())


def test_domains_are_compared_on_the_same_tasks():
    ours = {"ALE/Boxing-v5": 0.5, "ALE/Bowling-v5": 1.0, "CartPole-v1": 1.0, "Ant-v5": 0.7}
    theirs = [published.of_task(task)["jat"]["normalized"] for task in ("ALE/Boxing-v5", "Ant-v5")]
    found = published.on_the_same_tasks(ours)
    assert found == {"jat": {"mean": pytest.approx(sum(theirs) / 2), "ours": 0.6, "count": 2}}
    assert published.on_the_same_tasks({"CartPole-v1": 1.0}) == {}


def test_answers_may_be_changed():
    published.of_task("ALE/Boxing-v5")["jat"]["mean"] = 0
    published.headlines()["gato"]["above"]["50"] = 0
    assert published.of_task("ALE/Boxing-v5")["jat"]["mean"] == 92.31
    assert published.headlines()["gato"]["above"]["50"] == 450
