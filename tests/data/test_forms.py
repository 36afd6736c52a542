"""Stored episodes that observe something else than their task does are named, not mixed in."""

from dataclasses import replace

import numpy as np
import pytest

from gato_gym import envs
from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.data.forms import refuse_other_forms
from gato_gym.errors import CorpusPathError
from gato_gym.training.adapt import few_shot_source
from gato_gym.types import Episode, ObservationSpec

POLE = "CartPole-v1"


def store(path, seed, width=4, key="observation", task=POLE):
    """Append an episode of three steps that observes so many numbers."""
    observations = {key: np.zeros((4, width), np.float32)}
    actions = np.zeros(3, np.int64)
    episode = Episode(task, observations, actions, np.ones(3), False, seed, "test/expert")
    Corpus.create(path).append_shard([episode])
    return Corpus.open(path)


def specs(*tasks):
    return [envs.task_spec(task) for task in tasks]


def test_the_same_form_and_other_tasks_pass(tmp_path):
    corpus = store(tmp_path, seed=0)
    refuse_other_forms(corpus, specs(POLE, "Acrobot-v1"))
    store(tmp_path, seed=1, width=9, task="Acrobot-v1")
    refuse_other_forms(Corpus.open(tmp_path), specs(POLE))


@pytest.mark.parametrize("other", [{"width": 5}, {"key": "state"}])
@pytest.mark.parametrize("newest", [False, True])
def test_another_form_is_named_whichever_came_first(tmp_path, other, newest):
    for seed in range(2):
        corpus = store(tmp_path, seed, **(other if seed == newest else {}))
    told = r"CartPole-v1 that observe \{.*(5,|state).*\}, and the task observes \{.*\(4,\)\} now: "
    with pytest.raises(CorpusPathError, match=told):
        refuse_other_forms(corpus, specs(POLE))


def test_others_are_counted(tmp_path):
    for task in (POLE, "Acrobot-v1", "MountainCar-v0"):
        corpus = store(tmp_path, seed=0, width=7, task=task)
    with pytest.raises(CorpusPathError, match=r"now \(so do those of 2 more tasks\): "):
        refuse_other_forms(corpus, specs(POLE, "Acrobot-v1", "MountainCar-v0"))


def test_nothing_is_collected_beside_them(tmp_path):
    store(tmp_path, seed=0, width=5)
    with pytest.raises(CorpusPathError, match="Collect into a new folder"):
        collect(POLE, out=tmp_path, episodes=2, seed=0)
    assert len(Corpus.open(tmp_path)) == 1


def test_an_environment_of_ones_own_may_observe_what_it_likes(tmp_path):
    """Collecting with `make_env` is not held to the catalogue."""
    store(tmp_path, seed=0, width=5)

    def own(task):
        return envs.make(task)

    report = collect(POLE, out=tmp_path, episodes=1, seed=7, make_env=own)
    assert report.episodes == 1


def test_nothing_is_learned_from_them(tmp_path, capsys):
    from gato_gym.cli import main

    store(tmp_path / "corpus", seed=0, width=5)
    train = ["train", "--corpus", str(tmp_path / "corpus"), "--out", str(tmp_path / "run")]
    assert main([*train, "--size", "tiny", "--steps", "1", "--batch", "1"]) == 2
    assert "CartPole-v1 that observe" in capsys.readouterr().err


def test_no_agent_is_adapted_to_them(tmp_path):
    corpus = store(tmp_path, seed=0)
    (spec,) = specs(POLE)
    wider = replace(spec, observations=(ObservationSpec("observation", "continuous", (6,)),))
    with pytest.raises(CorpusPathError, match=r"\(4,\).*\(6,\)"):
        few_shot_source(corpus, wider, corpus.episodes(POLE), None, seed=0, prompt_share=0.0)
