"""Domain randomisation: drawn by the seed, around nominal values, and undone."""

import numpy as np
import pytest

pytest.importorskip("mujoco")

from gato_gym.envs.block_stacking.env import BlockStackingEnv
from gato_gym.envs.block_stacking.randomise import FRICTION, MASS, Randomiser

FIELDS = (
    "body_mass",
    "body_inertia",
    "body_subtreemass",
    "geom_friction",
    "geom_rgba",
    "light_dir",
    "cam_pos",
    "cam_quat",
    "actuator_gainprm",
)


def parameters(env):
    return {field: getattr(env.model, field).copy() for field in FIELDS}


def test_nothing_is_randomised_unless_asked_for():
    env = BlockStackingEnv()
    nominal = parameters(env)
    env.reset(seed=3)
    for field, values in parameters(env).items():
        assert np.array_equal(values, nominal[field])


def test_every_reset_draws_from_the_nominal_model():
    env = BlockStackingEnv(randomise=True)
    nominal = parameters(env)
    masses = []
    for seed in range(30):
        env.reset(seed=seed)
        drawn = parameters(env)
        masses.append(float(env.model.body("red").mass[0]))
        assert 0.2 / MASS <= masses[-1] <= 0.2 * MASS
        friction = drawn["geom_friction"][:, 0] / nominal["geom_friction"][:, 0]
        assert (friction >= 1 / FRICTION - 1e-9).all()
        assert (friction <= FRICTION + 1e-9).all()
        assert drawn["body_subtreemass"][0] == pytest.approx(drawn["body_mass"].sum())
        np.testing.assert_allclose(np.linalg.norm(drawn["cam_quat"], axis=1), 1.0)
        assert np.abs(drawn["cam_pos"] - nominal["cam_pos"]).max() <= 0.015 + 1e-9
    for field in FIELDS:
        assert not np.array_equal(drawn[field], nominal[field])
    assert np.std(masses) > 0.02


def test_a_seed_repeats_the_draw_and_the_rollout():
    def roll(env):
        observation, _ = env.reset(seed=7)
        trace = [observation["red"]]
        for _ in range(20):
            trace.append(env.step([0.2, -0.3, -1.0, 0.1, 1.0])[0]["red"])
        return np.array(trace), parameters(env)

    used = BlockStackingEnv(randomise=True)
    used.reset(seed=1)
    first, drawn = roll(used)
    second, again = roll(BlockStackingEnv(randomise=True))
    assert np.array_equal(first, second)
    for field in FIELDS:
        assert np.array_equal(drawn[field], again[field])


def test_restore_brings_the_nominal_model_back():
    env = BlockStackingEnv(task="Triplet1")
    nominal = parameters(env)
    randomiser = Randomiser(env.model, env.shapes)
    randomiser.draw(np.random.default_rng(0))
    assert not np.array_equal(env.model.body_mass, nominal["body_mass"])
    randomiser.restore()
    for field, values in parameters(env).items():
        assert np.array_equal(values, nominal[field])


def test_pictures_show_the_drawn_cameras_and_colours():
    env = BlockStackingEnv(randomise=True, observation="pixels", renderer="raycast")
    first = env.reset(seed=1)[0]["front_left"].astype(int)
    second = env.reset(seed=2)[0]["front_left"].astype(int)
    # The upper corners show room and table only: they differ by light, colour or camera.
    assert np.abs(first[:, :8] - second[:, :8]).max() > 5
    assert np.array_equal(env.reset(seed=1)[0]["front_left"], first)
