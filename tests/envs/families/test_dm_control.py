"""dm_control's families: representative ids keep every promise; pixels, dynamics, imports."""

import os
import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

pytest.importorskip("dm_control")
pytest.importorskip("shimmy")

from absl import logging as absl_logging

from gato_gym.envs.families import dm_control, family_of
from gato_gym.envs.families.dm_control_envs import SuiteTask
from gato_gym.envs.families.dm_control_random import INTERVALS, QUANTITIES, draw_factors

STATE = "dm_control/walker-walk-v0"  # has an observation without axes: height
PIXELS = "dm_control/walker-walk-pixels-v0"
SMALL = "dm_control/hopper-stand-random-small-v0"
LARGE = "dm_control/quadruped-run-random-large-v0"
ARM = "dm_control/reach_site_features-v0"
IDS = (STATE, "dm_control/finger-turn_hard-v0", PIXELS, SMALL, LARGE, ARM)
FAMILIES = {family.name: family for family in dm_control.FAMILIES}


@pytest.fixture(autouse=True, scope="module")
def _registered():
    dm_control.register()


@pytest.fixture
def make(request):
    def build(task, **kwargs):
        env = gym.make(task, disable_env_checker=True, **kwargs)
        request.addfinalizer(env.close)
        return env

    return build


def rollout(env, seed, steps=25):
    """[(observation, reward, terminated, truncated)], the same actions for the same seed."""
    env.action_space.seed(seed)
    history = [(env.reset(seed=seed)[0], 0.0, False, False)]
    for _ in range(steps):
        observation, *outcome, info = env.step(env.action_space.sample())
        assert info == {}
        history.append((observation, *outcome))
    return history


def assert_same(one, other):
    for (left, *left_rest), (right, *right_rest) in zip(one, other, strict=True):
        assert left_rest == right_rest
        np.testing.assert_equal(left, right)


