"""Neighbours, silhouettes and axes against loops over all pairs."""

import sys

import numpy as np
import pytest

from gato_gym.errors import MissingExtraError
from gato_gym.evaluation.separation import (
    chance,
    check_packages,
    check_perplexity,
    plane,
    principal_components,
    separation,
)


def clouds(distance, each=15, labels=3, width=8, seed=0):
    """Clouds of each label, whose middles are so far apart."""
    rng = np.random.default_rng(seed)
    middles = distance * np.eye(labels, width)
    which = np.repeat(np.arange(labels), each)
    return middles[which] + rng.normal(size=(len(which), width)), which


def pairs(vectors):
    return np.sqrt(np.square(vectors[:, None] - vectors[None]).sum(-1))


@pytest.mark.parametrize("distance", [0.0, 2.0, 6.0])
def test_it_is_what_a_loop_over_all_pairs_finds(distance):
    vectors, labels = clouds(distance)
    found = separation(vectors, labels, neighbours=3)
    far = pairs(vectors)
    said, silhouettes = [], []
    for index in range(len(labels)):
        others = [other for other in far[index].argsort() if other != index][:3]
        said.append(np.bincount(labels[others]).argmax())
        mean = [
            far[index, [j for j in np.flatnonzero(labels == label) if j != index]].mean()
            for label in range(3)
        ]
        own = mean[labels[index]]
        nearest = min(mean[label] for label in range(3) if label != labels[index])
        silhouettes.append((nearest - own) / max(nearest, own))
    assert found.said.tolist() == said
    assert found.accuracy == np.mean(np.array(said) == labels)
    assert found.silhouette == pytest.approx(np.mean(silhouettes))


def test_clouds_apart_are_told_and_clouds_in_one_place_are_not():
    apart, labels = clouds(8.0, each=60)
    together, _ = clouds(0.0, each=60)
    assert separation(apart, labels).accuracy == 1.0
    found = separation(together, labels)
    assert abs(found.accuracy - chance(labels)) < 0.12 and abs(found.silhouette) < 0.05


def test_chance_is_the_most_frequent_label():
    assert chance(np.array([0, 0, 0, 1])) == 0.75


def test_principal_components_keep_distances_and_come_largest_first():
    vectors, _ = clouds(3.0)
    whole = principal_components(vectors)
    assert whole.shape == (45, 8)
    np.testing.assert_allclose(pairs(whole), pairs(vectors), atol=1e-9)
    spread = whole.var(axis=0)
    assert (np.diff(spread) <= 0).all()
    few = principal_components(vectors, 3)
    np.testing.assert_allclose(few, whole[:, :3], atol=1e-9)
    assert principal_components(vectors[:5]).shape == (5, 4)


def test_the_plane_keeps_neighbours_and_is_the_same_again():
    vectors, labels = clouds(8.0, each=30)
    one = plane(vectors, perplexity=10, seed=0)
    assert one.shape == (90, 2)
    np.testing.assert_array_equal(one, plane(vectors, perplexity=10, seed=0))
    assert separation(one, labels).accuracy == 1.0


@pytest.mark.parametrize(
    ("count", "perplexity", "told"),
    [
        (90, 30.0, "takes at least 91.*or pass --perplexity 29.7 or less"),
        (10, 30.0, "10 episodes are too few for a perplexity of 30.*--perplexity 3 or less"),
        (3, 1.0, "3 episodes are too few for a perplexity of 1, .*use more --episodes or tasks$"),
        (100, 0.5, "at least 1, got 0.5"),
        (100, float("nan"), "at least 1, got nan"),
    ],
)
def test_a_perplexity_needs_enough_episodes(count, perplexity, told):
    with pytest.raises(ValueError, match=told):
        check_perplexity(count, perplexity)


@pytest.mark.parametrize("count", [4, 10, 91])
def test_the_perplexity_that_is_proposed_will_do(count):
    with pytest.raises(ValueError) as raised:
        check_perplexity(count, 50.0)
    proposed = float(str(raised.value).rpartition("--perplexity ")[2].split()[0])
    check_perplexity(count, proposed) if proposed * 3 < count else pytest.fail(str(proposed))


def test_a_missing_library_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r'pip install "gato-gym\[probing\]"'):
        check_packages()
