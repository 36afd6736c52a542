"""Other paint changes what the cameras see, and nothing else."""

import numpy as np
import pytest

pytest.importorskip("mujoco")

from gato_gym import envs
from gato_gym.envs.block_stacking.env import BlockStackingEnv
from gato_gym.envs.block_stacking.palettes import COLOURS, PALETTES, SAME_NAMES


def nearest(colour):
    return min(COLOURS, key=lambda name: np.linalg.norm(np.subtract(COLOURS[name], colour)))


def test_palettes_paint_the_same_objects():
    for name, palette in PALETTES.items():
        assert palette.keys() == COLOURS.keys()
        values = np.array(list(palette.values()))
        assert ((values >= 0) & (values <= 1)).all() and (values[:, 3] == 1).all()
        if name in SAME_NAMES:
            assert all(nearest(colour) == called for called, colour in palette.items())
            # The channel that names the colour is still the brightest.
            assert all(
                np.argmax(palette[called][:3]) == ["red", "green", "blue"].index(called)
                for called in palette
            )


def test_a_sixth_of_the_circle_of_hues_lies_between_two_colours():
    red, green, blue = (PALETTES["hue60"][name][:3] for name in ("red", "green", "blue"))
    assert red[0] > 0.7 and red[1] > 0.7 and red[2] < 0.2  # yellow
    assert green[1] > 0.5 and green[2] > 0.5 and green[0] < 0.2  # cyan
    assert blue[0] > 0.6 and blue[2] > 0.8 and blue[1] < 0.2  # magenta


@pytest.mark.parametrize("palette", [name for name in PALETTES if name != "standard"])
def test_pictures_differ_and_the_physics_does_not(palette):
    usual, other = (
        envs.make("gato_gym/BlockStacking-pixels-v0", renderer="raycast", **kwargs)
        for kwargs in ({}, {"palette": palette})
    )
    seen, painted = (env.reset(seed=3)[0] for env in (usual, other))
    different = np.abs(seen["front_left"].astype(int) - painted["front_left"]).max(-1) > 20
    # The two cubes: some of the picture, not all of it.
    assert 0.002 < different.mean() < 0.2
    for _ in range(5):
        action = usual.action_space.sample()
        (seen, *_), (painted, *_) = (env.step(action) for env in (usual, other))
        np.testing.assert_array_equal(seen["proprioception"], painted["proprioception"])
    state, painted = (env.unwrapped.state_observation() for env in (usual, other))
    np.testing.assert_equal(state, painted)
    # It is the same task to play for.
    assert envs.task_spec(other).expert_score == envs.task_spec(usual).expert_score
    usual.close()
    other.close()


def test_an_unknown_palette_names_the_known():
    with pytest.raises(ValueError, match=r"palette='neon' is unknown; expected .*'hue30'"):
        BlockStackingEnv(palette="neon")
