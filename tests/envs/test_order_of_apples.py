"""The garden's contract: rule, return, seeds, walls, spaces, errors, pictures."""

import math
import re

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import gato_gym
from gato_gym.envs.order_of_apples import ENV_ID, HORIZON
from gato_gym.envs.order_of_apples.env import ACTIONS, BODY, MAX_RETURN, OrderOfApplesEnv
from gato_gym.envs.order_of_apples.world import (
    GOLD,
    GREEN,
    HEADINGS,
    SIDE,
    distances,
    generate,
)

ALL = GREEN + GOLD


@pytest.fixture
def env():
    return OrderOfApplesEnv(image_size=(32, 48))


def take(env, number):
    """Put the player next to an apple so that the next step, against whatever, touches it."""
    env.position = tuple(env.world.apples[number])
    return env.step(4)


def play(env, order):
    env.reset(seed=3)
    rewards = []
    for number in order:
        _, reward, terminated, truncated, info = take(env, number)
        rewards.append(reward)
        assert not truncated
        assert terminated == (len(rewards) == len(order) == ALL)
    return rewards, info


def test_perfect_order_returns_19(env):
    rewards, info = play(env, range(ALL))
    assert rewards == [1.0] * GREEN + [2.0] * GOLD
    assert sum(rewards) == MAX_RETURN == 19.0
    assert info == {"success": True, "green_left": 0, "gold_left": 0}


def test_a_gold_apple_out_of_turn_costs_what_it_is_worth_and_is_lost(env):
    rewards, info = play(env, [GREEN, *range(GREEN), *range(GREEN + 1, ALL)])
    assert rewards[0] == -2.0
    assert sum(rewards) == 19.0 - 4.0
    assert info["success"] is False
    assert info["gold_left"] == 0


def test_who_does_not_see_colours_gets_about_1():
    """A gold apple comes after all nine green ones in one of ten orders: 9 + 5 * (0.2 - 1.8)."""
    env, rng = OrderOfApplesEnv(image_size=(16, 16)), np.random.default_rng(0)
    assert sum(play(env, [*range(GREEN, ALL), *range(GREEN)])[0]) == GREEN - 2 * GOLD
    returns = [sum(play(env, rng.permutation(ALL).tolist())[0]) for _ in range(150)]
    assert np.mean(returns) == pytest.approx(1.0, abs=0.8)


def test_an_unfinished_episode_is_no_success(env):
    _, info = play(env, range(4))
    assert info == {"success": False, "green_left": GREEN - 4, "gold_left": GOLD}


def test_the_sky_tells_when_gold_may_be_taken(env):
    env.reset(seed=1)
    day = env._observe()
    env.left = [n for n in env.left if n >= GREEN]
    dusk = env._observe()
    sky_day, sky_dusk = day[0].mean(0), dusk[0].mean(0)
    assert sky_day[2] > sky_day[0]
    assert sky_dusk[0] > sky_dusk[2]


@pytest.mark.parametrize("seed", range(8))
def test_gardens_can_be_solved(seed):
    world = generate(np.random.default_rng(seed))
    cells = world.apples.astype(int)
    assert not world.walls[cells[:, 0], cells[:, 1]].any()
    apart = np.abs(cells[:, None] - cells[None]).max(-1) + 9 * np.eye(ALL, dtype=int)
    assert apart.min() >= 2
    blocked = world.walls.copy()
    blocked[cells[GREEN:, 0], cells[GREEN:, 1]] = True
    steps = distances(blocked, np.array([[int(x) for x in world.start]]))
    assert (steps[~blocked] >= 0).all()
    assert (steps[blocked] == -1).all()
    assert world.walls[[0, -1]].all()
    assert world.walls[:, [0, -1]].all()


def test_distances_go_around_walls_from_the_nearest_source():
    blocked = np.ones((5, 6), bool)
    blocked[1, 1:5] = blocked[3, 1:5] = blocked[2, 4] = False
    steps = distances(blocked, np.array([[1, 1]]))
    assert steps[3, 1] == 8
    assert steps[0, 0] == -1
    assert distances(blocked, np.array([[1, 1], [3, 2]]))[3, 1] == 1


