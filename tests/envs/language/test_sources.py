"""What every source of scenes promises, and the rule of what is not trained on."""

import importlib.util

import numpy as np
import pytest

from gato_gym.envs.language.scene import HEIGHT, WIDTH, Relation, Scene, Thing
from gato_gym.envs.language.sources import SOURCES, load_source
from gato_gym.envs.language.sources.held_out import combinations, held_out
from gato_gym.errors import MissingExtraError

NEEDS = {"blocks": "mujoco", "atari": "ale_py", "grid": "minigrid"}
INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
SEEDS = range(9)
IMAGE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def same(one, other):
    return np.array_equal(one.image, other.image) and all(
        getattr(one, name) == getattr(other, name)
        for name in ("source", "things", "relations", "facts")
    )


@pytest.fixture(scope="module", params=SOURCES)
def drawn(request):
    """A source's name and its scenes of `SEEDS`."""
    pytest.importorskip(NEEDS[request.param])
    source = load_source(request.param)
    yield request.param, [source.draw(np.random.default_rng(seed)) for seed in SEEDS]
    source.close()


def test_a_scene_is_a_function_of_the_generator_alone(drawn):
    name, scenes = drawn
    source = load_source(name)
    for seed in reversed(SEEDS):  # another order, and each of them twice
        for _ in range(2):
            assert same(source.draw(np.random.default_rng(seed)), scenes[seed]), seed
    source.close()
    assert len({scene.image.tobytes() for scene in scenes}) == len(scenes)


def test_a_scene_has_its_form(drawn):
    name, scenes = drawn
    for scene in scenes:
        assert scene.source == name
        assert scene.image.shape == (HEIGHT, WIDTH, 3) and scene.image.dtype == np.uint8
        assert scene.image.std() > 1
        names = [thing.name for thing in scene.things]
        assert len(set(names)) == len(names)
        assert all(0 < thing.x < 1 and 0 < thing.y < 1 for thing in scene.things)
        assert all(text == text.lower() for text in (*names, *scene.facts.values()))


def test_relations_agree_with_places_and_are_told_from_both(drawn):
    for scene in drawn[1]:
        told = {(r.subject, r.word, r.other) for r in scene.relations}
        assert len(told) == len(scene.relations)
        for subject, word, other in told:
            one, two = scene.things[subject], scene.things[other]
            if word == "on":
                assert one.y < two.y and abs(one.x - two.x) < 0.06
                continue
            assert (other, INVERSE[word], subject) in told
            apart = {
                "left of": two.x - one.x,
                "right of": one.x - two.x,
                "above": two.y - one.y,
                "below": one.y - two.y,
            }
            assert apart[word] > 0.07


def test_an_unknown_source_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="'sky' is unknown; expected one of 'blocks', 'atari'"):
        load_source("sky")
    with pytest.raises(ValueError, match="part='test' is unknown; expected one of 'training', 'ev"):
        load_source("grid", "test")


@pytest.mark.parametrize("name", SOURCES)
def test_a_missing_package_names_its_extra(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    extra = {"atari": "atari"}.get(name, NEEDS[name])
    with pytest.raises(MissingExtraError, match=rf"{NEEDS[name]}: pip install .gato-gym\[{extra}"):
        load_source(name)


def test_the_same_stacks_are_held_out_for_ever(scenes):
    kept, out, pairs = set(), set(), set()
    for scene in scenes("blocks", 500):
        (out if held_out(scene) else kept).add(next(combinations(scene)))
        if scene.facts["tower"] == "two" and not held_out(scene):
            pairs.add((scene.facts["top"], scene.facts["bottom"]))
    # Changing this set makes what agents were trained on part of their test.
    assert out == {
        "red on blue, right",
        "green on red, left",
        "blue on red, left",
        "blue on green on red",
        "red, blue, green",
    }
    assert len(kept) == 12 + 6 + 6 - len(out)
    assert len(pairs) == 6  # none is held out on both sides


def test_a_boxing_scene_is_held_out_by_side_height_and_leader():
    out = set()
    for x, y, ahead in [(x, y, a) for x in (0, 1) for y in (0, 1) for a in ("white", "nobody")]:
        things = Thing("white", "boxer", x, y), Thing("black", "boxer", 0.5, 0.5)
        scene = Scene(IMAGE, "atari", things, (), {"game": "boxing", "ahead": ahead})
        if held_out(scene):
            out.add((x, y, ahead))
    assert out == {(0, 0, "white")}
    assert not held_out(Scene(IMAGE, "atari", (), (), {"game": "pong"}))


def test_a_room_is_held_out_with_its_pair_whatever_else_it_shows():
    names = [(c, k) for c in ("red", "green", "blue", "purple", "yellow", "grey") for k in "bkx"]
    kinds = {"b": "ball", "k": "key", "x": "box"}
    objects = [Thing(colour, kinds[kind], 0.1, 0.1) for colour, kind in names]
    agent = Thing("", "agent", 0.5, 0.5)

    def shown(*things):
        return held_out(Scene(IMAGE, "grid", (*things, agent), (Relation(0, "above", 1),), {}))

    pairs = {(i, j) for i in range(18) for j in range(18) if i != j}
    out = {(i, j) for i, j in pairs if shown(objects[i], objects[j])}
    assert out == {(j, i) for i, j in out}
    assert 0.1 < len(out) / len(pairs) < 0.16
    for i in range(18):  # every object is trained on beside most others
        assert sum((i, j) in out for j in range(18)) <= 5
        assert not shown(objects[i])
    one, two = next(iter(out))
    assert all(shown(objects[one], t, objects[two]) for t in objects if t not in (one, two))
