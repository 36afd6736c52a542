"""BabyAI seen as small pictures: the same levels, 16 patches that hide nothing."""

import itertools

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("minigrid")

from minigrid.core.constants import COLOR_NAMES
from minigrid.core.world_object import Ball, Box, Door, Floor, Key, Wall

from gato_gym import envs
from gato_gym.envs.families.minigrid import (
    FAMILIES,
    PICTURED_LEVELS,
    SMALL_TILE,
    AgentView,
    GridWorld,
)

PICTURED = FAMILIES[2]
SEEDS = (0, 1, 2)


def make(level, **kwargs):
    return envs.make(f"gato_gym/BabyAI-{level}-pixels-v0", **kwargs)


@pytest.mark.parametrize("level", PICTURED_LEVELS)
def test_a_picture_changes_nothing_but_the_view(level):
    pictured, symbols = make(level), envs.make(f"BabyAI-{level}-v0")
    pictured.action_space.seed(1)
    for seed in SEEDS:
        seen, _ = pictured.reset(seed=seed)
        told, _ = symbols.reset(seed=seed)
        end = False
        for _ in range(40):
            assert {k: v for k, v in seen.items() if k != "image"} == {
                k: v for k, v in told.items() if k != "image"
            }
            assert pictured.observation_space.contains(
                {**seen, "direction": int(seen["direction"])}
            )
            if end:
                break
            action = pictured.action_space.sample()
            seen, *one = pictured.step(action)
            told, *other = symbols.step(action)
            assert one == other and type(one[-1]["success"]) is bool
            end = one[1] or one[2]
    assert pictured.unwrapped.spec.id != symbols.unwrapped.spec.id


def test_tiles_lie_on_the_borders_of_patches():
    env = make("PutNextLocal")
    for seed in SEEDS:
        image = env.reset(seed=seed)[0]["image"]
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8
        assert not image[:SMALL_TILE].any() and not image[:, 7 * SMALL_TILE :].any()
        drawn = image[SMALL_TILE:, : 7 * SMALL_TILE]
        np.testing.assert_array_equal(drawn, env.unwrapped.get_pov_render(tile_size=SMALL_TILE))
        agent = image[56:, 24:32].astype(int)  # middle column of the lowest row, a red triangle
        assert ((agent[..., 0] > 200) & (agent[..., 1] < 100)).any()


def test_each_thing_looks_different():
    """All that a level may show in one cell, and the agent, whatever it stands on."""
    env = make("GoToObj")
    env.reset(seed=0)
    world = env.unwrapped
    things = [kind(colour) for kind in (Ball, Box, Key) for colour in COLOR_NAMES]
    things += [
        Door(colour, is_open=state == "open", is_locked=state == "locked")
        for colour, state in itertools.product(COLOR_NAMES, ("open", "closed", "locked"))
    ]
    looks = set()
    for thing in [*things, Wall(), Floor(), None]:
        world.grid.set(*world.front_pos, thing)
        picture = AgentView(world, SMALL_TILE).observation({})["image"]
        looks.add(picture[48:56, 24:32].tobytes())
    # 18 objects, 18 doors, a wall, a floor, nothing.
    assert len(looks) == 39


def test_a_spec_builds_the_same_again():
    env = make("PickupDist")
    again = gym.make(env.spec)
    assert again.spec.id == "gato_gym/BabyAI-PickupDist-pixels-v0"
    assert sum(isinstance(layer, AgentView | GridWorld) for layer in envs.layers.layers(again)) == 2
    np.testing.assert_equal(again.reset(seed=4), env.reset(seed=4))


def test_the_catalogue_knows_what_is_seen():
    for task in PICTURED.ids():
        spec = envs.task_spec(task)
        assert spec.domain == "babyai_pixels" and spec.expert == "bot/babyai"
        assert {leaf.key: (leaf.kind, leaf.shape) for leaf in spec.observations} == {
            "direction": ("discrete", ()),
            "image": ("image", (64, 64, 3)),
            "mission": ("text", ()),
        }


def test_frames_are_drawn_as_by_the_level():
    env = make("GoToLocal", render_mode="rgb_array")
    level = envs.make("BabyAI-GoToLocal-v0", render_mode="rgb_array")
    for one in (env, level):
        one.reset(seed=0)
    np.testing.assert_array_equal(env.render(), level.render())
    with pytest.raises(ValueError, match="no render_mode 'ansi'"):
        make("GoToLocal", render_mode="ansi")


def test_other_tiles_are_refused():
    with pytest.raises(ValueError, match="tile_size=12; expected 8 or 16"):
        AgentView(gym.make("BabyAI-GoToObj-v0"), 12)
