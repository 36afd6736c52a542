"""Frames come without a GL library, from the back end that the user named or that works."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("mujoco")

from gato_gym.envs.block_stacking.env import BlockStackingEnv
from gato_gym.envs.block_stacking.rendering import BACKENDS, choose_backend


def test_forced_ray_caster_draws_the_scene(monkeypatch):
    monkeypatch.setenv("GATO_GYM_RENDERER", "raycast")
    env = BlockStackingEnv(render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert env.render_backend == "raycast"
    assert frame.shape == (240, 320, 3)
    assert frame.dtype == np.uint8
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 500
    red, green, blue = frame.astype(int).transpose(2, 0, 1)
    assert ((red > 2 * green) & (red > 2 * blue)).sum() > 50  # the red cube
    assert ((blue > 2 * red) & (blue > 1.5 * green)).sum() > 50  # the blue cube
    assert np.array_equal(frame, env.render())


def test_pixels_show_both_cubes_from_two_sides():
    env = BlockStackingEnv(observation="pixels", image_size=(64, 80), renderer="raycast")
    observation, _ = env.reset(seed=1)
    left, right = observation["front_left"], observation["front_right"]
    assert left.shape == right.shape == (64, 80, 3)
    assert not np.array_equal(left, right)
    for image in (left.astype(int), right.astype(int)):
        assert (image[..., 0] > 2 * image[..., 2]).sum() > 8
        assert (image[..., 2] > 2 * image[..., 0]).sum() > 8


def test_picture_follows_the_arm():
    env = BlockStackingEnv(render_mode="rgb_array", width=96, height=64, renderer="raycast")
    env.reset(seed=0)
    before = env.render().astype(int)
    for _ in range(10):
        env.step(np.array([0, 0, 1, 0, -1], np.float32))
    assert (np.abs(env.render() - before).max(axis=-1) > 30).sum() > 40


def test_argument_wins_over_the_variable(monkeypatch):
    monkeypatch.setenv("GATO_GYM_RENDERER", "osmesa")
    assert choose_backend("raycast") == "raycast"
    assert choose_backend() == "osmesa"


def test_unknown_renderer_is_refused_with_the_valid_names(monkeypatch):
    monkeypatch.setenv("GATO_GYM_RENDERER", "vulkan")
    with pytest.raises(ValueError, match="egl, osmesa, glfw, raycast"):
        choose_backend()


@pytest.mark.parametrize("requested", ["osmesa", "egl", "nonsense"])
def test_broken_gl_setting_neither_stops_the_import_nor_prints(requested):
    """MUJOCO_GL may name a library that is missing: `import mujoco` alone would fail."""
    program = (
        "import gato_gym.envs.block_stacking.env as e\n"
        "env = e.BlockStackingEnv(render_mode='rgb_array', width=32, height=32)\n"
        "env.reset(seed=0)\n"
        "assert env.render().std() > 5\n"
        "print(env.render_backend)\n"
    )
    environment = {**os.environ, "MUJOCO_GL": requested}
    environment.pop("GATO_GYM_RENDERER", None)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.strip() in BACKENDS
