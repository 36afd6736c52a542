"""Pictures of stacked blocks: is it true what they say, and do all stacks come up?"""

import collections

import numpy as np
import pytest

pytest.importorskip("mujoco")

from gato_gym.envs.language.scene import HEIGHT, WIDTH
from gato_gym.envs.language.sources import blocks
from gato_gym.envs.rendering.physics import mujoco

CHANNEL = {"red": 0, "green": 1, "blue": 2}


@pytest.fixture(scope="module")
def source():
    source = blocks.Source()
    yield source
    source.close()


@pytest.fixture(scope="module")
def drawn(source):
    return [source.draw(np.random.default_rng(seed)) for seed in range(70)]


def shown(image, colour):
    """The pixels where a colour is by far the strongest, (n, 2) as (x, y) in [0, 1]."""
    others = np.delete(image, CHANNEL[colour], axis=2).max(axis=2)
    strong = image[..., CHANNEL[colour]].astype(int) > 2 * others.astype(int)
    rows, columns = np.nonzero(strong)
    return np.stack([(columns + 0.5) / WIDTH, (rows + 0.5) / HEIGHT], axis=1)


def test_each_colour_is_where_its_block_is(drawn):
    for scene in drawn:
        for thing in scene.things:
            pixels = shown(scene.image, thing.colour)
            assert len(pixels) >= 40
            # A block in front can hide a part of it, which moves the middle of what is seen.
            assert np.abs(pixels.mean(axis=0) - (thing.x, thing.y)).max() < 0.09


def test_a_block_in_sight_is_exactly_where_it_is_said_to_be(drawn):
    for scene in (s for s in drawn if "top" in s.facts):
        top = next(t for t in scene.things if t.colour == scene.facts["top"])
        pixels = shown(scene.image, top.colour)
        assert np.abs(pixels.mean(axis=0) - (top.x, top.y)).max() < 0.03


def test_facts_agree_with_what_lies_on_what(drawn):
    for scene in drawn:
        colours = [thing.colour for thing in scene.things]
        on = {colours[r.subject]: colours[r.other] for r in scene.relations if r.word == "on"}
        assert scene.facts["tower"] == ("none", "two", "three")[len(on)]
        if on:
            (top,) = set(on) - set(on.values())
            (bottom,) = set(on.values()) - set(on)
            assert (scene.facts["top"], scene.facts["bottom"]) == (top, bottom)
        if len(on) == 1:
            assert {scene.facts["alone"], *on, *on.values()} == set(colours)
        else:
            assert "alone" not in scene.facts


def test_all_stacks_come_up(drawn):
    towers = collections.Counter(scene.facts["tower"] for scene in drawn)
    assert 0.35 < towers["two"] / len(drawn) < 0.65
    assert min(towers["three"], towers["none"]) > 6
    pairs = {(s.facts["top"], s.facts["bottom"]) for s in drawn if s.facts["tower"] == "two"}
    assert len(pairs) == 6


def test_a_scene_is_at_rest(source):
    """Physics goes on from a scene without anything moving: no overlap, no gap, no fall."""
    model = source._model
    for seed in range(8):
        source.draw(np.random.default_rng(seed))
        data = mujoco.MjData(model)
        data.qpos[:] = source._data.qpos
        before = data.qpos[-21:].reshape(3, 7).copy()
        mujoco.mj_step(model, data, nstep=round(0.5 / model.opt.timestep))
        after = data.qpos[-21:].reshape(3, 7)
        assert np.abs(after - before)[:, :3].max() < 2e-3