@pytest.mark.parametrize("task", IDS)
def test_the_checker_finds_no_error(task, make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it dislikes unbounded observations
        check_env(make(task).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("task", IDS)
def test_a_seed_gives_an_episode_whatever_was_played_before(task, make, capfd):
    env = make(task)
    first = rollout(env, 3)
    assert all(observation in env.observation_space for observation, *_ in first)
    assert all(type(reward) is float for _, reward, *_ in first)
    other = rollout(env, 4)
    with pytest.raises(AssertionError):
        assert_same(first, other)
    assert_same(first, rollout(env, 3))
    assert_same(first, rollout(make(task), 3))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("task", IDS)
def test_each_id_belongs_to_one_family_that_lists_it(task):
    owners = [family for family in dm_control.FAMILIES if family.owns(task)]
    assert len(owners) == 1
    assert family_of(task) is owners[0]
    assert task in owners[0].ids()
    assert owners[0].domain(task) == owners[0].name


def test_every_listed_id_is_registered_and_owned_by_its_own_family_only():
    names = [task for family in FAMILIES.values() for task in family.ids()]
    assert len(names) == len(set(names)) == 45 + 45 + 45 + 42 + 13
    for family in FAMILIES.values():
        for task in family.ids():
            assert task in gym.registry
            assert [other.name for other in FAMILIES.values() if other.owns(task)] == [family.name]


def test_registering_again_changes_nothing():
    before = dict(gym.registry)
    dm_control.register()
    assert gym.registry == before


@pytest.mark.parametrize(
    ("task", "horizon", "control_hz"), [(STATE, 1000, 40.0), (PIXELS, 1000, 40.0), (ARM, 250, 25.0)]
)
def test_facts_say_when_an_episode_is_cut(task, horizon, control_hz, make):
    env = make(task)
    assert family_of(task).facts(env) == {
        "horizon": horizon,
        "control_hz": pytest.approx(control_hz),
    }


@pytest.mark.parametrize("task", ["dm_control/pendulum-swingup-v0", "dm_control/fish-upright-v0"])
def test_an_episode_is_truncated_at_its_horizon(task, make):
    env = make(task)
    steps = rollout(env, 0, steps=env.unwrapped.horizon)
    assert not any(terminated for _, _, terminated, _ in steps)
    assert [truncated for *_, truncated in steps].index(True) == 1000


def test_an_episode_ends_when_the_discount_is_zero(make):
    env = make("dm_control/cartpole-balance-v0")
    env.reset(seed=0)
    env.unwrapped._env.task.get_termination = lambda physics: 0.0
    assert env.step(env.action_space.sample())[2:4] == (True, False)


def test_the_order_of_bricks_is_not_left_over_from_the_last_episode(make):
    env = make("dm_control/reassemble_5_bricks_random_order_features-v0")
    orders = [env.reset(seed=seed)[0]["desired_order"].tolist() for seed in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1]


def test_a_hand_pose_out_of_reach_is_not_reported(make, monkeypatch, caplog):
    task = make(ARM).unwrapped
    simulation = task._env
    start = simulation.reset

    def complain():
        absl_logging.warning("Failed to converge after 99 steps")
        return start()

    monkeypatch.setattr(simulation, "reset", complain)
    task.reset(seed=0)
    assert "Failed" not in caplog.text
    absl_logging.error("heard")
    assert "heard" in caplog.text


def test_seeds_of_any_size_are_accepted(make):
    env = make(SMALL)
    assert_same(rollout(env, 2**40 + 1, steps=2), rollout(env, 2**40 + 1, steps=2))


@pytest.mark.parametrize("name", ["walker-walk", "fish-swim"])
def test_pixels_have_the_rewards_of_the_state_task(name, make):
    by_state = rollout(make(f"dm_control/{name}-v0"), 5)
    by_pixels = rollout(make(f"dm_control/{name}-pixels-v0"), 5)
    assert [step[1:] for step in by_state] == [step[1:] for step in by_pixels]
    images = [image for image, *_ in by_pixels]
    assert all(image.shape == (64, 64, 3) and image.dtype == np.uint8 for image in images)
    assert (images[0] != images[-1]).any()


def test_pixels_are_drawn_at_the_size_asked_for(make):
    env = make(PIXELS, image_size=(48, 96))
    assert env.observation_space.shape == (48, 96, 3)
    assert env.reset(seed=0)[0] in env.observation_space


def test_terrain_of_a_new_episode_is_drawn(make):
    env = make("dm_control/quadruped-escape-pixels-v0", image_size=(32, 32))
    env.reset(seed=0)
    again, _ = env.reset(seed=1)
    fresh, _ = make("dm_control/quadruped-escape-pixels-v0", image_size=(32, 32)).reset(seed=1)
    np.testing.assert_array_equal(again, fresh)


@pytest.mark.parametrize("task", [SMALL, ARM])
def test_frames_show_the_present_episode(task, make):
    env = make(task, render_mode="rgb_array", width=64, height=48)
    frames = []
    for seed in (0, 0, 1):
        env.reset(seed=seed)
        for _ in range(2):
            env.step(env.action_space.low)
        frames.append(env.render())
    assert frames[0].shape == (48, 64, 3)
    assert frames[0].dtype == np.uint8
    np.testing.assert_array_equal(frames[0], frames[1])
    assert (frames[1] != frames[2]).any()


def test_an_unknown_render_mode_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'depth_array' is unknown.*'rgb_array'"):
        SuiteTask("walker", "walk", render_mode="depth_array")


def test_an_unknown_argument_is_a_type_error(make):
    with pytest.raises(TypeError, match="colour"):
        make(PIXELS, colour="red")


@pytest.mark.parametrize("strength", INTERVALS)
def test_factors_fill_both_intervals_and_nothing_else(strength):
    random = np.random.default_rng(0)
    draws = [draw_factors(random, strength) for _ in range(300)]
    values = np.array([[draw[name] for name in QUANTITIES] for draw in draws])
    inside = [(values >= low) & (values <= high) for low, high in INTERVALS[strength]]
    assert (inside[0] | inside[1]).all()
    assert all(0.35 < mask.mean() < 0.65 for mask in inside)
    assert len(np.unique(values)) == values.size


def model_of(env):
    model = env.unwrapped._env.physics.model.ptr
    names = (
        "actuator_gear", "jnt_range", "jnt_stiffness", "dof_damping", "geom_size", "body_mass",
        "body_inertia", "dof_invweight0", "body_subtreemass",
    )  # fmt: skip
    return {name: getattr(model, name).copy() for name in names}


def test_dynamics_follow_the_seed_and_never_drift(make):
    env = make(SMALL)
    nominal = model_of(env)
    kept = {name: values.copy() for name, values in env.unwrapped._nominal.items()}
    env.reset(seed=0)
    first, factors = model_of(env), env.unwrapped.factors
    for _ in range(5):
        env.reset()
    assert env.unwrapped.factors != factors
    assert (model_of(env)["body_mass"] != first["body_mass"]).any()
    env.reset(seed=0)
    assert env.unwrapped.factors == factors
    np.testing.assert_equal(model_of(env), first)
    np.testing.assert_equal(env.unwrapped._nominal, kept)

    ratio = {
        name: first[name][values != 0] / values[values != 0] for name, values in nominal.items()
    }
    floor = 1  # the scenery keeps its size
    size, density = factors["size"], factors["density"]
    expected = {
        "actuator_gear": factors["gear"],
        "jnt_range": factors["range"],
        "dof_damping": factors["damping"],
        "body_mass": density * size**3,
        "body_inertia": density * size**5,
    }
    for name, factor in expected.items():
        np.testing.assert_allclose(ratio[name], factor, rtol=1e-12)
    np.testing.assert_array_equal(first["geom_size"][:floor], nominal["geom_size"][:floor])
    np.testing.assert_allclose(first["geom_size"][floor:], nominal["geom_size"][floor:] * size)
    total = first["body_subtreemass"][0] / nominal["body_subtreemass"][0]
    assert total == pytest.approx(density * size**3)
    assert (ratio["dof_invweight0"] != 1).all()


def test_stiffness_is_scaled_where_there_are_springs(make):
    env = make(LARGE.replace("quadruped-run", "cheetah-run"))
    nominal = model_of(env)["jnt_stiffness"]
    env.reset(seed=1)
    np.testing.assert_allclose(
        model_of(env)["jnt_stiffness"], nominal * env.unwrapped.factors["stiffness"]
    )
    assert nominal.any()


def test_neutral_factors_give_the_task_itself(make, monkeypatch):
    monkeypatch.setattr(
        "gato_gym.envs.families.dm_control_random.draw_factors",
        lambda random, strength: dict.fromkeys(QUANTITIES, 1.0),
    )
    varied = rollout(make("dm_control/hopper-stand-random-large-v0"), 2)
    assert_same(varied, rollout(make("dm_control/hopper-stand-v0"), 2))


def test_a_strength_that_is_none_is_refused(make):
    with pytest.raises(ValueError, match="'huge' is unknown; expected one of small, large"):
        make(SMALL, strength="huge")


_WITHOUT_GL = """
import os, warnings
warnings.simplefilter("error")
import gymnasium
from gato_gym.envs.families import dm_control
dm_control.register()
env = gymnasium.make("dm_control/cartpole-swingup-pixels-v0", disable_env_checker=True)
image, _ = env.reset(seed=0)
assert image.std() > 0
print(os.environ.get("MUJOCO_GL"))
"""


def test_no_gl_library_is_needed(tmp_path):
    platform = "no-such-platform"
    environment = {**os.environ, "MUJOCO_GL": platform, "GATO_GYM_RENDERER": "raycast"}
    command = [sys.executable, "-c", _WITHOUT_GL]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (done.stdout.strip(), done.stderr) == (platform, "")
