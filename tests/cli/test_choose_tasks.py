"""Ids, patterns and domains."""

import pytest

from gato_gym.cli.choose_tasks import choose_tasks
from gato_gym.envs import tasks
from gato_gym.errors import UnknownTaskError


def choose(named=(), domains=(), suits=lambda spec: spec.expert is not None):
    return choose_tasks(named, domains, suits, "has an expert")


def test_ids_stay_as_they_are_and_come_once():
    assert choose(["b", "CartPole-v1", "b", "module:Some-v0"]) == [
        "b",
        "CartPole-v1",
        "module:Some-v0",
    ]


def test_a_pattern_means_what_suits():
    found = choose(["Meta-World/button-*", "CartPole-v1", "Meta-World/button-press-v3"])
    expected = [spec.id for spec in tasks("meta_world") if "/button-" in spec.id and spec.expert]
    assert found == [*expected, "CartPole-v1"] and len(expected) >= 4


def test_domains_are_whole():
    found = choose(["CartPole-v1"], ["babyai", "classic"])
    for domain in ("babyai", "classic"):
        assert {spec.id for spec in tasks(domain) if spec.expert} <= set(found)
    assert len(found) == len(set(found)) and found[0] == "CartPole-v1"


def test_what_is_not_there_is_told():
    with pytest.raises(UnknownTaskError, match=r"no task matches 'Meta-Wurld/.*'.*did you mean"):
        choose(["Meta-Wurld/button-press-v3*"])
    with pytest.raises(UnknownTaskError, match=r"no domain 'babyia': one of .*babyai"):
        choose(domains=["babyia"])
    with pytest.raises(UnknownTaskError, match=r"'CartPole\*' has an expert"):
        choose(["CartPole*"], suits=lambda spec: False)
    with pytest.raises(UnknownTaskError, match="domain 'atari' has an expert"):
        choose(domains=["atari"], suits=lambda spec: False)
