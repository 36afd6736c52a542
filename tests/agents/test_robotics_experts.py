"""The scripts of the Fetch arm and of the point mazes reach their goals."""

import numpy as np
import pytest

from gato_gym import envs
from gato_gym.agents.experts import load_expert
from gato_gym.agents.experts.noise import NoisyExpert
from gato_gym.evaluation.rollout import rollout

MAZES = [spec.id for spec in envs.tasks("robotics") if spec.id.startswith("PointMaze_")]


@pytest.mark.parametrize(
    ("task", "least"),
    [("FetchReach-v4", 6), ("FetchPickAndPlace-v4", 6), ("FetchPush-v4", 5), ("FetchSlide-v4", 2)],
)
def test_moves_things_to_their_goals(task, least):
    env = envs.make(task)
    results = rollout(env, load_expert("scripted/fetch"), episodes=6, seed=200)
    assert sum(bool(result.success) for result in results) >= least
    env.close()


@pytest.mark.parametrize("task", MAZES)
def test_stays_at_the_goal_of_the_maze(task):
    env = envs.make(task)
    result = rollout(env, load_expert("scripted/point_maze"), episodes=1, seed=3)[0]
    assert result.success
    assert result.episode_return > 0.4 * result.length
    env.close()


def test_finds_through_the_maze_among_random_actions():
    env = envs.make("PointMaze_Medium-v3")
    agent = NoisyExpert(load_expert("scripted/point_maze"), 0.3, seed=0, burst=(5, 20))
    results = rollout(env, agent, episodes=2, seed=0)
    assert all(result.episode_return > 0.3 * result.length for result in results)
    env.close()


def test_the_way_through_the_maze_crosses_no_wall():
    env = envs.make("PointMaze_Large-v3")
    agent = load_expert("scripted/point_maze")
    agent.reset(env)
    maze = env.unwrapped.maze
    free = [
        (row, column)
        for row, cells in enumerate(maze.maze_map)
        for column, cell in enumerate(cells)
        if cell != 1
    ]
    for here in free[::5]:
        for there in free[::7]:
            way = [here, *agent._way(here, there)]
            assert way[-1] == there
            assert all(cell in free for cell in way)
            steps = np.abs(np.diff(np.array(way), axis=0)).sum(axis=1)
            assert (steps <= 1).all()
    env.close()
