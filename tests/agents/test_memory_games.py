"""POPGym's experts: perfect where memory is all, and exact about chances elsewhere."""

import itertools

import numpy as np
import pytest

from gato_gym import envs
from gato_gym.agents.experts import load_expert
from gato_gym.agents.experts.memory_games.mines import mine_chances
from gato_gym.evaluation.rollout import rollout

POPGYM = [spec.id for spec in envs.tasks("popgym")]
PERFECT = ("Autoencode", "CountRecall", "RepeatFirst", "RepeatPrevious", "CartPole", "Cartpole")
LEAST = {
    "Battleship": 0.3,
    "Concentration": 0.6,
    "HigherLower": 0.35,
    "MineSweeper": 0.1,
    "MultiarmedBandit": 0.55,
    "Pendulum": 0.7,
}


@pytest.mark.parametrize("task", POPGYM)
def test_plays_well(task):
    env = envs.make(task)
    perfect = any(kind in task for kind in PERFECT)
    episodes = 2 if perfect else 12 if "MineSweeper" in task else 4
    results = rollout(env, load_expert("scripted/popgym"), episodes=episodes, seed=40)
    mean = np.mean([result.episode_return for result in results])
    if perfect:
        assert mean == pytest.approx(1.0)
    else:
        assert mean > next(least for kind, least in LEAST.items() if kind in task)
    env.close()


def counted(size, mines, numbers):
    """The chances by laying mines in all ways."""
    hidden = [square for square in np.ndindex(*size) if square not in numbers]
    ways = np.zeros(len(hidden))
    total = 0
    for chosen in itertools.combinations(range(len(hidden)), mines):
        laid = {hidden[n] for n in chosen}
        fits = all(
            sum((x + dx, y + dy) in laid for dx in (-1, 0, 1) for dy in (-1, 0, 1)) == number
            for (x, y), number in numbers.items()
        )
        if fits:
            total += 1
            ways[list(chosen)] += 1
    return dict(zip(hidden, ways / total, strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_chances_of_mines_against_counting_all_ways(seed):
    rng = np.random.default_rng(seed)
    size, mines = (4, 5), int(rng.integers(1, 5))
    squares = [(int(x), int(y)) for x, y in np.ndindex(*size)]
    order = rng.permutation(len(squares))
    laid = {squares[n] for n in order[:mines]}
    viewed = [squares[n] for n in order[mines : mines + int(rng.integers(0, 9))]]
    numbers = {(x, y): sum(abs(x - i) <= 1 and abs(y - j) <= 1 for i, j in laid) for x, y in viewed}
    expected = counted(size, mines, numbers)
    found = mine_chances(size, mines, numbers)
    assert found.keys() == expected.keys()
    for square, chance in expected.items():
        assert found[square] == pytest.approx(chance, abs=1e-9)


def test_never_clicks_a_square_twice():
    env = envs.make("popgym-MineSweeperHard-v0")
    agent = load_expert("scripted/popgym")
    agent.reset(env)
    observation, _ = env.reset(seed=2)
    clicked = []
    end = False
    while not end:
        action = agent.act(observation)
        clicked.append(tuple(action.tolist()))
        observation, _, terminated, truncated, _ = env.step(action)
        end = terminated or truncated
    assert len(set(clicked)) == len(clicked)
    env.close()
