"""Shuffled instructions: other words, the same task, and all of it decided by the seed."""

import string

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from gato_gym import envs
from gato_gym.evaluation.controls import ShuffledText, make_shuffled

STACKING = "gato_gym/BlockStacking-Instructed-v0"
PICTURED = "gato_gym/BabyAI-PickupDist-pixels-v0"
LETTERS = string.ascii_lowercase + " "
KEYS = {STACKING: "instruction", PICTURED: "mission"}


@pytest.fixture(params=KEYS, scope="module")
def pair(request):
    """A task, and the same with shuffled words."""
    pytest.importorskip("mujoco" if request.param == STACKING else "minigrid")
    made = envs.make(request.param), make_shuffled(request.param)
    yield made
    for env in made:
        env.close()


class Nested(gym.Env):
    """Says one of some things two levels down; `info` tells which."""

    observation_space = spaces.Dict(
        {
            "told": spaces.Dict({"order": spaces.Text(9, charset=LETTERS)}),
            "number": spaces.Box(0, 9, (1,), np.float32),
        }
    )
    action_space = spaces.Discrete(2)

    def __init__(self, orders=("go", "wait", "stop")):
        self.orders = orders

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.order = self.orders[self.np_random.integers(len(self.orders))]
        return self._seen(), {"order": self.order}

    def step(self, action):
        return self._seen(), 1.0, False, False, {"order": self.order}

    def _seen(self):
        return {"told": {"order": self.order}, "number": np.array([3], np.float32)}


def test_only_the_words_are_exchanged(pair):
    true, shuffled = pair
    key = KEYS[true.spec.id]
    shuffled.action_space.seed(0)
    for seed in range(6):
        seen, info = true.reset(seed=seed)
        shown, shown_info = shuffled.reset(seed=seed)
        assert shown[key] != seen[key]
        words = shown[key]
        assert shown_info == info
        for _ in range(4):
            action = shuffled.action_space.sample()
            seen, *rest = true.step(action)
            shown, *shown_rest = shuffled.step(action)
            assert shown_rest == rest
            assert shown.pop(key) == words
            del seen[key]
            np.testing.assert_equal(shown, seen)


def test_the_task_is_still_itself(pair):
    true, shuffled = pair
    assert shuffled.spec == true.spec
    assert shuffled.observation_space == true.observation_space
    assert shuffled.action_space == true.action_space
    assert envs.task_spec(shuffled) == envs.task_spec(true)
    assert shuffled.unwrapped is not shuffled.twin.unwrapped


def test_the_words_are_a_function_of_the_seed(pair):
    _, shuffled = pair
    key = KEYS[shuffled.spec.id]
    said = [shuffled.reset(seed=seed)[0][key] for seed in range(10)]
    shuffled.reset()  # without a seed it only goes on
    assert [shuffled.reset(seed=seed)[0][key] for seed in reversed(range(10))] == said[::-1]
    assert len(set(said)) > 4


def test_another_sentence_is_about_another_pair():
    pytest.importorskip("mujoco")
    env = make_shuffled(STACKING)
    colours = ("red", "blue", "green")
    pairs = set()
    for seed in range(60):
        observation, info = env.reset(seed=seed)
        shown = [word for word in observation["instruction"].split() if word in colours]
        assert shown != [info["upper"], info["lower"]]
        pairs.add((*shown, info["upper"], info["lower"]))
    assert len(pairs) > 20  # of the 30 that there are
    env.close()


def test_words_below_other_keys_are_found():
    env = ShuffledText(Nested(), Nested())
    for seed in range(20):
        shown, info = env.reset(seed=seed)
        assert shown["told"]["order"] in {"go", "wait", "stop"} - {info["order"]}
        assert shown["number"] == 3
        assert env.step(0)[0] == shown


@pytest.mark.parametrize(
    ("true", "alike", "other"),
    [
        ("pick up the red ball", "pick up a red object", "pick up the red key"),
        ("pick up a key", "pick up the green key", "pick up a ball"),
        ("go to the door on your left", "go to the red door", "go to the door on your right"),
        ("put the red box next to the key", "put the box next to a blue key", "go to the key"),
        (
            "put the red box next to the key",
            "put the box next to a key",
            "put the key next to a box",
        ),
    ],
)
def test_another_mission_is_one_that_the_same_things_cannot_fulfil(true, alike, other):
    class Says(Nested):
        observation_space = spaces.Dict({"mission": spaces.Text(60, charset=LETTERS)})

        def _seen(self):
            return {"mission": self.order}

    shown = {
        ShuffledText(Says([true]), Says([true, alike, other])).reset(seed=seed)[0]["mission"]
        for seed in range(20)
    }
    assert shown == {other}


def test_a_task_that_always_says_the_same_has_no_control():
    env = ShuffledText(Nested(["go"]), Nested(["go"]))
    with pytest.raises(ValueError, match="200 other episodes ask for what 'go' asks for"):
        env.reset(seed=0)


def test_a_task_without_words_has_no_control():
    with pytest.raises(ValueError, match=r"CartPole-v1 observes no text .* choose a task with"):
        make_shuffled("CartPole-v1")


def test_both_environments_are_closed():
    closed = []

    class Counting(Nested):
        def close(self):
            closed.append(self)

    one, two = Counting(), Counting()
    ShuffledText(one, two).close()
    assert closed == [two, one]
