"""Perturbed environments do exactly what they say, and nothing else."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from gato_gym import envs
from gato_gym.evaluation.robustness.wrappers import (
    _SALT,
    GREY,
    CoveredPixels,
    DelayedActions,
    NoisyNumbers,
    NoisyPixels,
    StickyActions,
)

HEIGHT, WIDTH = 32, 48


class Mirror(gymnasium.Env):
    """Keeps the actions that reach it, and shows a picture, numbers and a word."""

    def __init__(self):
        self.action_space = spaces.Discrete(5)
        self.observation_space = spaces.Dict(
            {
                "arm": spaces.Dict({"angles": spaces.Box(-1, 1, (3,), np.float32)}),
                "image": spaces.Box(0, 255, (HEIGHT, WIDTH, 3), np.uint8),
                "words": spaces.Text(9),
            }
        )
        self.actions = []

    def _see(self):
        numbers = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        image = self.np_random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        return {"arm": {"angles": numbers}, "image": image, "words": "go"}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.actions = []
        return self._see(), {}

    def step(self, action):
        self.actions.append(action)
        return self._see(), 1.0, False, False, {}


def play(env, seed, decided):
    """All that is observed."""
    seen = [env.reset(seed=seed)[0]]
    return seen + [env.step(action)[0] for action in decided]


DECIDED = [0, 1, 2, 3, 4, 3, 2, 1, 0, 4, 2, 0]


@pytest.mark.parametrize("probability", [0.0, 0.25, 0.9])
def test_sticky_actions_repeat_what_was_executed(probability):
    env = StickyActions(Mirror(), probability)
    play(env, 7, DECIDED)
    draws, expected = np.random.default_rng((_SALT, 7)), []
    for action in DECIDED:
        repeats = expected and draws.uniform() < probability
        expected.append(expected[-1] if repeats else action)
    assert env.unwrapped.actions == expected
    assert (expected == DECIDED) == (probability == 0)
    # Another episode begins with nothing to repeat, and the same seed repeats the same ones.
    play(env, 8, DECIDED)
    other = env.unwrapped.actions
    play(env, 7, DECIDED)
    assert env.unwrapped.actions == expected and other[0] == DECIDED[0]


@pytest.mark.parametrize("steps", [1, 3])
def test_delayed_actions_come_late_and_in_order(steps):
    env = DelayedActions(Mirror(), steps)
    play(env, 7, DECIDED)
    executed = env.unwrapped.actions
    assert executed[steps:] == DECIDED[:-steps] and len(executed) == len(DECIDED)
    assert all(env.action_space.contains(action) for action in executed)
    firsts = set()
    for seed in range(20):
        play(env, seed, DECIDED[:steps])
        firsts.add(tuple(env.unwrapped.actions))
        play(env, seed, DECIDED[:steps])
        assert tuple(env.unwrapped.actions) in firsts
    assert len(firsts) > 2


def test_noise_on_numbers_is_gaussian_of_the_given_spread_and_touches_nothing_else():
    spread = {"arm/angles": np.array([1.0, 0.1, 0.0])}
    seen = play(NoisyNumbers(Mirror(), 0.5, spread), 7, DECIDED * 200)
    true = play(Mirror(), 7, DECIDED * 200)
    draws = np.random.default_rng((_SALT, 7))
    for noisy, plain in zip(seen, true, strict=True):
        noise = draws.standard_normal(3) * [0.5, 0.05, 0.0]
        expected = (plain["arm"]["angles"] + noise).astype(np.float32)
        np.testing.assert_array_equal(noisy["arm"]["angles"], expected)
        assert noisy["arm"]["angles"].dtype == np.float32
        assert noisy["words"] == "go"
        np.testing.assert_array_equal(noisy["image"], plain["image"])
    pairs = zip(seen, true, strict=True)
    noise = np.array([noisy["arm"]["angles"] - plain["arm"]["angles"] for noisy, plain in pairs])
    np.testing.assert_allclose(noise.std(0), [0.5, 0.05, 0.0], rtol=0.06, atol=1e-6)


def test_noise_on_pixels_has_its_strength_and_stays_in_range():
    (seen, *_), (true, *_) = play(NoisyPixels(Mirror(), 10), 7, []), play(Mirror(), 7, [])
    noise = np.random.default_rng((_SALT, 7)).standard_normal((HEIGHT, WIDTH, 3), np.float32)
    expected = np.clip(np.rint(true["image"] + 10 * noise), 0, 255)
    np.testing.assert_array_equal(seen["image"], expected)
    assert seen["image"].dtype == np.uint8
    np.testing.assert_array_equal(seen["arm"]["angles"], true["arm"]["angles"])
    inner = (true["image"] > 60) & (true["image"] < 195)
    change = seen["image"].astype(int)[inner] - true["image"].astype(int)[inner]
    assert change.std() == pytest.approx(10, rel=0.06) and abs(change.mean()) < 1


@pytest.mark.parametrize("share", [0.05, 0.25, 1.0])
def test_a_patch_covers_its_share_and_stays_where_it_is(share):
    env, places = CoveredPixels(Mirror(), share), set()
    for seed in range(5):
        seen, true = play(env, seed, DECIDED[:3]), play(Mirror(), seed, DECIDED[:3])
        masks = []
        for covered, plain in zip(seen, true, strict=True):
            mask = (covered["image"] == GREY).all(-1)
            np.testing.assert_array_equal(covered["image"][~mask], plain["image"][~mask])
            masks.append(mask)
        rows, columns = np.nonzero(np.logical_and.reduce(masks))
        assert len(rows) == pytest.approx(share * HEIGHT * WIDTH, rel=0.1)
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        places.add((rows.min(), columns.min()))
    assert len(places) == (1 if share == 1 else 5)


def test_what_there_is_none_of_cannot_be_changed():
    env = envs.make("CartPole-v1")
    with pytest.raises(ValueError, match=r"CartPole-v1 observes nothing that is image"):
        NoisyPixels(env, 8)
    env.close()


def test_chance_of_the_environment_and_of_the_perturbation_are_apart():
    """The same seed begins with the same situation and goes on with the same luck."""
    for wrapped in (StickyActions(Mirror(), 0.5), DelayedActions(Mirror(), 2)):
        seen, true = play(wrapped, 3, DECIDED), play(Mirror(), 3, DECIDED)
        for ours, theirs in zip(seen, true, strict=True):
            np.testing.assert_array_equal(ours["image"], theirs["image"])
        assert wrapped.spec is wrapped.env.spec
