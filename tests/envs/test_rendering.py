"""Frames come without a GL library, from the back end that the user named or that works."""

import os
import subprocess
import sys
import types

import numpy as np
import pytest

pytest.importorskip("mujoco")

from gato_gym.envs.block_stacking.env import BlockStackingEnv
from gato_gym.envs.rendering import BACKENDS, choose_backend, frame_source
from gato_gym.envs.rendering.physics import mujoco

WORLD = """
<mujoco>
  <visual><headlight ambient=".4 .4 .4" diffuse=".4 .4 .4" specular="0 0 0"/></visual>
  <asset>
    <texture name="sky" type="skybox" builtin="flat" rgb1=".2 .4 .6" width="8" height="48"/>
    <texture name="tiles" type="2d" builtin="checker" rgb1="0 0 0" rgb2="1 1 1" width="64"
      height="64"/>
    <material name="tiles" texture="tiles" texrepeat="1 1" texuniform="true" specular="0"/>
    <material name="paint" rgba="0 1 0 1"/>
  </asset>
  <worldbody>
    <light pos="0 0 4" dir="0 0 -1" diffuse=".6 .6 .6" specular="0 0 0"/>
    <geom name="floor" type="plane" size="2 2 .1" material="tiles"/>
    <geom name="pillar" type="cylinder" size=".1 .3" pos="-.7 .6 .3" rgba="0 0 1 1"/>
    <camera name="above" pos="0 0 4" fovy="50"/>
    <camera name="corner" pos="2 -2 1.5" xyaxes="1 1 0 -.35 .35 1" fovy="50"/>
    <site name="mark" type="box" size=".15 .15 .15" pos=".8 -.7 .2" rgba="1 1 0 1"/>
    <body name="ball" pos="0 0 .5">
      <freejoint/>
      <geom name="ball" size=".3" material="paint"/>
      <camera name="on_board" pos="0 0 3.5" mode="trackcom"/>
    </body>
    <body name="rod" pos=".5 .9 .2">
      <joint type="hinge" axis="0 0 1"/>
      <geom name="knob" size=".05" rgba="1 0 1 1"/>
      <geom name="rod" type="capsule" fromto="0 0 0 .9 0 0" size=".06" rgba="1 0 1 1"
        contype="0" conaffinity="0"/>
      <geom name="ghost" size=".4" group="3" rgba="1 1 1 1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def world():
    model = mujoco.MjModel.from_xml_string(WORLD)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def cast(model, data, camera="above", size=64, shadows=False):
    """A frame by a ray caster that has drawn nothing before, as int."""
    source = frame_source(model, "raycast", size, size)
    return source.render(data, camera, size, size, shadows=shadows).astype(int)


def is_colour(frame, red, green, blue):
    """Pixels in which exactly the channels that are asked for stand out."""
    bright = frame > frame.max(axis=-1, keepdims=True) * 0.5
    return (bright == np.array([red, green, blue], bool)).all(axis=-1) & (frame.max(axis=-1) > 60)


def working_gl():
    """The GL back end of this machine."""
    backend = choose_backend()
    if backend == "raycast":
        pytest.skip("no GL library works here")
    return backend


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


@pytest.mark.parametrize("shadows", [False, True])
def test_a_caster_that_drew_before_agrees_bit_by_bit_with_a_fresh_one(shadows):
    env = BlockStackingEnv()
    env.reset(seed=3)
    used = frame_source(env.model, "raycast", 48, 64)
    action = np.array([0.3, 1, -1, 0.5, 1], np.float32)
    for step in range(4):
        env.step(action)
        for camera in ("front_left", "front_right"):
            used.render(env.data, camera, 64, 48, shadows=not shadows)
            frame = used.render(env.data, camera, 64, 48, shadows=shadows)
            fresh = frame_source(env.model, "raycast", 64, 48)
            assert np.array_equal(frame, fresh.render(env.data, camera, 64, 48, shadows=shadows)), (
                step,
                camera,
            )


def test_fast_frames_equal_a_cast_of_every_ray(world):
    """Only some pixels are cast again for what moves: none may be missed."""
    model, data = world
    for angle in np.linspace(0, 2 * np.pi, 7):
        data.qpos[:3] = np.cos(angle), np.sin(angle), 0.4
        data.qpos[7] = angle
        mujoco.mj_forward(model, data)
        frame = cast(model, data)
        camera = model.camera("above").id
        for row, column in [(r, c) for r in range(0, 64, 3) for c in range(0, 64, 3)]:
            pixel = 2 * np.tan(np.radians(50) / 2) / 64
            ray = np.array([(column + 0.5 - 32) * pixel, (32 - row - 0.5) * pixel, -1.0])
            hit = np.zeros(1, np.int32)
            groups = np.array([1, 1, 1, 0, 0, 0], np.uint8)
            origin = data.cam_xpos[camera]
            mujoco.mj_ray(model, data, origin, ray / np.linalg.norm(ray), groups, 1, -1, hit, None)
            name = model.geom(hit[0]).name if hit[0] >= 0 else ""
            pixel_is = is_colour(frame[row : row + 1, column : column + 1], 1, 0, 1)[0, 0]
            assert pixel_is == (name in ("rod", "knob")), (angle, row, column, name)


def test_everything_of_a_scene_is_drawn_in_its_colour(world):
    frame = cast(*world, size=96)
    assert is_colour(frame, 0, 1, 0).sum() > 100  # the ball, painted by its material
    assert is_colour(frame, 0, 0, 1).sum() > 20  # the pillar
    assert is_colour(frame, 1, 1, 0).sum() > 20  # the site
    assert is_colour(frame, 1, 0, 1).sum() > 40  # the rod: most of it outside the colliding knob
    floor = frame[2:8, 2:90].reshape(-1, 3)
    assert floor.min() < 10
    assert floor.max() > 60  # black tiles and white ones
    sky = cast(*world, camera="corner")[0, 0]
    assert np.abs(sky - np.array([51, 102, 153])).max() <= 2


def test_hidden_groups_and_faint_geoms_are_left_out_and_glass_shows_what_is_behind(world):
    model, data = world
    solid = cast(model, data)
    assert not is_colour(solid, 1, 1, 1)[10:20, 40:44].all()  # no ghost in group 3
    ball = is_colour(solid, 0, 1, 0)
    model.mat_rgba[model.material("paint").id, 3] = 0.5
    glass = cast(model, data)
    assert 10 < np.abs(glass - solid)[ball].mean() < 120
    model.mat_rgba[model.material("paint").id, 3] = 0.05
    assert not is_colour(cast(model, data), 0, 1, 0).any()


def test_a_source_follows_repainting_and_moved_scenery(world):
    model, data = world
    source = frame_source(model, "raycast", 64, 64)
    source.render(data, "above", 64, 64, shadows=False)
    model.geom("pillar").rgba = [1, 0, 0, 1]
    model.geom("pillar").pos = [0.9, 0.0, 0.3]
    mujoco.mj_forward(model, data)
    frame = source.render(data, "above", 64, 64, shadows=False)
    assert np.array_equal(frame, cast(model, data))
    assert is_colour(frame.astype(int), 1, 0, 0)[24:40, 38:].sum() > 10


def test_a_tracking_camera_keeps_its_target_in_the_middle(world):
    model, data = world
    source = frame_source(model, "raycast", 64, 64)
    for x in (0.0, 1.0):
        data.qpos[0] = x
        mujoco.mj_forward(model, data)
        frame = source.render(data, "on_board", 64, 64, shadows=False).astype(int)
        assert np.array_equal(frame, cast(model, data, "on_board"))
        rows, columns = np.nonzero(is_colour(frame, 0, 1, 0))
        assert abs(rows.mean() - 31.5) < 1.5
        assert abs(columns.mean() - 31.5) < 1.5


def test_cameras_go_by_name_or_number_and_none_is_the_free_one(world):
    model, data = world
    source = frame_source(model, "raycast", 32, 32)
    by_name = source.render(data, "corner", 32, 32)
    assert np.array_equal(by_name, source.render(data, model.camera("corner").id, 32, 32))
    free = source.render(data, None, 32, 32)
    assert np.array_equal(free, source.render(data, -1, 32, 32))
    assert is_colour(free.astype(int), 0, 1, 0).any()
    assert not np.array_equal(free, by_name)
    for unknown in ("behind", 3, -2):
        with pytest.raises(ValueError, match="'above', 'corner', 'on_board'"):
            source.render(data, unknown, 32, 32)


def test_shadows_fall_away_from_the_light(world):
    model, data = world
    lit, shaded = cast(model, data), cast(model, data, shadows=True)
    floor = ~is_colour(lit, 0, 1, 0) & (lit.max(axis=-1) > 60)
    darker = (shaded - lit).sum(axis=-1) < -60
    assert (darker & floor).sum() > 10


@pytest.mark.parametrize("shadows", [False, True])
@pytest.mark.parametrize("camera", ["above", "corner", None])
def test_both_back_ends_show_the_same_scene(world, camera, shadows):
    backend = working_gl()
    model, data = world
    frames = []
    for name in (backend, "raycast"):
        source = frame_source(model, name, 96, 96)
        frames.append(source.render(data, camera, 96, 96, shadows=shadows).astype(int))
        source.close()
    assert np.abs(frames[0] - frames[1]).mean() < 12


@pytest.mark.parametrize("camera", ["front_left", "front_right"])
def test_both_back_ends_put_the_blocks_on_the_same_pixels(camera):
    backend = working_gl()
    env = BlockStackingEnv()
    env.reset(seed=0)
    frames = []
    for name in (backend, "raycast"):
        source = frame_source(env.model, name, 64, 64)
        frames.append(source.render(env.data, camera, 64, 64, shadows=False).astype(int))
        source.close()
    assert np.abs(frames[0] - frames[1]).mean() < 15
    for channel, other in ((0, 2), (2, 0)):
        blocks = [f[..., channel] > 2 * f[..., other] for f in frames]
        assert blocks[0].sum() > 20
        assert (blocks[0] & blocks[1]).sum() > 0.85 * (blocks[0] | blocks[1]).sum()


def test_gl_frames_repeat_and_leave_the_model_as_it_was(world):
    backend = working_gl()
    model, data = world
    kept = {
        name: np.copy(getattr(model, name))
        for name in ("geom_size", "geom_group", "geom_rgba", "bvh_aabb")
    }
    quality = [model.vis.quality.offsamples, model.vis.quality.shadowsize]
    size = [model.vis.global_.offwidth, model.vis.global_.offheight]
    one, other = (frame_source(model, backend, 64, 64) for _ in range(2))
    first = one.render(data, "corner", 64, 64, shadows=False)
    one.render(data, "above", 64, 64)
    other.render(data, "above", 64, 64, shadows=False)
    assert np.array_equal(first, one.render(data, "corner", 64, 64, shadows=False))
    assert np.array_equal(first, other.render(data, "corner", 64, 64, shadows=False))
    one.close()
    one.close()
    assert np.array_equal(first, other.render(data, "corner", 64, 64, shadows=False))
    other.close()
    cast(model, data)
    assert all(np.array_equal(getattr(model, name), values) for name, values in kept.items())
    assert [model.vis.quality.offsamples, model.vis.quality.shadowsize] == quality
    assert [model.vis.global_.offwidth, model.vis.global_.offheight] == size


class LostContext:
    """What a GL platform offers once something else has ended its display."""

    def __init__(self, width, height):
        raise OSError("display is gone")

    def __del__(self):
        self._context.free()


@pytest.fixture
def lost_gl(monkeypatch):
    """EGL was chosen by itself, but gives no context any more."""
    platform = types.ModuleType("mujoco.egl")
    platform.GLContext = LostContext
    monkeypatch.setitem(sys.modules, "mujoco.egl", platform)
    monkeypatch.setattr("gato_gym.envs.rendering.backend._first_that_works", lambda _: "egl")
    monkeypatch.delenv("GATO_GYM_RENDERER", raising=False)


def test_the_ray_caster_takes_over_where_gl_is_lost(world, lost_gl):
    model, data = world
    with pytest.warns(UserWarning, match="egl gives no GL context any more .*display is gone"):
        source = frame_source(model, choose_backend(), 64, 64)
    assert np.array_equal(source.render(data, "above", 64, 64, shadows=False), cast(model, data))


def test_a_back_end_that_was_asked_for_is_not_replaced(world, lost_gl, monkeypatch):
    monkeypatch.setenv("GATO_GYM_RENDERER", "egl")
    with pytest.raises(OSError, match="display is gone"):
        frame_source(world[0], choose_backend(), 64, 64)
    monkeypatch.delenv("GATO_GYM_RENDERER")
    monkeypatch.setattr("gato_gym.envs.rendering.backend._first_that_works", lambda _: "raycast")
    with pytest.raises(OSError, match="display is gone"):
        frame_source(world[0], choose_backend("egl"), 64, 64)


def test_an_ended_display_costs_no_frames(world):
    """In a process of its own: GL never comes back to one that has lost it."""
    if working_gl() != "egl":
        pytest.skip("EGL does not work here")
    program = (
        "import sys\n"
        "from gato_gym.envs.rendering import frame_source\n"
        "from gato_gym.envs.rendering.physics import mujoco\n"
        "model = mujoco.MjModel.from_xml_string(sys.stdin.read())\n"
        "data = mujoco.MjData(model)\n"
        "mujoco.mj_forward(model, data)\n"
        "frame_source(model, 'egl', 32, 32).close()\n"
        "from mujoco import egl\n"
        "egl.EGL.eglTerminate(egl.EGL_DISPLAY)\n"
        "assert frame_source(model, 'egl', 32, 32).render(data, 'above', 32, 32).std() > 5\n"
    )
    environment = {**os.environ}
    for name in ("GATO_GYM_RENDERER", "MUJOCO_GL"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        input=WORLD,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("gives no GL context any more") >= 1
    assert "Exception ignored" not in done.stderr
