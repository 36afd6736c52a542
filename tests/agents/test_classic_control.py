"""The controllers of classic control, the landers and the racing car play well."""

import numpy as np
import pytest

from gato_gym import envs
from gato_gym.agents.experts import load_expert
from gato_gym.agents.experts.classic import acrobot, control
from gato_gym.agents.experts.classic.lattice import Problem, Solution
from gato_gym.evaluation.rollout import rollout

# Task -> the return that the mean of five episodes surpasses.
LEAST = {
    "Acrobot-v1": -75,
    "CartPole-v1": 499,
    "LunarLander-v3": 220,
    "LunarLanderContinuous-v3": 260,
    "MountainCar-v0": -110,
    "MountainCarContinuous-v0": 95,
    "Pendulum-v1": -260,
}


@pytest.mark.parametrize("task", sorted(LEAST))
def test_plays_well(task):
    env = envs.make(task)
    results = rollout(env, load_expert("analytic/classic"), episodes=5, seed=300)
    assert np.mean([result.episode_return for result in results]) > LEAST[task]
    env.close()


def test_drives():
    env = envs.make("CarRacing-v3")
    agent = load_expert("analytic/car_racing")
    agent.reset(env)
    observation, _ = env.reset(seed=1)
    total = 0.0
    for _ in range(120):
        observation, reward, *_ = env.step(agent.act(observation))
        total += reward
    assert total > 60  # a tile of the track is worth three, standing still loses 12
    env.close()


def test_the_acrobot_of_the_plans_is_the_task():
    env = envs.make("Acrobot-v1")
    env.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(60):
        before = np.array(env.unwrapped.state, float)
        action = int(rng.integers(3))
        env.step(action)
        planned = acrobot._stepped(before[None], np.array([action - 1.0]))[0]
        np.testing.assert_allclose(planned, env.unwrapped.state, atol=1e-6)
    env.close()


@pytest.mark.parametrize(
    ("task", "solve", "force"),
    [
        ("MountainCar-v0", control._mountain_car, None),
        ("Pendulum-v1", control._pendulum, control.PENDULUM_TORQUE),
    ],
)
def test_the_models_of_the_lattice_are_the_tasks(task, solve, force):
    env = envs.make(task)
    env.reset(seed=0)
    env.action_space.seed(0)
    model = solve().problem.model
    for _ in range(50):
        before = np.array(env.unwrapped.state, float)
        action = env.action_space.sample()
        _, reward, terminated, _, _ = env.step(action)
        own = float(action) if force is None else float(action[0]) * force
        after, rewards, ends = model(before[None], np.array([own]))
        np.testing.assert_allclose(after[0], env.unwrapped.state, atol=1e-6)
        assert rewards[0] == pytest.approx(reward, abs=1e-6)
        assert ends[0] == terminated
    env.close()


def test_the_lattice_solves_a_problem_with_a_known_answer():
    # On a line: one step to the left or right per move, the end is on the right.
    def model(states, actions):
        after = states.copy() + np.zeros(
            (*np.broadcast_shapes(states.shape[:-1], actions.shape), 2)
        )
        after[..., 0] += actions
        ends = after[..., 0] >= 5
        return after, np.full(ends.shape, -1.0), ends

    solved = Solution(Problem((0.0, 0.0), (5.0, 1.0), (6, 2), np.array([-1.0, 1.0]), model, 20))
    for place in range(5):
        returns = solved.returns(np.array([float(place), 0.0]))
        assert returns[1] == pytest.approx(place - 5)
        assert solved.best(np.array([float(place), 0.5])) == 1.0


def test_an_angle_has_no_ends():
    solved = control._pendulum()
    for speed in (-1.0, 0.0, 2.0):
        left = solved.returns(np.array([-np.pi + 1e-9, speed]))
        right = solved.returns(np.array([np.pi - 1e-9, speed]))
        np.testing.assert_allclose(left, right, atol=1e-3)