def test_gymnasium_checker():
    made = gymnasium.make(ENV_ID, render_mode="rgb_array", width=64, height=48)
    check_env(made.unwrapped)


def test_same_seed_and_actions_repeat_bit_by_bit():
    actions = np.random.default_rng(5).integers(0, len(ACTIONS), 300).tolist()

    def roll(made, seed):
        observation, info = made.reset(seed=seed)
        return [(observation.tobytes(), info)] + [
            (step[0].tobytes(), *step[1:]) for step in map(made.step, actions)
        ]

    made = OrderOfApplesEnv()
    first = roll(made, 11)
    roll(made, 12)
    assert roll(made, 11) == first
    assert roll(OrderOfApplesEnv(), 11) == first
    assert roll(made, 12)[0] != first[0]


def test_horizon_and_namespace_make():
    made = gymnasium.make(f"gato_gym:{ENV_ID}", image_size=(16, 16))
    made.reset(seed=0)
    for step in range(1, HORIZON + 1):
        *_, terminated, truncated, _ = made.step(4)
        assert not terminated
        assert truncated == (step == HORIZON)


def test_the_suite_draws_at_any_size_and_tokenizes():
    made = gato_gym.make(ENV_ID, tokenize=False)
    assert made.observation_space.shape == (64, 80, 3)
    made = gato_gym.make(ENV_ID, image_size=(48, 96))
    tokens, _ = made.reset(seed=0)
    assert made.unwrapped.image_size == (48, 96)
    assert tokens["patches"].shape == (18, 16, 16, 3)


def test_walls_keep_the_body_out(env):
    rng = np.random.default_rng(0)
    env.reset(seed=2)
    walls = env.world.walls
    for _ in range(2000):
        env.position, env.heading = env.moved(int(rng.choice([0, 0, 0, 2, 3, 6, 7])))
        low, high = (
            (np.array(env.position) - BODY).astype(int),
            (np.array(env.position) + BODY).astype(int),
        )
        assert not walls[low[0] : high[0] + 1, low[1] : high[1] + 1].any()


@pytest.mark.parametrize(
    ("action", "ahead", "left", "turn"),
    [(0, 1, 0, 0), (1, -1, 0, 0), (2, 0, 1, 0), (3, 0, -1, 0), (4, 0, 0, 1), (5, 0, 0, -1)],
)
def test_actions_move_as_named(env, action, ahead, left, turn):
    env.reset(seed=0)
    # An open place: the middle of four free cells.
    free = ~env.world.walls
    x, y = np.argwhere(free[1:, 1:] & free[:-1, 1:] & free[1:, :-1] & free[:-1, :-1])[0] + 1.0
    env.position, env.heading = (float(x), float(y)), 2
    (to_x, to_y), heading = env.moved(action)
    angle = 2 * math.pi * 2 / HEADINGS
    expected = np.array([math.cos(angle), math.sin(angle)]) * ahead * 0.2
    expected += np.array([-math.sin(angle), math.cos(angle)]) * left * 0.2
    np.testing.assert_allclose(np.array([to_x - x, to_y - y]), expected, atol=1e-12)
    assert heading == 2 + turn


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"render_mode": "human"}, "render_mode='human' is unknown"),
        ({"image_size": (8, 64)}, r"image_size=(8, 64): sides must be at least 16"),
        ({"image_size": (33, 64)}, "height must be even"),
        ({"height": 15}, r"(height, width)=(15, 320)"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        OrderOfApplesEnv(**kwargs)


def test_unknown_argument_is_refused():
    with pytest.raises(TypeError, match="colour"):
        gymnasium.make(ENV_ID, colour="red")


def test_bad_use(env):
    with pytest.raises(RuntimeError, match="reset"):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action 8 is not in \[0, 8\)"):
        env.step(8)
    with pytest.raises(TypeError):
        env.step(0.5)


def test_render_without_mode_warns(env):
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="rgb_array"):
        assert env.render() is None


def test_cells_of_the_garden_fit_the_tables():
    assert SIDE < 16
