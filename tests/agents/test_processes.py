"""The agent in other processes, and copies of it: forked, spawned, pickled, in mid-episode too."""

import copy
import importlib
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cloudpickle
import gymnasium
import numpy as np
import pytest

FOLDER = Path(__file__).parent
METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture(scope="module")
def workers():
    """The module of that name, importable by name: other processes import it too."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(FOLDER)
        yield importlib.import_module("process_workers")


@pytest.fixture(scope="module", params=METHODS)
def pool(request, workers):
    context = multiprocessing.get_context(request.param)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        yield executor


@pytest.fixture
def agent(workers):
    agent = workers.new_agent()
    agent.reset("Pendulum-v1")
    return agent


@pytest.fixture(scope="module")
def reference(workers):
    return workers.act_anew(workers.new_agent())


def test_a_worker_goes_on_where_its_parent_stood(pool, workers, agent, reference):
    assert workers.act(agent, 0, workers.LATER) == reference[: workers.LATER]
    rest = pool.submit(workers.act, agent, workers.LATER).result(timeout=60)
    assert rest == reference[workers.LATER :]


def test_what_a_worker_does_leaves_the_parents_episode_alone(pool, workers, agent, reference):
    workers.act(agent, 0, workers.LATER)
    pool.submit(workers.act_otherwise, agent).result(timeout=60)
    assert workers.act(agent, workers.LATER) == reference[workers.LATER :]


@pytest.mark.parametrize("method", METHODS)
def test_a_process_is_given_an_agent_in_mid_episode(method, workers, agent, reference):
    workers.act(agent, 0, workers.LATER)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=workers.put_actions, args=(agent, queue))
    process.start()
    try:
        assert queue.get(timeout=20) == reference[workers.LATER :]
    finally:
        process.kill()
        process.join()


def test_a_worker_starts_an_episode_with_an_agent_it_was_sent(pool, workers, agent, reference):
    assert pool.submit(workers.act_anew, agent).result(timeout=60) == reference


def test_a_state_goes_to_a_worker_and_comes_back(pool, workers, agent):
    first = workers.observations(0, 2)
    _, state = agent.predict(first)
    far, returned = pool.submit(workers.predict, agent, state).result(timeout=60)
    near, state = workers.predict(agent, state)
    np.testing.assert_array_equal(near, far)
    np.testing.assert_array_equal(agent.predict(first, returned)[0], agent.predict(first, state)[0])


def test_an_agent_made_in_the_worker_acts_alike(pool, workers):
    there = pool.submit(workers.act_with_own_agent, 3).result(timeout=60)
    assert there == workers.act_with_own_agent(3)


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.deepcopy,
        lambda agent: pickle.loads(pickle.dumps(agent)),
        lambda agent: cloudpickle.loads(cloudpickle.dumps(agent)),
    ],
    ids=["deepcopy", "pickle", "cloudpickle"],
)
def test_a_copy_in_mid_episode_goes_on_like_the_agent(duplicate, workers, agent, reference):
    workers.act(agent, 0, workers.LATER)
    twin = duplicate(agent)
    assert workers.act(twin, workers.LATER) == reference[workers.LATER :]
    assert workers.act(agent, workers.LATER) == reference[workers.LATER :]


# In a new process: this one, as all tests, computes with one thread and would never wait.
FORK_AFTER_ACTING = f"""
import multiprocessing, sys, torch
sys.path.insert(0, {str(FOLDER)!r})
import process_workers
torch.set_num_threads(2)
agent = process_workers.new_agent()
assert process_workers.threads_after_work(agent) == 2

def child():
    assert process_workers.threads_after_work(agent) == 1

worker = multiprocessing.get_context("fork").Process(target=child)
worker.start()
worker.join(30)
hangs = worker.is_alive()
worker.kill()
worker.join()
sys.exit("hangs" if hangs else worker.exitcode)
"""


def test_a_child_forked_after_acting_with_several_threads_does_not_hang():
    command = [sys.executable, "-c", FORK_AFTER_ACTING]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", METHODS)
def test_environments_in_processes_are_played_like_those_in_this_one(method, workers, agent):
    make = partial(gymnasium.make, "CartPole-v1")
    alone = gymnasium.vector.SyncVectorEnv([make, make])
    apart = gymnasium.vector.AsyncVectorEnv([make, make], context=method)
    played = []
    for env in (alone, apart):
        agent.reset(env)
        state, (obs, _) = None, env.reset(seed=0)
        seen = []
        for _ in range(5):
            actions, state = agent.predict(obs, state)
            obs = env.step(actions)[0]
            seen.append(np.column_stack([actions, obs]))
        env.close()
        played.append(seen)
    np.testing.assert_array_equal(*played)
