"""Vector environments: the same episodes as from single ones, whichever way they are stepped."""

import multiprocessing
import os
import sys
from functools import partial

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest

from gato_gym import envs
from gato_gym.envs.families.ale import register
from gato_gym.envs.rendering import choose_backend

BOXING = "ALE/Boxing-v5"
# ale-py makes non-negative numbers of these, which its engine accepts.
POSITIVE_SEEDS = (1, 4)


@pytest.fixture(autouse=True, scope="module")
def registered():
    register()


@pytest.fixture
def vector():
    """`envs.make_vec`, closed afterwards."""
    open_ones = []

    def make_vec(*args, **kwargs):
        open_ones.append(envs.make_vec(*args, **kwargs))
        return open_ones[-1]

    yield make_vec
    for vec in open_ones:
        vec.close()


@pytest.fixture
def by_value():
    """Functions of this module reach processes that cannot import it."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


def is_native(vec):
    return type(vec.unwrapped).__name__ == "AtariVectorEnv"


def compare(vec, singles, seeds, steps):
    """Step both, episodes restarting; returns how many episodes ended."""
    observations, infos = vec.reset(seed=list(seeds))
    for row, (single, seed) in enumerate(zip(singles, seeds, strict=True)):
        np.testing.assert_array_equal(observations[row], single.reset(seed=seed)[0])
    rng, ended = np.random.default_rng(0), 0
    for _ in range(steps):
        actions = rng.integers(0, vec.single_action_space.n, len(singles))
        before = observations
        observations, rewards, terminated, truncated, infos = vec.step(actions)
        assert vec.observation_space.contains(observations)
        assert rewards.dtype == np.float64
        for row, single in enumerate(singles):
            seen, *told, info = single.step(actions[row])
            assert told == [rewards[row], terminated[row], truncated[row]]
            assert ("final_obs" in infos and infos["_final_obs"][row]) == any(told[1:])
            if any(told[1:]):
                # The engine draws no screen once a game is over.
                last = before[row] if is_native(vec) else seen
                np.testing.assert_array_equal(infos["final_obs"][row], last)
                seen, info = single.reset()
                ended += 1
            np.testing.assert_array_equal(observations[row], seen)
            for name in ("lives", "frame_number", "episode_frame_number"):
                assert infos[name][row] == info[name] and infos[f"_{name}"][row]
    for single in singles:
        single.close()
    return ended


@pytest.mark.parametrize(
    ("game", "settings", "ends"),
    [("ALE/Breakout-v5", {"max_num_frames_per_episode": 120}, 4), ("ALE/AirRaid-v5", {}, 0)],
)
def test_the_engine_plays_what_single_environments_do(vector, game, settings, ends):
    """Without sticky actions, for any seed, through the ends of episodes; any screen height."""
    settings = {"repeat_action_probability": 0.0, **settings}
    vec = vector(game, 2, **settings)
    assert is_native(vec)
    singles = [envs.make(game, **settings) for _ in range(2)]
    assert compare(vec, singles, (0, 1), steps=70) == ends


def test_copies_stepped_one_by_one_are_single_environments(vector):
    settings = {"max_num_frames_per_episode": 40, "vectorization": "sync"}
    vec = vector(BOXING, 2, **settings)
    singles = [envs.make(BOXING, max_num_frames_per_episode=40) for _ in range(2)]
    assert compare(vec, singles, (0, 1), steps=25) == 4


def test_the_engine_repeats_sticky_actions_as_single_environments_do(vector):
    vec = vector(BOXING, 2)
    singles = [envs.make(BOXING) for _ in range(2)]
    assert compare(vec, singles, POSITIVE_SEEDS, steps=50) == 0


def test_an_episode_cut_within_a_step_restarts_alike(vector):
    settings = {"repeat_action_probability": 0.0, "max_num_frames_per_episode": 41}
    vec, single = vector(BOXING, 1, **settings), envs.make(BOXING, **settings)
    assert compare(vec, [single], (1,), steps=25) == 2


def test_engine_seeds_decide_the_episode(vector):
    # Seed 0 becomes a negative number in ale-py.
    vec, runs = vector(BOXING, 2), []
    for _ in range(2):
        first, _ = vec.reset(seed=0)
        runs.append([first, *(vec.step(np.array([a, 17 - a]))[0] for a in range(18))])
        vec.step(np.array([1, 1]))
    np.testing.assert_array_equal(*runs)


def test_without_seeds_copies_differ(vector):
    vec = vector(BOXING, 4)
    vec.reset()
    # They are told the same, but each repeats other actions.
    for action in np.random.default_rng(0).integers(2, 10, 40):
        observations = vec.step(np.full(4, action))[0]
    assert len({observation.tobytes() for observation in observations}) > 1


def test_some_copies_may_be_reset_alone(vector):
    vec = vector(BOXING, 2)
    vec.reset(seed=0)
    before = vec.step(np.array([3, 3]))[4]["episode_frame_number"]
    mask = np.array([True, False])
    infos = vec.reset(seed=[7, None], options={"reset_mask": mask})[1]
    assert infos["episode_frame_number"].tolist() == [0, before[1]]
    assert infos["_lives"].tolist() == mask.tolist()


@pytest.mark.parametrize(
    ("actions", "told"),
    [
        ([0, 18], r"in \[0, 18\)"),
        ([-1, 0], r"in \[0, 18\)"),
        ([0.5, 1.0], "2 integer actions, got float64"),
        ([1], "2 integer actions"),
    ],
)
def test_actions_are_checked_before_the_engine_sees_them(vector, actions, told):
    vec = vector(BOXING, 2)
    vec.reset(seed=0)
    with pytest.raises(ValueError, match=told):
        vec.step(np.array(actions))


def test_seeds_are_counted(vector):
    with pytest.raises(ValueError, match="3 seeds for 2"):
        vector(BOXING, 2).reset(seed=[1, 2, 3])


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_every_task_can_be_stepped_in_each_way(vector, vectorization):
    vec = vector("CartPole-v1", 2, vectorization=vectorization)
    single = envs.make("CartPole-v1")
    np.testing.assert_array_equal(vec.reset(seed=3)[0][0], single.reset(seed=3)[0])
    ended = 0
    for _ in range(30):
        infos = vec.step(np.array([1, 1]))[4]
        ended += int(infos.get("_final_obs", np.zeros(2)).sum())
    assert ended >= 2
    assert envs.task_spec(vec) == vec.task_spec == envs.task_spec("CartPole-v1")


def test_the_engine_is_the_default_where_it_can_do_it(vector):
    assert is_native(vector(BOXING, 1, num_threads=1, frameskip=2))
    assert envs.task_spec(vector(BOXING, 1)) == envs.task_spec(BOXING)
    for settings in ({"vectorization": "sync"}, {"render_mode": "rgb_array"}, {"mode": 0}):
        assert isinstance(vector(BOXING, 1, **settings), gym.vector.SyncVectorEnv)
    assert isinstance(vector("ALE/BoxingExtended-v5", 1), gym.vector.SyncVectorEnv)


def test_image_size_reaches_the_engine(vector):
    vec, single = vector(BOXING, 1, image_size=(96, 112)), envs.make(BOXING, image_size=(96, 112))
    np.testing.assert_array_equal(vec.reset(seed=1)[0][0], single.reset(seed=1)[0])
    single.close()


@pytest.mark.parametrize(
    ("task", "settings", "error", "told"),
    [
        ("CartPole-v1", {"vectorization": "native"}, ValueError, "CartPole-v1 has no native"),
        (BOXING, {"vectorization": "native", "mode": 0}, ValueError, "for ['mode']"),
        (BOXING, {"vectorization": "threads"}, ValueError, "one of auto, native, sync, async"),
        ("CartPole-v1", {"num_threads": 2}, TypeError, "num_threads is for native"),
        (BOXING, {"colour": True}, TypeError, "colour"),
    ],
)
def test_wrong_arguments_are_refused(task, settings, error, told):
    with pytest.raises(error) as caught:
        envs.make_vec(task, 1, **settings)
    assert told in str(caught.value)


def test_no_copies_are_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        envs.make_vec(BOXING, 0)


def test_processes_draw_after_this_one_has_drawn(vector):
    """Of a process that was forked after a GL frame, the first frame would never come."""
    pytest.importorskip("dm_control")
    if choose_backend() == "raycast":
        pytest.skip("no GL library works here")
    task = "dm_control/cartpole-balance-pixels-v0"
    single = envs.make(task)
    first = single.reset(seed=3)[0]
    vec = vector(task, 1, vectorization="async")
    np.testing.assert_array_equal(vec.reset(seed=3)[0][0], first)
    single.close()


def test_processes_know_ids_that_only_this_one_has_registered(vector):
    gym.register("Elsewhere-v0", "gymnasium.envs.classic_control:CartPoleEnv")
    try:
        vec = vector("Elsewhere-v0", 1, vectorization="async")
    finally:
        del gym.registry["Elsewhere-v0"]
    assert vec.reset(seed=0)[0].shape == (1, 4)
    assert vec.task_spec.id == "Elsewhere-v0"


def fails(*arguments, **kwargs):
    raise LookupError("no spec")


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_nothing_stays_open_where_the_spec_fails(monkeypatch, vectorization):
    made, closed = [], []

    def make_one(*arguments, **kwargs):
        made.append(envs.make(*arguments, **kwargs))
        monkeypatch.setattr(made[-1].unwrapped, "close", partial(closed.append, made[-1]))
        return made[-1]

    monkeypatch.setattr("gato_gym.envs.vector.task_spec", fails)
    monkeypatch.setattr("gato_gym.envs.vector.make", make_one)
    with pytest.raises(LookupError, match="no spec"):
        envs.make_vec("CartPole-v1", 2, vectorization=vectorization, make_one=make_one)
    assert made and closed == made
    assert multiprocessing.active_children() == []


def only_in(process, *arguments, **kwargs):
    """`envs.make` in one process, the end of any other."""
    if os.getpid() != process:
        os._exit(1)
    return envs.make(*arguments, **kwargs)


def other_spaces_than_in(process, id):
    """Of another game in any other process than the given one."""
    return envs.make("CartPole-v1" if os.getpid() == process else "Acrobot-v1")


@pytest.mark.parametrize(
    ("make_one", "told"),
    [(only_in, "could not be made in its process"), (other_spaces_than_in, "space")],
)
def test_no_process_stays_where_a_copy_fails(by_value, make_one, told):
    here = partial(make_one, os.getpid())
    with pytest.raises(RuntimeError, match=told):
        envs.make_vec("CartPole-v1", 2, vectorization="async", make_one=here)
    assert multiprocessing.active_children() == []
